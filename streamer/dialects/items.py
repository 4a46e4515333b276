"""A stream in OpenAI's words: what is said becomes items, each with deltas and one transcript. Knows no socket.

With turn detection each segment is an item. Without it the client says where one ends, and whatever segments there are
until then are its text. Its commit takes effect in the stream's order: the stream answers it behind the last final that
belongs to it, and only then is it known that the item is whole.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from streamer.dialects import realtime_wire as wire
from streamer.dialects.growing import Growing
from streamer.events import Error, Event, Final, Finalized, Partial, SpeechStarted
from streamer.fields import WireError

TRANSCRIPTION = "conversation.item.input_audio_transcription"


@dataclass(slots=True)
class Item:
    """What a client gets as one piece."""

    id: str = field(default_factory=lambda: wire.new_id("item"))
    growing: Growing = field(default_factory=Growing)
    seconds: float = 0.0  # of audio


@dataclass(frozen=True, slots=True)
class Border:
    """A commit, or a clear, on its way through the stream."""

    name: str
    item: Item | None = None  # that it ends; None: it is known when the stream answers
    finals: int = 0  # told when it began
    dropped: bool = False  # a clear: what comes until then is not told


class Items:
    """Tells events as items, and knows what a commit ends."""

    def __init__(self, turns: bool, beta: bool = False) -> None:
        """With turns the server ends items, too."""
        self._turns, self._beta = turns, beta
        self._open: Item | None = None  # what events are of, if no border is ahead of them
        self._borders: deque[Border] = deque()
        self._before: str | None = None  # the item before
        self._finals = 0
        self._border_at = 0.0  # seconds of audio at the last border

    def commit(self, audio_seconds: float) -> tuple[str, list[str]]:
        """The client ends an item after so much audio of the stream: the name to finalize it with, and what to say.

        Raises:
            WireError: there has been no audio since the last one.
        """
        seconds = self._since_border(audio_seconds)
        if not seconds:
            raise WireError("nothing to commit: no audio was appended", "input_audio_buffer_commit_empty")
        border, messages = Border(wire.new_id("commit"), finals=self._finals), []
        if not self._turns:
            item, self._open = self._open or Item(), None
            item.seconds = seconds
            border, messages = Border(border.name, item), self._committed(item)
        self._borders.append(border)
        return border.name, messages

    def clear(self, audio_seconds: float) -> str:
        """The client forgets what it has appended since the last item: the name to finalize that with."""
        self._since_border(audio_seconds)
        if not self._turns:
            self._open = None  # the next commit is of another item
        self._borders.append(border := Border(wire.new_id("clear"), dropped=True))
        return border.name

    def tell(self, event: Event) -> list[str]:
        """The messages for an event."""
        match event:
            case Finalized(id=name) if self._borders and self._borders[0].name == name:
                return self._pass(self._borders.popleft())
            case Error(code=code, message=message):
                return [wire.error(code, message)]
            case SpeechStarted() | Partial() | Final():
                return self._of_open(event)
        return []

    def _of_open(self, event: SpeechStarted | Partial | Final) -> list[str]:
        border = self._borders[0] if self._borders else None
        if border and border.dropped:
            return []
        item = border.item if border and border.item else self._open
        if item is None:
            item = self._open = Item()
        match event:
            case SpeechStarted(start=start):
                if not self._turns:
                    return []
                where = {"audio_start_ms": round(start * 1000), "item_id": item.id}
                return [wire.event("input_audio_buffer.speech_started", **where)]
            case Partial(committed=committed):
                return self._delta(item, item.growing.grow(committed))
            case Final(start=start, end=end, text=text):
                self._finals += 1
                messages = self._delta(item, item.growing.close(text))
                if not self._turns:
                    return messages
                self._open, item.seconds = None, end - start
                where = {"audio_end_ms": round(end * 1000), "item_id": item.id}
                stopped = wire.event("input_audio_buffer.speech_stopped", **where)
                return [*messages, stopped, *self._committed(item), self._completed(item)]

    def _pass(self, border: Border) -> list[str]:
        """The stream has reached a border."""
        if border.dropped:
            self._open = None
            return [wire.event("input_audio_buffer.cleared")]
        if border.item:
            return [self._completed(border.item)]
        if border.finals != self._finals:
            return []  # what was committed has ended with a final, and was told
        return [*self._committed(silent := Item()), self._completed(silent)]

    def _since_border(self, audio_seconds: float) -> float:
        before, self._border_at = self._border_at, audio_seconds
        return audio_seconds - before

    def _committed(self, item: Item) -> list[str]:
        content: list[dict[str, Any]] = [{"type": "input_audio", "transcript": None}]
        whole = {
            "id": item.id,
            "object": "realtime.item",
            "type": "message",
            "status": "completed",
            "role": "user",
            "content": content,
        }
        before, self._before = self._before, item.id
        kinds = ["created"] if self._beta else ["added", "done"]
        return [
            wire.event("input_audio_buffer.committed", item_id=item.id, previous_item_id=before),
            *(wire.event(f"conversation.item.{kind}", previous_item_id=before, item=whole) for kind in kinds),
        ]

    def _delta(self, item: Item, new: str) -> list[str]:
        return [wire.event(f"{TRANSCRIPTION}.delta", item_id=item.id, content_index=0, delta=new)] if new else []

    def _completed(self, item: Item) -> str:
        usage = {"type": "duration", "seconds": round(item.seconds, 3)}
        about = {"item_id": item.id, "content_index": 0, "transcript": item.growing.text, "usage": usage}
        return wire.event(f"{TRANSCRIPTION}.completed", **about)


class Utterances:
    """The same in vLLM's words: deltas, and `transcription.done` where the client says that an utterance has ended."""

    def __init__(self) -> None:
        self._growing = Growing()
        self._ends: deque[tuple[str, float]] = deque()  # names of ends on their way, and seconds of audio before them
        self._ended_at = 0.0

    def commit(self, audio_seconds: float) -> tuple[str, list[str]]:
        """The client ends an utterance: the name to finalize it with, and what to say."""
        self._ends.append((wire.new_id("commit"), audio_seconds))
        return self._ends[-1][0], []

    def tell(self, event: Event) -> list[str]:
        """The messages for an event."""
        match event:
            case Partial(committed=committed):
                return self._delta(self._growing.grow(committed))
            case Final(text=text):
                return self._delta(self._growing.close(text))
            case Finalized(id=name) if self._ends and self._ends[0][0] == name:
                _, seconds = self._ends.popleft()
                usage = {"type": "duration", "seconds": round(seconds - self._ended_at, 3)}
                text, self._growing, self._ended_at = self._growing.text, Growing(), seconds
                return [wire.event("transcription.done", text=text, usage=usage)]
            case Error(code=code, message=message):
                return [wire.vllm_error(code, message)]
        return []

    @staticmethod
    def _delta(new: str) -> list[str]:
        return [wire.event("transcription.delta", delta=new)] if new else []
