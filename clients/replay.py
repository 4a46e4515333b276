"""What was said to a server, kept until it has been taken for good. Pure: knows no sockets and no time.

Audio and requests stand in one line, in the order of the stream. A connection that takes the place of a lost one
starts at what the server has, so nothing is left out and nothing is said twice.
"""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass

MESSAGE_BYTES = 32 * 1024  # of audio: small enough that a request behind it is not late, and for any server's limit


@dataclass(frozen=True, slots=True)
class Audio:
    """A piece of the stream's bytes, the first of them at `start_bytes` from the beginning."""

    start_bytes: int
    data: bytes

    @property
    def end_bytes(self) -> int:
        """Where the next piece begins."""
        return self.start_bytes + len(self.data)


@dataclass(frozen=True, slots=True)
class Request:
    """A `finalize` or the `stop`, behind so many bytes of audio."""

    start_bytes: int
    text: str
    id: str | None = None  # of a finalize


class Replay:
    """The line of what to send: `put` at its end, `next` from its middle, forgotten from its front."""

    def __init__(self, frame_bytes: int, sample_rate: int) -> None:
        """Takes the stream's format: bytes of one frame, frames a second."""
        self._frame_bytes, self._sample_rate = frame_bytes, sample_rate
        self._line: deque[Audio | Request] = deque()
        self._sent = 0  # pieces at the front of the line that went out on this connection
        self._end_bytes = 0  # of all audio put so far
        self._taken_bytes = 0  # by the server, for good
        self._unanswered: deque[Request] = deque()  # of finalize, in their order; an id may come again

    @property
    def waiting_seconds(self) -> float:
        """Audio that is kept because the server may still lose it."""
        return (self._end_bytes - self._taken_bytes) / self._frame_bytes / self._sample_rate

    @property
    def all_taken(self) -> bool:
        """Whether the server has every whole frame for good; one that was only begun is no sound."""
        return self._end_bytes - self._taken_bytes < self._frame_bytes

    def put_audio(self, data: bytes) -> None:
        """The next bytes of the stream; they may end within a frame."""
        for start in range(0, len(data), MESSAGE_BYTES):
            piece = data[start : start + MESSAGE_BYTES]
            self._line.append(Audio(self._end_bytes, piece))
            self._end_bytes += len(piece)

    def put_finalize(self, name: str) -> None:
        """A request to end the open segment here."""
        request = Request(self._end_bytes, json.dumps({"type": "finalize", "id": name}), name)
        self._line.append(request)
        self._unanswered.append(request)

    def put_stop(self) -> None:
        """The end of the stream."""
        self._line.append(Request(self._end_bytes, json.dumps({"type": "stop"})))

    def next(self) -> bytes | str | None:
        """The next message for the socket; None while there is none."""
        if self._sent == len(self._line):
            return None
        piece = self._line[self._sent]
        self._sent += 1
        return piece.data if isinstance(piece, Audio) else piece.text

    def taken(self, audio_seconds: float) -> None:
        """The server has the audio up to here for good, and every request that came before its last byte."""
        taken_bytes = round(audio_seconds * self._sample_rate) * self._frame_bytes
        if not self._taken_bytes <= taken_bytes <= self._end_bytes:
            has, sent = audio_seconds, self._end_bytes / self._frame_bytes / self._sample_rate
            raise ValueError(f"the server says that it has {has} s of audio; {sent} s were sent")
        self._taken_bytes = taken_bytes
        # a request at the very border may have been lost behind the audio that was taken, so it stays
        while self._line and self._line[0].start_bytes < taken_bytes:
            first = self._line[0]
            if isinstance(first, Audio) and first.end_bytes > taken_bytes:
                self._line[0] = Audio(taken_bytes, first.data[taken_bytes - first.start_bytes :])
                return
            self._line.popleft()
            self._sent = max(self._sent - 1, 0)

    def rewind(self, audio_seconds: float) -> None:
        """A new connection: all that the server does not have goes out again."""
        self.taken(audio_seconds)
        self._sent = 0

    def answered(self, name: str) -> bool:
        """Whether this answer to a finalize is new: one that went out twice may be answered twice."""
        request = next((each for each in self._unanswered if each.id == name), None)
        if request is None:
            return False
        self._unanswered.remove(request)
        if (at := next((at for at, piece in enumerate(self._line) if piece is request), None)) is not None:
            del self._line[at]
            self._sent -= at < self._sent
        return True
