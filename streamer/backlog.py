"""What a stream has said, numbered, for a client that may lose its connection. Knows nothing of sockets or tasks."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

MOST_EVENTS = 1000  # about five minutes of speech in steps of 300 ms
MOST_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class Said:
    """An event as it goes over the wire."""

    seq: int
    text: str
    last: bool  # nothing follows
    wire_bytes: int  # of the text; a letter may take four of them


class Backlog:
    """Two queues: events not yet handed to a connection, and events that were, in case they were lost on the way.

    The first is bounded by those who fill it: while it is `full`, no audio is taken. The second forgets its oldest:
    it holds more than the buffers between here and the client, so only who does not read for minutes can miss one.
    """

    def __init__(self) -> None:
        self.count = 0  # events so far; the seq of the last one
        self._untold: deque[Said] = deque()
        self._kept: deque[Said] = deque()
        self._untold_bytes = self._kept_bytes = 0

    @property
    def full(self) -> bool:
        """Whether the client is so far behind that it must read before more is said."""
        return len(self._untold) >= MOST_EVENTS or self._untold_bytes >= MOST_BYTES

    @property
    def forgotten(self) -> int:
        """The seq of the last event that can no longer be repeated; 0: all can."""
        first = self._kept or self._untold
        return first[0].seq - 1 if first else self.count

    def append(self, text: str, last: bool = False) -> None:
        """Adds an event, whose seq is the next one."""
        self.count += 1
        self._untold.append(said := Said(self.count, text, last, len(text.encode())))
        self._untold_bytes += said.wire_bytes

    def next(self) -> Said | None:
        """The event to hand over next; None: all are."""
        return self._untold[0] if self._untold else None

    def told(self) -> None:
        """The next event has been handed over."""
        said = self._untold.popleft()
        self._untold_bytes -= said.wire_bytes
        self._kept.append(said)
        self._kept_bytes += said.wire_bytes
        while len(self._kept) > MOST_EVENTS or self._kept_bytes > MOST_BYTES:
            self._kept_bytes -= self._kept.popleft().wire_bytes

    def rewind(self, after: int) -> None:
        """Everything after this event is to be handed over again."""
        assert self.forgotten <= after <= self.count, f"{after} is not within {self.forgotten} and {self.count}"
        while self._kept and self._kept[-1].seq > after:
            said = self._kept.pop()
            self._kept_bytes -= said.wire_bytes
            self._untold.appendleft(said)
            self._untold_bytes += said.wire_bytes
        while self._untold and self._untold[0].seq <= after:
            self.told()  # it reached the client although the connection broke before that was known here
