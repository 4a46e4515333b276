"""The messages of the native protocol, parsed and checked. Knows nothing of sockets, sessions or models.

```
start (audio | finalize)* stop  ->  ready (event | ack)* done | error
watch stop?                     ->  watching (event | watching)* | error
```
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any

from model.tasks import Wish
from streamer.events import Event, Final
from streamer.options import Options

MOST_TEXT_CHARACTERS = 64 * 1024  # of one message; no honest one is near
MOST_ID_CHARACTERS = 256  # of a finalize; it is kept until it is answered
MOST_CHANNEL_CHARACTERS = 64
MOST_KEYWORDS = 500  # their characters are bounded by Options
REASON_BYTES = 123  # what a close frame has room for
PLAIN = Options()
HALF_CHARACTER = re.compile("[\ud800-\udfff]")  # legal in JSON, but no tokenizer and no socket takes it


class Close(IntEnum):
    """Why a connection was closed: codes of RFC 6455, and ours from 4000 on."""

    DONE = 1000
    GOING_AWAY = 1001  # idle, or as long as a session may last
    UNSUPPORTED = 1003  # binary where text must come
    LOST = 1006  # never sent: no close frame came
    POLICY = 1008  # the message is wrong, the session unknown, or events are not read
    TOO_BIG = 1009
    INTERNAL = 1011
    RESTART = 1012
    TRY_LATER = 1013  # one more would be too much
    TAKEN_OVER = 4001  # another connection has resumed the session


class WireError(ValueError):
    """A message that is refused; `code` is for the program at the other end, the text for whoever wrote it."""

    def __init__(self, message: str, code: str = "bad_message") -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Start:
    """The first message: the audio's format, what the client wants, or which session it goes on with."""

    sample_rate: int = 16_000
    encoding: str = "pcm_s16le"
    channels: int = 1
    options: Options = PLAIN
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


def parse(text: str, plain: Options = PLAIN) -> Message:
    """The message that a client sent; `plain` has what a start does not say.

    Raises:
        WireError: names the field, its value and what is allowed.
    """
    if len(text) > MOST_TEXT_CHARACTERS:
        raise WireError(f"the message has {len(text)} characters; at most {MOST_TEXT_CHARACTERS} are read", "too_big")
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:  # the latter: a thousand opening brackets
        raise WireError(f"the message is no JSON ({error})") from None
    if not isinstance(values, dict):
        raise WireError(f"the message is {_shown(values)}; it must be an object with a type")
    match values.get("type"):
        case "start":
            return _start(values, plain)
        case "watch":
            return Watch(_field({"channel": None, **values}, "channel", _channel, ""))
        case "finalize":
            return Finalize(_field(values, "id", _text, ""))
        case "stop":
            return Stop()
        case other:
            raise WireError(f"type is {_shown(other)}; it must be one of start, watch, finalize, stop")


def _start(values: dict[str, Any], plain: Options) -> Start:
    resume, after = _field(values, "resume", _text, None), _field(values, "after", _count, 0)
    if after and resume is None:
        raise WireError(f"after is {after}; it goes with resume, the session that the events are of")
    try:
        options = replace(
            plain,
            latency=_field(values, "latency", _text, plain.latency),
            step_ms=_field(values, "step_ms", _whole, None if values.get("latency") else plain.step_ms),
            endpoint_ms=_field(values, "endpoint_ms", _whole, plain.endpoint_ms),
            max_segment_seconds=_field(values, "max_segment_seconds", _number, plain.max_segment_seconds),
            partials=_field(values, "partials", _flag, plain.partials),
            wish=_wish(values, plain.wish),
        )
    except WireError:
        raise
    except ValueError as error:
        raise WireError(str(error)) from None
    usual = Start()
    return Start(
        sample_rate=_field(values, "sample_rate", _whole, usual.sample_rate),
        encoding=_field(values, "encoding", _text, usual.encoding),
        channels=_field(values, "channels", _whole, usual.channels),
        options=options,
        words=_field(values, "words", _flag, True),
        channel=_field(values, "channel", _channel, None),
        resume=resume,
        after=after,
        given=frozenset(values),
    )


def _wish(values: dict[str, Any], plain: Wish) -> Wish:
    wish = Wish(
        task=_field(values, "task", _text, None),
        language=_field(values, "language", _text, None),
        target_language=_field(values, "target_language", _text, None),
        punctuate=_field(values, "punctuate", _flag, None),
        keywords=tuple(_field(values, "keywords", _texts, ())),
        speakers=_field(values, "speakers", _flag, False),
        prompt=_field(values, "prompt", _prompt, None),
    )
    if wish.chosen or wish.prompt is not None:
        return wish
    return replace(plain, language=wish.language or plain.language, keywords=wish.keywords or plain.keywords)


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


def watching(channel: str) -> str:
    """The answer to `watch`, and said again while nothing else is."""
    return _line({"type": "watching", "channel": channel})


def plain(event: Event, words: bool = True) -> str:
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


# --- the kinds of fields: each gives what is allowed if the value is something else, and None if it is well ---


def _field(values: dict[str, Any], name: str, allowed: Callable[[Any], str | None], default: Any) -> Any:
    if name not in values or (values[name] is None and default is None):
        return default
    value = values[name]
    if (wanted := allowed(value)) is not None:
        raise WireError(f"{name} is {_shown(value)}; it must be {wanted}")
    return value


def _whole(value: Any) -> str | None:
    return None if isinstance(value, int) and not isinstance(value, bool) else "a whole number"


def _count(value: Any) -> str | None:
    return None if _whole(value) is None and value >= 0 else "a whole number, 0 or more"


def _number(value: Any) -> str | None:
    return None if isinstance(value, int | float) and not isinstance(value, bool) else "a number"


def _flag(value: Any) -> str | None:
    return None if isinstance(value, bool) else "true or false"


def _prompt(value: Any) -> str | None:
    return None if isinstance(value, str) and not HALF_CHARACTER.search(value) else "a text"


def _text(value: Any) -> str | None:
    allowed = f"a text of at most {MOST_ID_CHARACTERS} characters"
    return None if _prompt(value) is None and len(value) <= MOST_ID_CHARACTERS else allowed


def _channel(value: Any) -> str | None:
    well = _prompt(value) is None and 1 <= len(value) <= MOST_CHANNEL_CHARACTERS
    return None if well else f"a text of 1 to {MOST_CHANNEL_CHARACTERS} characters"


def _texts(value: Any) -> str | None:
    well = isinstance(value, list) and len(value) <= MOST_KEYWORDS and all(_prompt(each) is None for each in value)
    return None if well else f"a list of at most {MOST_KEYWORDS} texts"


def _shown(value: Any) -> str:
    text = json.dumps(value)  # in ASCII, so that no surrogate gets into an answer
    return text if len(text) <= 60 else f"{text[:60]}…"
