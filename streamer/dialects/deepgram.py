"""Deepgram's live protocol, on `/v1/listen`: what is wanted stands in the query, audio comes as it is.

```
(audio | KeepAlive | Finalize)* CloseStream  ->  (SpeechStarted | Results | UtteranceEnd)* Metadata
```

Interim results are drafts, each in place of the one before; what `is_final` never changes. The final that a `Finalize`
brings about says so; where there was nothing to end, an empty result does.
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections import deque
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

from model.tasks import Wish
from streamer.dialects import CUT_SECONDS
from streamer.dialogue import Opened, attend
from streamer.events import Done, Error, Event, Final, Finalized, Partial, SpeechStarted, Word
from streamer.fields import WireError, parse_object, quoted, refusing
from streamer.line import Line
from streamer.options import Options, nearest_endpoint_ms
from streamer.session import Farewell, Session
from streamer.sessions import Sessions
from streamer.wire import Close, Start

ENCODINGS = {"linear16": ("pcm_s16le", 16_000), "mulaw": ("mulaw", 8_000), "alaw": ("alaw", 8_000)}  # name: ours, Hz
BARE = '.,;:!?"()[]'  # what `word` lacks, but `punctuated_word` has


@dataclass(frozen=True, slots=True)
class Query:
    """What a client wants."""

    start: Start
    modest: Start  # without what only some models can do, and others leave out
    endpoints: bool  # whether the end of speech is said
    utterance_end_seconds: float  # of silence behind the last word, then `UtteranceEnd`; 0: never
    vad_events: bool

    @classmethod
    def of(cls, path: str, usual: Options) -> Query:
        """Reads the query of a path; `usual` has what it does not say.

        Raises:
            WireError: names the parameter, its value and what is allowed.
        """
        given = parse_qs(urlsplit(path).query)
        encoding = _last(given, "encoding", "")
        if encoding not in ENCODINGS:
            raise WireError(
                f"encoding is {encoding[:60]!r}; it must be one of {', '.join(ENCODINGS)}: no files, raw audio"
            )
        if _flag(given, "multichannel"):
            raise WireError("multichannel is not supported; open a connection for each channel")
        name, usual_rate = ENCODINGS[encoding]
        endpointing = _last(given, "endpointing", "true")
        with refusing():
            wish = _wish(given, usual.wish)
            options = replace(usual, partials=_flag(given, "interim_results"), wish=_formatted(given, wish))
            if endpointing not in ("true", "false"):
                asked = _whole(given, "endpointing", 0)  # usually 10 ms: less than words need
                options = replace(options, endpoint_ms=nearest_endpoint_ms(asked))
        start = Start(_whole(given, "sample_rate", usual_rate), name, _whole(given, "channels", 1), options)
        return cls(
            start,
            replace(start, options=replace(options, wish=wish)),
            endpointing != "false",
            _whole(given, "utterance_end_ms", 0) / 1000,
            _flag(given, "vad_events"),
        )


def _wish(given: dict[str, list[str]], usual: Wish) -> Wish:
    """What must be, or is refused."""
    terms = given.get("keyterm", []) + [word.partition(":")[0] for word in given.get("keywords", [])]
    language = _last(given, "language", "").partition("-")[0]
    return usual.hinted(terms or None, None if language == "multi" else language)


def _formatted(given: dict[str, list[str]], wish: Wish) -> Wish:
    """And what may be: these clients ask for it by habit."""
    speakers = "diarize_model" in given or _flag(given, "diarize", wish.speakers)
    # smart formatting holds punctuation
    formats = [_flag(given, name) for name in ("punctuate", "smart_format") if name in given]
    punctuate = any(formats) if formats else wish.punctuate
    try:
        # no model writes both speakers and punctuation
        return replace(wish, speakers=speakers, punctuate=wish.punctuate if speakers else punctuate)
    except ValueError:  # it does not go with the rest, such as keyterms or the service's own prompt
        return wish


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
        self._end = 0.0  # of the last final
        self._utterance: float | None = None  # where the last word ended, until it is said that an utterance did
        self._finalizes: deque[float] = deque()  # seconds of audio before each one on its way
        self._finalized = False  # a final has answered the first of them
        self._received = self._behind = 0.0  # seconds of audio; and how much of it the last final was behind

    def render(self, event: Event) -> list[str]:
        """The messages for an event."""
        match event:
            case SpeechStarted(start=start):
                ended, self._speaking = self._utterance_end(start), True
                began = [_line("SpeechStarted", channel=[0, 1], timestamp=start)] if self._query.vad_events else []
                return ended + began
            case Partial(start=start, end=end, committed=committed, draft=draft):
                return [self._result(start, end, committed + draft)] if committed + draft else []
            case Final(start=start, end=end, text=text, words=words):
                self._speaking, self._end, self._behind = False, end, max(0.0, self._received - end)
                if words:
                    self._utterance = words[-1].end
                cut = bool(self._finalizes) and end > self._finalizes[0] - CUT_SECONDS
                self._finalized |= cut
                over = self._is_over(event)
                return [self._result(start, end, text, words, is_final=True, speech_final=over, from_finalize=cut)]
            case Finalized():
                self._finalizes.popleft()
                answered, self._finalized = self._finalized, False
                return [] if answered else [self._result(self._end, self._end, "", is_final=True, from_finalize=True)]
            case Done(audio_seconds=seconds):
                return [*self._utterance_end(seconds), self._metadata(seconds)]
            case Error(message=message):
                return [error("internal", message)]
        return []

    def heard(self, audio: bytes, seconds: float) -> list[str]:
        """The messages for audio, with which there have been so many seconds."""
        self._audio.update(audio)
        self._received = seconds
        return [] if self._speaking else self._utterance_end(seconds - self._behind)

    def finalize(self, seconds: float) -> None:
        """The client ends the open segment behind so many seconds of audio."""
        self._finalizes.append(seconds)

    def _utterance_end(self, now: float) -> list[str]:
        """That the last word is long past, at this time of the stream."""
        end, patience = self._utterance, self._query.utterance_end_seconds
        if end is None or not patience or now - end < patience:
            return []
        self._utterance = None
        return [_line("UtteranceEnd", channel=[0, 1], last_word_end=end)]

    def _is_over(self, final: Final) -> bool:
        """Whether speech has ended, and is not only cut: an endpoint's silence lies behind the last word."""
        endpoint_seconds = self._query.start.options.endpoint_ms / 1000
        silence = final.end - final.words[-1].end if final.words else endpoint_seconds
        return self._query.endpoints and silence >= endpoint_seconds / 2

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
    await attend(socket, sessions, _open(socket.request.path, sessions, address), error)


def error(code: str, message: str) -> str:
    """What went wrong with the connection."""
    return _line("Error", variant=code, description=message)


async def _open(path: str, sessions: Sessions, address: str) -> Opened:
    query = Query.of(path, sessions.limits.options)
    results = Results(query, sessions.model)
    try:
        session = sessions.open(query.start, address, results)
    except WireError:
        session = sessions.open(query.modest, address, results)
    return Opened(session, lambda message: _take(session, results, message))


def _take(session: Session, results: Results, message: str | bytes) -> None:
    if session.farewell:
        return  # a microphone may send one more piece before it knows
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
                results.finalize(session.incoming.seconds)
            case "CloseStream":
                session.end(Farewell(Close.DONE))
            case "Configure":
                session.say(results.unchanged())
            case other:
                known = "KeepAlive, Finalize, CloseStream, Configure"
                raise WireError(f"type is {quoted(other)}; it must be one of {known}", "SchemaError")
    except WireError as wrong:  # the stream goes on
        session.say(error("SchemaError", str(wrong)))


def _word(word: Word) -> dict[str, Any]:
    bare = word.word.strip(BARE).lower() or word.word
    values = {"word": bare, "start": word.start, "end": word.end, "confidence": word.confidence}
    who = {} if word.speaker is None else {"speaker": word.speaker - 1}
    return {**values, "punctuated_word": word.word, **who}


def _last(given: dict[str, list[str]], name: str, default: str) -> str:
    return given[name][-1] if name in given else default


def _flag(given: dict[str, list[str]], name: str, default: bool = False) -> bool:
    value = _last(given, name, "true" if default else "false")
    if value not in ("true", "false"):
        raise WireError(f"{name} is {value[:60]!r}; it must be true or false")
    return value == "true"


def _whole(given: dict[str, list[str]], name: str, default: int) -> int:
    value = _last(given, name, str(default))
    if not re.fullmatch("[0-9]{1,9}", value):
        raise WireError(f"{name} is {value[:60]!r}; it must be a whole number")
    return int(value)


def _line(kind: str, **values: Any) -> str:
    return json.dumps({"type": kind, **values}, ensure_ascii=False)
