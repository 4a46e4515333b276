"""The messages of the native protocol, parsed and checked. Knows nothing of sockets, sessions or models.

```
start (audio | finalize)* stop  ->  ready (event | ack)* done | error
watch stop?                     ->  watching (event | watching)* | error
```
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any

from model.tasks import Wish
from streamer.events import Event, Final
from streamer.fields import (
    CHANNEL,
    COUNT,
    FLAG,
    KEYWORDS,
    NUMBER,
    SHORT_TEXT,
    TEXT,
    WHOLE,
    WireError,
    parse_object,
    quoted,
    refusing,
    value_of,
)
from streamer.options import Options

REASON_BYTES = 123  # what a close frame has room for
USUAL = Options()


class Close(IntEnum):
    """Why a connection was closed: codes of RFC 6455, and ours from 4000 on."""

    DONE = 1000
    GOING_AWAY = 1001  # idle, or as long as a session may last
    UNSUPPORTED = 1003  # binary where text must come
    LOST = 1006  # never sent: no close frame came
    NOT_TEXT = 1007  # sent by websockets: what should be UTF-8 is not
    POLICY = 1008  # the message is wrong, the session unknown, or events are not read
    TOO_BIG = 1009
    INTERNAL = 1011
    RESTART = 1012
    TRY_LATER = 1013  # one more would be too much
    TAKEN_OVER = 4001  # another connection has resumed the session


@dataclass(frozen=True, slots=True)
class Start:
    """The first message: the audio's format, what the client wants, or which session it goes on with."""

    sample_rate: int = 16_000
    encoding: str = "pcm_s16le"
    channels: int = 1
    options: Options = USUAL
    words: bool = True  # False: finals carry no list of words
    channel: str | None = None  # None: nobody reads along
    resume: str | None = None
    after: int = 0  # the last event that the client has
    given: frozenset[str] = frozenset()  # fields that the message has

    def contradiction(self, first: Start) -> str | None:
        """What a resuming start says about the format that its session's first start does not; None if nothing."""
        for name in ("sample_rate", "encoding", "channels"):
            if name in self.given and getattr(self, name) != getattr(first, name):
                return f"{name} is {getattr(self, name)!r}; the session was started with {getattr(first, name)!r}"
        return None


@dataclass(frozen=True, slots=True)
class Watch:
    """The first message of a connection that only reads what is said on a channel."""

    channel: str


@dataclass(frozen=True, slots=True)
class Finalize:
    """End the open segment now, and say `finalized` with this id behind its final."""

    id: str = ""


@dataclass(frozen=True, slots=True)
class Stop:
    """No more audio will come."""


Message = Start | Watch | Finalize | Stop


def parse(text: str, usual: Options = USUAL) -> Message:
    """The message that a client sent; `usual` has what a start does not say.

    Raises:
        WireError: names the field, its value and what is allowed.
    """
    values = parse_object(text)
    match values.get("type"):
        case "start":
            return _start(values, usual)
        case "watch":
            return Watch(value_of({"channel": values.get("channel") or ""}, "channel", CHANNEL))
        case "finalize":
            return Finalize(value_of(values, "id", SHORT_TEXT, ""))
        case "stop":
            return Stop()
        case other:
            raise WireError(f"type is {quoted(other)}; it must be one of start, watch, finalize, stop")


def _start(values: dict[str, Any], usual: Options) -> Start:
    resume, after = value_of(values, "resume", SHORT_TEXT, None), value_of(values, "after", COUNT, 0)
    if after and resume is None:
        raise WireError(f"after is {after}; it goes with resume, the session that the events are of")
    with refusing():
        options = replace(
            usual,
            latency=value_of(values, "latency", SHORT_TEXT, usual.latency),
            step_ms=value_of(values, "step_ms", WHOLE, None if values.get("latency") else usual.step_ms),
            endpoint_ms=value_of(values, "endpoint_ms", WHOLE, usual.endpoint_ms),
            max_segment_seconds=value_of(values, "max_segment_seconds", NUMBER, usual.max_segment_seconds),
            partials=value_of(values, "partials", FLAG, usual.partials),
            wish=_wish(values, usual.wish),
        )
    default = Start()
    return Start(
        sample_rate=value_of(values, "sample_rate", WHOLE, default.sample_rate),
        encoding=value_of(values, "encoding", SHORT_TEXT, default.encoding),
        channels=value_of(values, "channels", WHOLE, default.channels),
        options=options,
        words=value_of(values, "words", FLAG, True),
        channel=value_of(values, "channel", CHANNEL, None),
        resume=resume,
        after=after,
        given=frozenset(values),
    )


def _wish(values: dict[str, Any], usual: Wish) -> Wish:
    keywords, speakers = value_of(values, "keywords", KEYWORDS, None), value_of(values, "speakers", FLAG, None)
    wish = Wish(
        task=value_of(values, "task", SHORT_TEXT, None),
        language=value_of(values, "language", SHORT_TEXT, None),
        target_language=value_of(values, "target_language", SHORT_TEXT, None),
        punctuate=value_of(values, "punctuate", FLAG, None),
        keywords=tuple(keywords or ()),
        speakers=speakers or False,
        prompt=value_of(values, "prompt", TEXT, None),
    )
    if wish.chosen or wish.prompt is not None:
        return wish
    if speakers is False:
        usual = replace(usual, speakers=False)
    return usual.hinted(keywords, wish.language)


def ready(session: str, model: str, sample_rate: int, audio_seconds: float) -> str:
    """The answer to `start`: where to go on with the audio."""
    values = {"session": session, "model": model, "sample_rate": sample_rate, "audio_seconds": audio_seconds}
    return _line({"type": "ready", **values})


def ack(audio_seconds: float) -> str:
    """So much audio has been taken for good; not rounded, so that it is a whole number of frames."""
    return _line({"type": "ack", "audio_seconds": audio_seconds})


def error(code: str, message: str) -> str:
    """What went wrong with this connection. It carries no seq: it is no part of the stream."""
    return _line({"type": "error", "code": code, "message": message})


def numbered(seq: int, event: Event, words: bool = True) -> str:
    """An event as it is sent, and sent again."""
    return _line({**_values(event, words), "seq": seq})


class Numbered:
    """Tells a stream's events in the native protocol: one message each, in the order of their numbers."""

    def __init__(self, next_seq: Callable[[], int], words: bool = True) -> None:
        """Takes who knows the number of the next event, and whether finals carry a list of words."""
        self._next_seq, self._words = next_seq, words

    def render(self, event: Event) -> list[str]:
        """The messages for an event."""
        return [numbered(self._next_seq(), event, self._words)]


def watching(channel: str) -> str:
    """The answer to `watch`, and said again while nothing else is."""
    return _line({"type": "watching", "channel": channel})


def unnumbered(event: Event, words: bool = True) -> str:
    """An event as watchers get it: nothing is repeated for them, so it has no number."""
    return _line(_values(event, words))


def reason(text: str) -> str:
    """The text, cut to what fits a close frame."""
    return text.encode()[:REASON_BYTES].decode(errors="ignore")


def _values(event: Event, words: bool) -> dict[str, Any]:
    if isinstance(event, Final) and not words:
        event = replace(event, words=())
    return event.to_dict()


def _line(values: dict[str, Any]) -> str:
    return json.dumps(values, ensure_ascii=False, separators=(",", ":"))
