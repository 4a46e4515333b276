"""What a stream tells the world: one schema for the terminal, the sockets and Python.

Times are seconds since the stream's first sample. The text to show is always `committed + draft`, verbatim.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class Event:
    """The root of all events. `type` is the name on the wire."""

    type: ClassVar[str] = "event"

    def to_dict(self) -> dict[str, Any]:
        """The event as plain values, its type first."""
        return {"type": self.type, **asdict(self, dict_factory=_known)}

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(self.to_dict(), ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class SpeechStarted(Event):
    """Somebody began to speak: a segment is open."""

    type: ClassVar[str] = "speech_started"
    segment: int
    start: float  # of the segment, pre-roll included


@dataclass(frozen=True, slots=True)
class Partial(Event):
    """What an open segment says so far. Each one replaces the one before; its committed text only grows."""

    type: ClassVar[str] = "partial"
    segment: int
    start: float
    end: float  # of the audio it is based on
    committed: str
    draft: str

    def broken_off(self, draft: bool = False) -> Final:
        """What is final if no more comes: what is committed, with its `draft` or without."""
        return Final(self.segment, self.start, self.end, self.committed + (self.draft if draft else ""))


@dataclass(frozen=True, slots=True)
class Word:
    """One word of a final, placed by forced alignment."""

    word: str
    start: float
    end: float
    confidence: float  # 0 to 1
    speaker: int | None = None  # from 1 on, within its segment; None: nobody asked

    def to_dict(self) -> dict[str, Any]:
        """The word as plain values."""
        return asdict(self, dict_factory=_known)


@dataclass(frozen=True, slots=True)
class Final(Event):
    """What a segment says. It never changes, and begins with everything its partials committed."""

    type: ClassVar[str] = "final"
    segment: int
    start: float
    end: float
    text: str
    words: tuple[Word, ...] = ()

    def words_to(self) -> Iterator[tuple[Word, int]]:
        """Each word, and up to where the text goes with it, in characters: a speaker's tag is text but no word."""
        end = 0
        for word in self.words:
            end = max(self.text.find(word.word, end), end) + len(word.word)
            yield word, end


@dataclass(frozen=True, slots=True)
class Finalized(Event):
    """The answer to a client's `finalize`: everything said before it is in finals, which came earlier."""

    type: ClassVar[str] = "finalized"
    id: str


@dataclass(frozen=True, slots=True)
class Done(Event):
    """The stream has ended; nothing follows."""

    type: ClassVar[str] = "done"
    audio_seconds: float


@dataclass(frozen=True, slots=True)
class Error(Event):
    """The stream broke and has ended; nothing follows."""

    type: ClassVar[str] = "error"
    code: str
    message: str

    @classmethod
    def of(cls, fault: Exception) -> Error:
        """That of a stream that broke by a fault of ours."""
        return cls("internal", f"this stream broke and has ended ({type(fault).__name__}: {fault})")


Take = Callable[[list[Event]], None]  # whoever is told what a stream says


def retimed(event: Event, time: Callable[[float], float]) -> Event:
    """The event with other times, in seconds to three digits."""

    def told(seconds: float) -> float:
        return round(time(seconds), 3)

    match event:
        case SpeechStarted(start=start):
            return replace(event, start=told(start))
        case Partial(start=start, end=end):
            return replace(event, start=told(start), end=told(end))
        case Final(start=start, end=end, words=words):
            words = tuple(replace(word, start=told(word.start), end=told(word.end)) for word in words)
            return replace(event, start=told(start), end=told(end), words=words)
        case Done(audio_seconds=seconds):
            return replace(event, audio_seconds=told(seconds))
    return event


def _known(values: list[tuple[str, Any]]) -> dict[str, Any]:
    """Without what is not known."""
    return {name: value for name, value in values if value is not None}


KINDS: dict[str, type[Event]] = {kind.type: kind for kind in (SpeechStarted, Partial, Final, Finalized, Done, Error)}


def from_dict(values: dict[str, Any]) -> Event:
    """The event that these plain values describe; keys it does not know are left alone.

    Raises:
        ValueError: the type is unknown or a value is missing.
    """
    kind = KINDS.get(values.get("type", ""))
    if kind is None:
        raise ValueError(f"unknown event type {values.get('type')!r}; known: {', '.join(KINDS)}")
    try:
        given = _of(kind, values)
        if "words" in given:
            given["words"] = tuple(Word(**_of(Word, word)) for word in given["words"])
        return kind(**given)
    except TypeError as error:
        raise ValueError(f"not a whole {kind.type} event: {error}") from None


def _of(kind: type[Event | Word], values: dict[str, Any]) -> dict[str, Any]:
    """Those of the values that this kind knows."""
    return {field.name: values[field.name] for field in fields(kind) if field.name in values}
