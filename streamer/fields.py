"""The values of a message's fields, checked one by one: what is wrong is said with name, value and what is allowed.

Each kind gives what is allowed if the value is something else, and None if it is well.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
        raise WireError(f"the message is {shown(values)}; it must be an object with a type")
    return values


def value_of(
    values: dict[str, Any], name: str, allowed: Callable[[Any], str | None], default: Any = None, within: str = ""
) -> Any:
    """The value of a field, or the default where it is missing or null; `within` names what has it, with a dot.

    Raises:
        WireError: it is not what is allowed.
    """
    value = values.get(name)
    if value is None:
        return default
    if (wanted := allowed(value)) is not None:
        raise WireError(f"{within}{name} is {shown(value)}; it must be {wanted}")
    return value


def a_whole(value: Any) -> str | None:
    """A whole number."""
    return None if isinstance(value, int) and not isinstance(value, bool) else "a whole number"


def a_count(value: Any) -> str | None:
    """A whole number that can count something."""
    return None if a_whole(value) is None and value >= 0 else "a whole number, 0 or more"


def a_number(value: Any) -> str | None:
    """Any number; JSON's NaN and Infinity are none."""
    well = a_whole(value) is None or (isinstance(value, float) and isfinite(value))
    return None if well else "a number"


def a_flag(value: Any) -> str | None:
    """Yes or no."""
    return None if isinstance(value, bool) else "true or false"


def a_text(value: Any) -> str | None:
    """A text; how long it may be is known elsewhere."""
    return None if isinstance(value, str) and not HALF_CHARACTER.search(value) else "a text"


def a_short_text(value: Any) -> str | None:
    """A text that may be kept."""
    allowed = f"a text of at most {MOST_ID_CHARACTERS} characters"
    return None if a_text(value) is None and len(value) <= MOST_ID_CHARACTERS else allowed


def a_channel(value: Any) -> str | None:
    """A name for a channel."""
    well = a_text(value) is None and 1 <= len(value) <= MOST_CHANNEL_CHARACTERS
    return None if well else f"a text of 1 to {MOST_CHANNEL_CHARACTERS} characters"


def texts(value: Any) -> str | None:
    """Texts, as many as a message holds."""
    return None if isinstance(value, list) and all(a_text(each) is None for each in value) else "a list of texts"


def some_texts(value: Any) -> str | None:
    """Texts, not too many."""
    well = texts(value) is None and len(value) <= MOST_KEYWORDS
    return None if well else f"a list of at most {MOST_KEYWORDS} texts"


def an_object(value: Any) -> str | None:
    """Fields again."""
    return None if isinstance(value, dict) else "an object"


def one_of(*choices: str) -> Callable[[Any], str | None]:
    """One of these texts."""
    return lambda value: None if value in choices else f"one of {', '.join(choices)}"


def shown(value: Any) -> str:
    """A value as it is repeated in an answer: not all of a long one."""
    try:
        text = json.dumps(value)  # in ASCII, so that no surrogate gets into an answer
    except RecursionError:  # it could just be read
        text = "nested too deeply"
    return text if len(text) <= 60 else f"{text[:60]}…"
