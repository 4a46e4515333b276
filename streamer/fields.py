"""The values of a message's fields, checked one by one: what is wrong is said with name, value and what is allowed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import isfinite
from typing import Any

from model.tasks import HALF_CHARACTER

MOST_TEXT_CHARACTERS = 64 * 1024  # of one message; no honest one is near
MOST_ID_CHARACTERS = 256  # of a name that is kept until it is answered
MOST_CHANNEL_CHARACTERS = 64
MOST_KEYWORDS = 500  # their characters are bounded by Options


class WireError(ValueError):
    """A message that is refused; `code` is for the program at the other end, the text for whoever wrote it."""

    def __init__(self, message: str, code: str = "bad_message") -> None:
        super().__init__(message)
        self.code = code


@contextmanager
def refusing(code: str = "bad_message") -> Iterator[None]:
    """What options, wishes and audio formats refuse with a ValueError is refused as the message that asked for it.

    Raises:
        WireError: with the same text.
    """
    try:
        yield
    except WireError:
        raise
    except ValueError as error:
        raise WireError(str(error), code) from None


def parse_object(text: str, most_characters: int = MOST_TEXT_CHARACTERS) -> dict[str, Any]:
    """The JSON object that a message is.

    Raises:
        WireError: it is too long, or no such thing.
    """
    if len(text) > most_characters:
        raise WireError(f"the message has {len(text)} characters; at most {most_characters} are read", "too_big")
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:  # the latter: a thousand opening brackets
        raise WireError(f"the message is not JSON ({error})") from None
    if not isinstance(values, dict):
        raise WireError(f"the message is {quoted(values)}; it must be an object with a type")
    return values


@dataclass(frozen=True, slots=True)
class Kind:
    """What a field may hold."""

    wanted: str  # in words, for whoever sent something else
    holds: Callable[[Any], bool]  # whether a value is of this kind


def value_of(values: dict[str, Any], name: str, kind: Kind, default: Any = None, within: str = "") -> Any:
    """The value of a field, or the default where it is missing or null; `within` names what has it, with a dot.

    Raises:
        WireError: it is of another kind.
    """
    value = values.get(name)
    if value is None:
        return default
    if not kind.holds(value):
        raise WireError(f"{within}{name} is {quoted(value)}; it must be {kind.wanted}")
    return value


WHOLE = Kind("a whole number", lambda value: isinstance(value, int) and not isinstance(value, bool))
COUNT = Kind("a whole number, 0 or more", lambda value: WHOLE.holds(value) and value >= 0)
NUMBER = Kind("a number", lambda value: WHOLE.holds(value) or (isinstance(value, float) and isfinite(value)))
FLAG = Kind("true or false", lambda value: isinstance(value, bool))
TEXT = Kind("a text", lambda value: isinstance(value, str) and not HALF_CHARACTER.search(value))
SHORT_TEXT = Kind(  # that may be kept
    f"a text of at most {MOST_ID_CHARACTERS} characters",
    lambda value: TEXT.holds(value) and len(value) <= MOST_ID_CHARACTERS,
)
CHANNEL = Kind(
    f"a text of 1 to {MOST_CHANNEL_CHARACTERS} characters",
    lambda value: TEXT.holds(value) and 1 <= len(value) <= MOST_CHANNEL_CHARACTERS,
)
TEXTS = Kind("a list of texts", lambda value: isinstance(value, list) and all(map(TEXT.holds, value)))
KEYWORDS = Kind(
    f"a list of at most {MOST_KEYWORDS} texts", lambda value: TEXTS.holds(value) and len(value) <= MOST_KEYWORDS
)
OBJECT = Kind("an object", lambda value: isinstance(value, dict))


def one_of(*choices: str) -> Kind:
    """One of these texts."""
    return Kind(f"one of {', '.join(choices)}", lambda value: value in choices)


def quoted(value: Any) -> str:
    """A value as it is repeated in an answer: not all of a long one."""
    try:
        text = json.dumps(value)  # in ASCII, so that no surrogate gets into an answer
    except RecursionError:  # it could just be read
        text = "nested too deeply"
    return text if len(text) <= 60 else f"{text[:60]}…"
