"""The messages of OpenAI's Realtime API for transcription, and of vLLM's variant of it, parsed, checked and made.

```
(session.update | append | commit | clear)*  ->  session.created (session.updated | item events | delta | completed)*
```

Facts are those of the types in OpenAI's Python package; a field that this service has no use for is left alone, and
`session.updated` shows what holds.
"""

from __future__ import annotations

import base64
import json
import secrets
import time
from dataclasses import dataclass, replace
from typing import Any

from streamer.fields import (
    FLAG,
    KEYWORDS,
    OBJECT,
    SHORT_TEXT,
    WHOLE,
    WireError,
    one_of,
    parse_object,
    quoted,
    refusing,
    value_of,
)
from streamer.options import Options, nearest_endpoint_ms
from streamer.wire import Start

MOST_CHARACTERS = 2**20  # of a message: as much as the socket takes, 16 s of audio at 24 kHz
FORMATS = {"audio/pcm": "pcm_s16le", "audio/pcmu": "mulaw", "audio/pcma": "alaw"}  # in `session.update`: here
BETA_FORMATS = {"pcm16": "audio/pcm", "g711_ulaw": "audio/pcmu", "g711_alaw": "audio/pcma"}  # in the beta: today
RATES = {"audio/pcm": 24_000, "audio/pcmu": 8_000, "audio/pcma": 8_000}  # Hz, where a client does not say
VLLM_RATE = 16_000  # Hz
DELAYS = {"minimal": "low", "low": "low", "medium": "balanced", "high": "accurate", "xhigh": "accurate"}
# Semantic turns are the model's guess of whether somebody has finished; here it is silence that tells, and how much:
EAGERNESS = {"low": 1500, "medium": 800, "auto": 800, "high": 400}  # ms


@dataclass(frozen=True, slots=True)
class Update:
    """The session's new configuration: fields that are missing stay as they are."""

    values: dict[str, Any]
    beta: bool = False  # in the form of the API's first version
    vllm: bool = False


@dataclass(frozen=True, slots=True)
class Append:
    """More audio."""

    audio: bytes


@dataclass(frozen=True, slots=True)
class Commit:
    """The audio since the last one is an item. At vLLM: audio begins, or with `final` an utterance ends."""

    final: bool = False


@dataclass(frozen=True, slots=True)
class Clear:
    """The audio since the last commit is forgotten."""


Message = Update | Append | Commit | Clear


@dataclass(frozen=True, slots=True)
class Configuration:
    """What a client has asked for so far."""

    options: Options
    usual_endpoint_ms: int  # of silence that end a turn, where the client does not say
    format: str = "audio/pcm"
    sample_rate: int = RATES["audio/pcm"]
    turns: str | None = "server_vad"  # who ends an item: the server by this kind of turn detection, or None: the client
    eagerness: str = "auto"  # of semantic turns
    delay: str | None = None  # between speech and text; None: as the service has it
    beta: bool = False
    vllm: bool = False

    @property
    def start(self) -> Start:
        """The stream that this asks for."""
        return Start(self.sample_rate, FORMATS[self.format], options=self.options)

    def updated(self, update: Update) -> Configuration:
        """With what an update says.

        Raises:
            WireError: names the field, its value and what is allowed.
        """
        with refusing("invalid_value"):
            if update.vllm:
                return replace(self, format="audio/pcm", sample_rate=VLLM_RATE, vllm=True)
            values, within = (_from_beta(update.values) if update.beta else update.values), "session."
            value_of(values, "type", one_of("transcription"), within=within)
            audio = value_of(values, "audio", OBJECT, {}, within)
            given = value_of(audio, "input", OBJECT, {}, within := f"{within}audio.")
            within += "input."
            changed = replace(self, beta=update.beta)
            if (sound := value_of(given, "format", OBJECT, within=within)) is not None:
                changed = changed._with_format(sound, f"{within}format.")
            if (how := value_of(given, "transcription", OBJECT, within=within)) is not None:
                changed = changed._with_transcription(how, f"{within}transcription.")
            if "turn_detection" in given:
                turns = value_of(given, "turn_detection", OBJECT, within=within)
                changed = changed._with_turns(turns, f"{within}turn_detection.")
            return changed

    def _with_format(self, values: dict[str, Any], within: str) -> Configuration:
        kind = value_of(values, "type", one_of(*FORMATS), self.format, within)
        return replace(self, format=kind, sample_rate=value_of(values, "rate", WHOLE, RATES[kind], within))

    def _with_transcription(self, values: dict[str, Any], within: str) -> Configuration:
        wish, options = self.options.wish, self.options
        if "language" in values:
            language = value_of(values, "language", SHORT_TEXT, "", within).partition("-")[0]
            wish = replace(wish, language=language or None)
        if "keywords" in values:
            wish = replace(wish, keywords=tuple(value_of(values, "keywords", KEYWORDS, (), within)))
        if (delay := value_of(values, "delay", one_of(*DELAYS), self.delay, within)) is not None:
            options = replace(options, latency=DELAYS[delay], step_ms=None)
        return replace(self, options=replace(options, wish=wish), delay=delay)

    def _with_turns(self, values: dict[str, Any] | None, within: str) -> Configuration:
        if values is None:
            return replace(self, turns=None)
        kind = value_of(values, "type", one_of("server_vad", "semantic_vad"), "server_vad", within)
        eagerness = value_of(values, "eagerness", one_of(*EAGERNESS), "auto", within)
        silence = value_of(values, "silence_duration_ms", WHOLE, self.usual_endpoint_ms, within)
        endpoint = EAGERNESS[eagerness] if kind == "semantic_vad" else nearest_endpoint_ms(silence)
        return replace(self, turns=kind, eagerness=eagerness, options=replace(self.options, endpoint_ms=endpoint))


def parse(text: str | bytes) -> Message:
    """The message that a client sent.

    Raises:
        WireError: names the field, its value and what is allowed.
    """
    if isinstance(text, bytes):
        raise WireError("binary messages are not understood here; append audio in base64", "invalid_message")
    values = parse_object(text, MOST_CHARACTERS)
    match values.get("type"):
        case "session.update" if "session" not in values and "model" in values:
            return Update({}, vllm=True)
        case "session.update" | "transcription_session.update" as kind:
            return Update(value_of(values, "session", OBJECT, {}), beta=kind != "session.update")
        case "input_audio_buffer.append":
            return Append(_audio(values.get("audio")))
        case "input_audio_buffer.commit":
            return Commit(value_of(values, "final", FLAG, False))
        case "input_audio_buffer.clear":
            return Clear()
        case other:
            known = "session.update, input_audio_buffer.append, .commit, .clear"
            raise WireError(f"type is {quoted(other)}; a transcription session knows {known}", "unknown_type")


def id_of(text: str | bytes) -> str | None:
    """The `event_id` that a client gave its message, so that an error can name it; None: it has none."""
    try:
        name = parse_object(text, MOST_CHARACTERS).get("event_id") if isinstance(text, str) else None
    except WireError:
        return None
    return name if SHORT_TEXT.holds(name) else None


def new_id(kind: str) -> str:
    """A name that no other thing has: `item_…`, `event_…`, `sess_…`."""
    return f"{kind}_{secrets.token_hex(10)}"


def said(kind: str, **values: Any) -> str:
    """A message to the client."""
    return json.dumps({"type": kind, "event_id": new_id("event"), **values}, ensure_ascii=False, separators=(",", ":"))


def session_event(kind: str, session: str, configuration: Configuration, model: str) -> str:
    """`session.created` or `session.updated`, with all that holds."""
    if configuration.beta:
        return said(f"transcription_{kind}", session=_shown_beta(session, configuration, model))
    named = {"id": session, "created": int(time.time())}  # where vLLM's clients look for them
    return said(kind, **named, session=_shown(session, configuration, model))


def cleared() -> str:
    """That a clear has been done."""
    return said("input_audio_buffer.cleared")


def nothing_to_commit() -> WireError:
    """What is wrong with a commit that no audio came before."""
    return WireError("nothing to commit: no audio was appended", "input_audio_buffer_commit_empty")


def error(code: str, message: str, client_event: str | None = None) -> str:
    """What was wrong with a message, or with this service."""
    kind = "server_error" if code == "internal" else "invalid_request_error"
    return said(
        "error", error={"type": kind, "code": code, "message": message, "param": None, "event_id": client_event}
    )


def vllm_error(code: str, message: str, _: str | None = None) -> str:
    """The same as vLLM says it, which does not name the client's event."""
    return said("error", error=message, code=code)


def _audio(text: Any) -> bytes:
    if not isinstance(text, str):
        raise WireError(f"audio is {quoted(text)}; it must be audio in base64", "invalid_audio")
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as wrong:
        raise WireError(f"audio is not valid base64 ({wrong})", "invalid_audio") from None


def _from_beta(values: dict[str, Any]) -> dict[str, Any]:
    """A configuration in the form of the API's first version, as it is written today."""
    given: dict[str, Any] = {}
    if (kind := value_of(values, "input_audio_format", one_of(*BETA_FORMATS), within="session.")) is not None:
        given["format"] = {"type": BETA_FORMATS[kind]}
    if "input_audio_transcription" in values:
        given["transcription"] = values["input_audio_transcription"]
    if "turn_detection" in values:
        given["turn_detection"] = values["turn_detection"]
    return {"audio": {"input": given}}


def _shown(session: str, it: Configuration, model: str) -> dict[str, Any]:
    heard = {
        "format": _format(it),
        "noise_reduction": None,
        "transcription": _transcription(it, model),
        "turn_detection": _turns(it),
    }
    return {
        "type": "transcription",
        "object": "realtime.transcription_session",
        "id": session,
        "audio": {"input": heard},
        "include": None,
    }


def _shown_beta(session: str, it: Configuration, model: str) -> dict[str, Any]:
    formats = {today: beta for beta, today in BETA_FORMATS.items()}
    return {
        "object": "realtime.transcription_session",
        "id": session,
        "input_audio_format": formats[it.format],
        "input_audio_transcription": _transcription(it, model),
        "turn_detection": _turns(it),
    }


def _format(it: Configuration) -> dict[str, Any]:
    return {"type": it.format, "rate": it.sample_rate} if it.format == "audio/pcm" else {"type": it.format}


def _transcription(it: Configuration, model: str) -> dict[str, Any]:
    wish = it.options.wish
    said_so = {} if it.delay is None else {"delay": it.delay}
    return {"model": model, "language": wish.language, "prompt": "", "keywords": list(wish.keywords), **said_so}


def _turns(it: Configuration) -> dict[str, Any] | None:
    if it.turns is None:
        return None
    if it.turns == "semantic_vad":
        return {"type": it.turns, "eagerness": it.eagerness}
    return {"type": it.turns, "silence_duration_ms": it.options.endpoint_ms}
