"""Vosk's protocol, on `/vosk`: each piece of audio is answered at once, by a partial or by what has ended.

```
({"config": {…}} | audio | {"reset": 1})* {"eof": 1}  ->  ({"partial": "…"} | {"text": "…", "result": […]})*
```

An answer tells what is known when the audio comes; the stream works behind it. The answers to `reset` and `eof` wait
for everything that came before.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import partial
from typing import Any

from model.scripts import joined
from streamer.dialogue import Opened, attend, receive
from streamer.events import Done, Event, Final, Finalized, Partial
from streamer.fields import OBJECT, TEXTS, WireError, parse_object, quoted, value_of
from streamer.line import Line
from streamer.options import Options
from streamer.session import Farewell, Session
from streamer.sessions import Sessions
from streamer.wire import Close, Start

SAMPLE_RATE = 8_000  # Hz, where a client does not say: as Vosk's server has it
RESET = "reset"
UNKNOWN = "[unk]"  # in a phrase list: any other word


@dataclass(frozen=True, slots=True)
class Configuration:
    """What a client has asked for."""

    options: Options
    sample_rate: int = SAMPLE_RATE
    words: bool = True

    def updated(self, given: dict[str, Any]) -> Configuration:
        """With what a `config` says.

        Raises:
            WireError: names the field, its value and what is allowed.
        """
        within = "config."
        phrases = value_of(given, "phrase_list", TEXTS, (), within)
        options = self.options.hinted((phrase for phrase in phrases if phrase != UNKNOWN), None)
        rate = _number(given, "sample_rate", self.sample_rate, within)
        return Configuration(options, rate, bool(_number(given, "words", self.words, within)))


class Answers:
    """What there is to answer: finals since the last answer, or what the open segment says so far."""

    def __init__(self, words: bool) -> None:
        self._words = words
        self._finals: list[Final] = []
        self._partial = ""

    def render(self, event: Event) -> list[str]:
        """The messages for an event: none, since it is audio that is answered, but for what waits for everything."""
        match event:
            case Partial(committed=committed, draft=draft):
                self._partial = committed + draft
            case Final():
                self._finals.append(event)
                self._partial = ""
            case Finalized(id=name) if name == RESET:
                return [self._ended()]
            case Done():
                return [self._ended()]
        return []

    def answer(self) -> str:
        """The answer to a piece of audio."""
        return self._ended() if self._finals else _line({"partial": self._partial})

    def _ended(self) -> str:
        finals, self._finals = self._finals, []
        values: dict[str, Any] = {"text": joined(final.text for final in finals)}
        words = [word for final in finals for word in final.words]
        if self._words and words:
            names = [{"conf": w.confidence, "end": w.end, "start": w.start, "word": w.word} for w in words]
            values = {"result": names, **values}
        return _line(values)


async def speak(socket: Line, sessions: Sessions, address: str) -> None:
    """Everything from the first message to the close frame."""
    await attend(socket, sessions, _open(socket, sessions, address), error)


def error(code: str, message: str) -> str:
    """What went wrong; Vosk itself says nothing then."""
    return _line({"error": message, "code": code})


async def _open(socket: Line, sessions: Sessions, address: str) -> Opened:
    configuration = Configuration(sessions.limits.options)
    while not isinstance(first := await receive(socket, sessions.limits.idle_seconds), bytes):
        values = parse_object(first)
        if "config" not in values:
            break
        configuration = configuration.updated(value_of(values, "config", OBJECT, {}))
    start = Start(configuration.sample_rate, options=configuration.options)
    session = sessions.open(start, address, answers := Answers(configuration.words))
    take = partial(_take, session, answers, configuration)
    return Opened(session, take, partial(take, first))


def _take(session: Session, answers: Answers, configuration: Configuration, message: str | bytes) -> None:
    if session.farewell:
        return  # a microphone may send one more piece before it knows
    if isinstance(message, bytes):
        session.hear(message)
        session.say(answers.answer())
        return
    values = parse_object(message)
    if "eof" in values:
        session.end(Farewell(Close.DONE))
    elif "reset" in values:
        session.finalize(RESET)
    elif "config" not in values:
        raise WireError(f"the message is {quoted(values)}; it must be audio, a config, reset or eof")
    elif configuration.updated(value_of(values, "config", OBJECT, {})) != configuration:
        raise WireError("a config must come before the audio")


def _number(given: dict[str, Any], name: str, default: int, within: str) -> int:
    """A number, a flag, or either as a text: Vosk takes what Python's `float` takes."""
    value = given.get(name, default)
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise WireError(f"{within}{name} is {quoted(value)}; it must be a number")
    return round(number)


def _line(values: dict[str, Any]) -> str:
    return json.dumps(values, ensure_ascii=False)
