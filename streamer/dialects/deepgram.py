"""Deepgram's live protocol, on `/v1/listen`: what is wanted stands in the query, audio comes as it is.

```
(audio | KeepAlive | Finalize)* CloseStream  ->  (SpeechStarted | Results | UtteranceEnd)* Metadata
```

Interim results are drafts, each in place of the one before; what `is_final` never changes. A `Finalize` is answered by
an empty result that says so, behind the finals that it brought about.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

from streamer.dialogue import attend, farewell_for, part
from streamer.events import Done, Error, Event, Final, Finalized, Partial, SpeechStarted, Word
from streamer.fields import WireError, parse_object, shown
from streamer.line import Line
from streamer.options import BOUNDS, Options
from streamer.session import Farewell, Session
from streamer.sessions import Sessions
from streamer.wire import Close, Start

ENCODINGS = {"linear16": ("pcm_s16le", 16_000), "mulaw": ("mulaw", 8_000), "alaw": ("alaw", 8_000)}  # name: ours, Hz
BARE = '.,;:!?"()[]'  # what `word` lacks, but `punctuated_word` has


@dataclass(frozen=True, slots=True)
class Query:
    """What a client wants."""

    start: Start
    endpoints: bool  # whether the end of speech is said
    utterance_end_seconds: float  # of silence behind the last word, then `UtteranceEnd`; 0: never
    vad_events: bool

    @classmethod
    def of(cls, path: str, plain: Options) -> Query:
        """Reads the query of a path; `plain` has what it does not say.

        Raises:
            WireError: names the parameter, its value and what is allowed.
        """
        given = parse_qs(urlsplit(path).query)
        encoding = _last(given, "encoding", "")
        if encoding not in ENCODINGS:
            raise WireError(f"encoding is {encoding!r}; it must be one of {', '.join(ENCODINGS)}: no files, raw audio")
        if _flag(given, "multichannel"):
            raise WireError("multichannel is not there; open a connection for each channel")
        name, usual_rate = ENCODINGS[encoding]
        endpointing = _last(given, "endpointing", "true")
        try:
            options = replace(plain, partials=_flag(given, "interim_results"), wish=_wish(given, plain))
            if endpointing not in ("true", "false"):
                low, high = BOUNDS["endpoint_ms"]  # 10 ms, which is usual there, is less than words need here
                options = replace(options, endpoint_ms=round(min(max(_whole(given, "endpointing", 0), low), high)))
        except WireError:
            raise
        except ValueError as error:
            raise WireError(str(error)) from None
        return cls(
            Start(_whole(given, "sample_rate", usual_rate), name, _whole(given, "channels", 1), options),
            endpointing != "false",
            _whole(given, "utterance_end_ms", 0) / 1000,
            _flag(given, "vad_events"),
        )


def _wish(given: dict[str, list[str]], plain: Options) -> Any:
    terms = given.get("keyterm", []) + [word.partition(":")[0] for word in given.get("keywords", [])]
    language = _last(given, "language", "").partition("-")[0]
    changes: dict[str, Any] = {"keywords": tuple(terms)} if terms else {}
    if language not in ("", "multi"):
        changes["language"] = language
    if _flag(given, "punctuate"):
        changes["punctuate"] = True
    if _flag(given, "diarize") or "diarize_model" in given:
        changes["speakers"] = True
    return replace(plain.wish, **changes)


class Results:
    """A stream in Deepgram's words."""

    def __init__(self, query: Query, model: str) -> None:
        self._query = query
        self._request = str(uuid.uuid4())
        self._about = {
            "request_id": self._request,
            "model_uuid": "",
            "model_info": {"name": model, "version": "", "arch": ""},
        }
        self._created = datetime.now(UTC).isoformat(timespec="milliseconds")
        self._audio = hashlib.sha256()
        self._speaking = False
        self._last_word_end: float | None = None  # of an utterance whose end was not yet said

    def tell(self, event: Event) -> list[str]:
        """The messages for an event."""
        match event:
            case SpeechStarted(start=start):
                self._speaking = True
                return [_line("SpeechStarted", channel=[0, 1], timestamp=start)] if self._query.vad_events else []
            case Partial(start=start, end=end, committed=committed, draft=draft):
                return [self._result(start, end, committed + draft)] if committed + draft else []
            case Final(start=start, end=end, text=text, words=words):
                self._speaking = False
                if words:
                    self._last_word_end = words[-1].end
                return [self._result(start, end, text, words, is_final=True, speech_final=self._query.endpoints)]
            case Finalized():
                end = self._last_word_end or 0.0
                return [self._result(end, end, "", is_final=True, from_finalize=True)]
            case Done(audio_seconds=seconds):
                return [self._metadata(seconds)]
            case Error(message=message):
                return [error("internal", message)]
        return []

    def heard(self, audio: bytes, seconds: float) -> list[str]:
        """The messages for audio, with which there have been so many seconds."""
        self._audio.update(audio)
        end, patience = self._last_word_end, self._query.utterance_end_seconds
        if end is None or self._speaking or not patience or seconds - end < patience:
            return []
        self._last_word_end = None
        return [_line("UtteranceEnd", channel=[0, 1], last_word_end=end)]

    def unchanged(self) -> str:
        """The answer to who would change a stream that is open."""
        why = "a stream keeps the keyterms that it was opened with; open another one"
        code = "CONFIGURE_KEYTERMS_NOT_SUPPORTED"
        return _line("ConfigureFailure", request_id=self._request, code=code, description=why)

    def _result(
        self, start: float, end: float, text: str, words: tuple[Word, ...] = (), is_final: bool = False, **more: bool
    ) -> str:
        sure = sum(word.confidence for word in words) / len(words) if words else 0.0
        alternative = {"transcript": text, "confidence": round(sure, 4), "words": [_word(word) for word in words]}
        flags = {"is_final": is_final, "speech_final": False, "from_finalize": False, **more}
        when = {"start": start, "duration": round(end - start, 3)}
        channel = {"alternatives": [alternative]}
        return _line("Results", channel_index=[0, 1], **when, **flags, channel=channel, metadata=self._about)

    def _metadata(self, seconds: float) -> str:
        about = {"transaction_key": "deprecated", "request_id": self._request, "sha256": self._audio.hexdigest()}
        channels = self._query.start.channels
        return _line("Metadata", **about, created=self._created, duration=seconds, channels=channels)


async def speak(socket: Line, sessions: Sessions, address: str) -> None:
    """Everything until the close frame."""
    assert socket.request is not None, "the handshake is over"
    try:
        query = Query.of(socket.request.path, sessions.limits.options)
        results = Results(query, sessions.model)
        session = sessions.open(query.start, address, results)
    except (Farewell, WireError) as refusal:
        await part(socket, sessions, farewell_for(refusal), error)
        return
    await attend(socket, sessions, session, lambda message: _take(session, results, message), error)


def error(code: str, message: str) -> str:
    """What went wrong with the connection."""
    return _line("Error", variant=code, description=message)


def _take(session: Session, results: Results, message: str | bytes) -> None:
    if isinstance(message, bytes) and message:
        session.hear(message)
        for each in results.heard(message, session.incoming.seconds):
            session.say(each)
        return
    try:
        kind = parse_object(message).get("type") if isinstance(message, str) else "CloseStream"  # an empty one: older
        match kind:
            case "KeepAlive":
                pass
            case "Finalize":
                session.finalize("")
            case "CloseStream":
                session.end(Farewell(Close.DONE))
            case "Configure":
                session.say(results.unchanged())
            case other:
                known = "KeepAlive, Finalize, CloseStream, Configure"
                raise WireError(f"type is {shown(other)}; it must be one of {known}", "SchemaError")
    except WireError as wrong:  # the stream goes on
        session.say(error("SchemaError", str(wrong)))


def _word(word: Word) -> dict[str, Any]:
    bare = word.word.strip(BARE).lower() or word.word
    values = {"word": bare, "start": word.start, "end": word.end, "confidence": word.confidence}
    who = {} if word.speaker is None else {"speaker": word.speaker - 1}
    return {**values, "punctuated_word": word.word, **who}


def _last(given: dict[str, list[str]], name: str, default: str) -> str:
    return given[name][-1] if name in given else default


def _flag(given: dict[str, list[str]], name: str) -> bool:
    value = _last(given, name, "false")
    if value not in ("true", "false"):
        raise WireError(f"{name} is {value!r}; it must be true or false")
    return value == "true"


def _whole(given: dict[str, list[str]], name: str, default: int) -> int:
    value = _last(given, name, str(default))
    if not value.isascii() or not value.isdecimal():
        raise WireError(f"{name} is {value!r}; it must be a whole number")
    return int(value[:9])


def _line(kind: str, **values: Any) -> str:
    return json.dumps({"type": kind, **values}, ensure_ascii=False)
