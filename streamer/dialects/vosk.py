"""Vosk's protocol, on `/vosk`: each piece of audio is answered at once, by a partial or by a sentence that has ended.

```
{"config": {…}}? (audio)* {"eof": 1}  ->  ({"partial": "…"} | {"text": "…", "result": […]})*
```

An answer tells what is known when the audio comes; the stream works behind it. The answer to `eof` is the last one, and
waits for everything.
"""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass, replace
from typing import Any

from websockets.exceptions import ConnectionClosed

from model.scripts import joined
from streamer.dialogue import attend, farewell_for, part, receive
from streamer.events import Done, Event, Final, Partial
from streamer.fields import WireError, a_flag, a_number, an_object, field, parse_object, some_texts
from streamer.line import Line
from streamer.options import Options
from streamer.session import Farewell, Session
from streamer.sessions import Sessions
from streamer.wire import Close, Start

SAMPLE_RATE = 8_000  # Hz, where a client does not say: as Vosk's server has it


@dataclass(frozen=True, slots=True)
class Configuration:
    """What a client has asked for before its audio."""

    options: Options
    sample_rate: int = SAMPLE_RATE
    words: bool = True

    def updated(self, text: str) -> Configuration:
        """With what a message says.

        Raises:
            WireError: it is no configuration; the message says what is allowed.
        """
        values = parse_object(text)
        given = field(values, "config", an_object)
        if given is None:
            raise WireError("the first message must be audio or a config")
        within = "config."
        wish = self.options.wish
        if keywords := field(given, "phrase_list", some_texts, (), within):
            wish = replace(wish, keywords=tuple(keywords))
        try:
            options = replace(self.options, wish=wish)
        except ValueError as error:
            raise WireError(str(error)) from None
        rate = round(field(given, "sample_rate", a_number, self.sample_rate, within))
        return Configuration(options, rate, field(given, "words", a_flag, self.words, within))


class Answers:
    """What there is to answer: sentences that have ended since the last answer, or what the open one says so far."""

    def __init__(self, words: bool) -> None:
        self._words = words
        self._finals: deque[Final] = deque()
        self._partial = ""

    def tell(self, event: Event) -> list[str]:
        """The messages for an event: none, since it is audio that is answered, but for the end."""
        match event:
            case Partial(committed=committed, draft=draft):
                self._partial = committed + draft
            case Final():
                self._finals.append(event)
                self._partial = ""
            case Done():
                return [self._sentence(list(self._finals))]
        return []

    def answer(self) -> str:
        """The answer to a piece of audio."""
        return self._sentence([self._finals.popleft()]) if self._finals else _line({"partial": self._partial})

    def _sentence(self, finals: list[Final]) -> str:
        values: dict[str, Any] = {"text": joined(final.text for final in finals)}
        words = [word for final in finals for word in final.words]
        if self._words and words:
            names = [{"conf": w.confidence, "end": w.end, "start": w.start, "word": w.word} for w in words]
            values = {"result": names, **values}
        return _line(values)


async def speak(socket: Line, sessions: Sessions, address: str) -> None:
    """Everything from the first message to the close frame."""
    try:
        configuration = Configuration(sessions.limits.options)
        idle = sessions.limits.idle_seconds
        while not isinstance(first := await receive(socket, idle), bytes) and not _is_end(first):
            configuration = configuration.updated(first)
        start = Start(configuration.sample_rate, options=configuration.options)
        session = sessions.open(start, address, answers := Answers(configuration.words))
    except ConnectionClosed:
        return  # it left before it said anything
    except (Farewell, WireError) as refusal:
        await part(socket, sessions, farewell_for(refusal), error)
        return

    def take(message: str | bytes) -> None:
        _take(session, answers, message)

    take(first)
    await attend(socket, sessions, session, take, error)


def error(code: str, message: str) -> str:
    """What went wrong; Vosk itself says nothing then."""
    return _line({"error": message, "code": code})


def _take(session: Session, answers: Answers, message: str | bytes) -> None:
    if isinstance(message, bytes):
        session.hear(message)
        session.say(answers.answer())
    elif _is_end(message):
        session.end(Farewell(Close.DONE))
    else:
        raise WireError("a config must come before the audio")


def _is_end(text: str) -> bool:
    return "eof" in parse_object(text)


def _line(values: dict[str, Any]) -> str:
    return json.dumps(values, ensure_ascii=False)
