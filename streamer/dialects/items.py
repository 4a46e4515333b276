"""A stream in OpenAI's words: what is said becomes items, each with deltas and one transcript. Knows no socket.

With turn detection each segment is an item. Without it the client says where one ends, and whatever segments there are
until then are its text. Its commit takes effect in the stream's order: the stream answers it behind the last final that
belongs to it, and only then is it known that the item is whole. Clearing is the same, but what it ends is not told, and
without turns it is known at once.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from streamer.dialects import CUT_SECONDS
from streamer.dialects import realtime_messages as messages
from streamer.dialects.growing import Growing
from streamer.dialects.realtime_messages import new_id, said
from streamer.events import Error, Event, Final, Finalized, Partial, SpeechStarted
from streamer.fields import WireError

TRANSCRIPTION = "conversation.item.input_audio_transcription"


@dataclass(slots=True)
class Item:
    """What a client gets as one piece."""

    id: str = field(default_factory=lambda: new_id("item"))
    growing: Growing = field(default_factory=Growing)
    seconds: float = 0.0  # of audio
    told: bool = False  # the client has heard of it


@dataclass(frozen=True, slots=True)
class Border:
    """A commit, or a clear, on its way through the stream."""

    name: str
    at_seconds: float  # of audio before it
    finals: int  # told when it was drawn
    item: Item | None  # that it ends; None: it is known when the stream answers
    clears: bool = False


class Items:
    """Tells events as items, and knows what a commit ends."""

    def __init__(self, turns: bool, beta: bool = False) -> None:
        """With turns the server ends items, too."""
        self._turns, self._beta = turns, beta
        self._open: Item | None = None  # what events are of, where no border ahead of them has an item
        self._borders: deque[Border] = deque()
        self._before: str | None = None  # the item before
        self._finals = self._finals_passed = 0  # told so far; told when the stream reached the last border
        self._border_at = 0.0  # seconds of audio before the last border

    def commit(self, audio_seconds: float) -> tuple[str, list[str]]:
        """The client ends an item after so much audio of the stream: the name to finalize it with, and what to say.

        Raises:
            WireError: there has been no audio since the last border.
        """
        seconds, self._border_at = audio_seconds - self._border_at, audio_seconds
        if not seconds:
            raise messages.nothing_to_commit()
        if item := self._taken():
            item.seconds = seconds
        self._borders.append(border := Border(new_id("commit"), audio_seconds, self._finals, item))
        return border.name, self._committed(item) if item else []

    def clear(self, audio_seconds: float) -> tuple[str, list[str]]:
        """The client forgets what it has appended since the last item: the name to finalize that with, what to say."""
        self._border_at, item = audio_seconds, self._taken()
        self._borders.append(border := Border(new_id("clear"), audio_seconds, self._finals, item, clears=True))
        return border.name, self._cleared(item, audio_seconds) if item else []

    def _taken(self) -> Item | None:
        """The item that the client ends; None: with turns it is known when the stream answers."""
        if self._turns:
            return None
        item, self._open = self._open or Item(), None
        return item

    def render(self, event: Event) -> list[str]:
        """The messages for an event."""
        match event:
            case Finalized(id=name) if self._borders and self._borders[0].name == name:
                return self._pass(self._borders.popleft())
            case Error(code=code, message=message):
                return [messages.error(code, message)]
            case SpeechStarted() | Partial() | Final():
                return self._of_item(event, self._borders[0] if self._borders else None)
        return []

    def _of_item(self, event: SpeechStarted | Partial | Final, border: Border | None) -> list[str]:
        if border and border.clears and border.item:
            return []
        item = border.item if border and border.item else self._open
        if item is None:
            item = self._open = Item()
        match event:
            case SpeechStarted(start=start):
                if not self._turns:
                    return []
                item.told = True
                where = {"audio_start_ms": round(start * 1000), "item_id": item.id}
                return [said("input_audio_buffer.speech_started", **where)]
            case Partial():
                return self._delta(item, item.growing.add(event))
            case Final(start=start, end=end):
                if border and border.clears and end > border.at_seconds - CUT_SECONDS:
                    return []  # it is what is cleared
                told = self._delta(item, item.growing.add(event))
                if not self._turns:
                    return told
                self._open, item.seconds = None, end - start
                self._finals += 1
                return [*told, self._stopped(item, end), *self._committed(item), self._completed(item)]

    def _pass(self, border: Border) -> list[str]:
        """The stream has reached a border."""
        known, self._finals_passed = max(border.finals, self._finals_passed), self._finals
        if border.clears and border.item:
            return []  # that was told at once
        if border.clears:
            item, self._open = self._open, None
            return self._cleared(item, border.at_seconds)
        if border.item:
            return [self._completed(border.item)]
        if self._finals > known:
            return []  # what was committed has ended with a final, and was told
        return [*self._committed(silent := Item()), self._completed(silent)]

    def _committed(self, item: Item) -> list[str]:
        content: list[dict[str, Any]] = [{"type": "input_audio", "transcript": None}]
        about = {"object": "realtime.item", "type": "message", "status": "completed", "role": "user"}
        whole = {"id": item.id, **about, "content": content}
        before, self._before = self._before, item.id
        kinds = ["created"] if self._beta else ["added", "done"]
        return [
            said("input_audio_buffer.committed", item_id=item.id, previous_item_id=before),
            *(said(f"conversation.item.{kind}", previous_item_id=before, item=whole) for kind in kinds),
        ]

    def _delta(self, item: Item, new: str) -> list[str]:
        if not new:
            return []
        item.told = True
        return [said(f"{TRANSCRIPTION}.delta", item_id=item.id, content_index=0, delta=new)]

    def _stopped(self, item: Item, end: float) -> str:
        return said("input_audio_buffer.speech_stopped", audio_end_ms=round(end * 1000), item_id=item.id)

    def _completed(self, item: Item) -> str:
        usage = {"type": "duration", "seconds": round(item.seconds, 3)}
        about = {"item_id": item.id, "content_index": 0, "transcript": item.growing.text, "usage": usage}
        return said(f"{TRANSCRIPTION}.completed", **about)

    def _cleared(self, item: Item | None, end: float) -> list[str]:
        return [*(self._given_up(item, end) if item and item.told else []), messages.cleared()]

    def _given_up(self, item: Item, end: float) -> list[str]:
        """An item that the client has heard of will not be."""
        why = {
            "type": "invalid_request_error",
            "code": "input_audio_buffer_cleared",
            "message": "its audio was cleared",
        }
        failed = said(f"{TRANSCRIPTION}.failed", item_id=item.id, content_index=0, error={**why, "param": None})
        return [self._stopped(item, end), failed] if self._turns else [failed]


class Utterances:
    """The same in vLLM's words: deltas, and `transcription.done` where the client says that an utterance has ended."""

    def __init__(self) -> None:
        self._growing = Growing()
        self._ends: deque[tuple[str, float]] = deque()  # names of ends on their way, and seconds of audio before them
        self._ended_at = 0.0

    def commit(self, audio_seconds: float) -> tuple[str, list[str]]:
        """The client ends an utterance: the name to finalize it with, and what to say."""
        self._ends.append((new_id("commit"), audio_seconds))
        return self._ends[-1][0], []

    def clear(self, audio_seconds: float) -> tuple[str, list[str]]:
        """There is no such message.

        Raises:
            WireError: always.
        """
        raise WireError("there is no clear in this dialect", "unknown_type")

    def render(self, event: Event) -> list[str]:
        """The messages for an event."""
        match event:
            case Partial() | Final():
                return self._delta(self._growing.add(event))
            case Finalized(id=name) if self._ends and self._ends[0][0] == name:
                _, seconds = self._ends.popleft()
                usage = {"type": "duration", "seconds": round(seconds - self._ended_at, 3)}
                text, self._growing, self._ended_at = self._growing.text, Growing(), seconds
                return [said("transcription.done", text=text, usage=usage)]
            case Error(code=code, message=message):
                return [messages.vllm_error(code, message)]
        return []

    @staticmethod
    def _delta(new: str) -> list[str]:
        return [said("transcription.delta", delta=new)] if new else []
