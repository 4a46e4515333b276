"""What `plus` writes between its words: who speaks (`[Speaker 1]:`) and when each word ends (`[T:45]`).

A time is in hundredths of a second since the recording began, of which only the last three digits are written. Silence
is written as the word `_`, so that the word after it can be known to begin where it ends.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

WRAP = 1000  # hundredths of a second after which times begin again: 10 s
JITTER = 20  # hundredths by which a time may lie before the one before it: a slip, not 9.8 s of silence
SILENCE = "_"

TIME, SPEAKER = r"\[T:(?P<time>\d+)\]", r"\[Speaker (?P<speaker>\d+)\]:?"
CUT_SHORT = r"\[(?:T(?::\d*)?|S[a-z]*(?: \d*)?)?$"  # a tag whose rest is not written yet
PIECE = re.compile(rf"{TIME}|{SPEAKER}|{CUT_SHORT}|(?P<word>(?:(?!\[T:\d|\[Speaker \d)\S)+)")


@dataclass(frozen=True, slots=True)
class TaggedWord:
    """A word, and what the model says of it."""

    word: str
    start: float | None = None  # seconds; where what was said before it ends
    end: float | None = None  # seconds
    speaker: int | None = None  # from 1 on, in the order they first speak


def parse(text: str) -> list[TaggedWord]:
    """The words of a text with tags; those without tags have neither times nor speakers."""
    clock, speaker, before = 0, None, 0
    words: list[TaggedWord] = []
    waiting = ""  # the word whose time has not come yet
    for kind, value in _pieces(text):
        if kind == "time":
            clock = unwrap(clock, int(value))
            if waiting and waiting != SILENCE:
                words.append(TaggedWord(waiting, before / 100, clock / 100, speaker))
            waiting, before = "", clock
            continue
        if waiting and waiting != SILENCE:
            words.append(TaggedWord(waiting, speaker=speaker))
        waiting = value if kind == "word" else ""
        if kind == "speaker":
            speaker = int(value)
    if waiting and waiting != SILENCE:
        words.append(TaggedWord(waiting, speaker=speaker))
    return words


def unwrap(clock: int, time: int) -> int:
    """The time, in hundredths of a second, that comes next after `clock` and ends in the digits of `time`."""
    gone = (time - clock) % WRAP
    slipped = clock > 0 and gone >= WRAP - JITTER
    return clock if slipped else clock + gone


def _pieces(text: str) -> Iterator[tuple[str, str]]:
    for found in PIECE.finditer(text):
        if found.lastgroup is not None:  # not a tag that is cut short
            yield found.lastgroup, found[found.lastgroup]
