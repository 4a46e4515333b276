"""What `plus` writes between its words: who speaks (`[Speaker 1]:`) and when each word ends (`[T:45]`).

A time is in hundredths of a second since the recording began, of which only the last three digits are written. Silence
is written as the word `_`, so that the word after it can be known to begin where it ends.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

WRAP = 1000  # hundredths of a second after which times begin again: 10 s
JITTER = 20  # hundredths by which a time may lie before the one before it: a slip, not 9.8 s of silence
SILENCE = "_"

TIME, SPEAKER = r"\[T:(?P<time>\d+)\]", r"\[Speaker (?P<speaker>\d+)\]:?"
CUT_SHORT = r"\[(?:T(?::\d*)?|S[a-z]*(?: \d*)?)?$"  # a tag whose rest is not written yet
PIECE = re.compile(rf"{TIME}|{SPEAKER}|{CUT_SHORT}|(?P<word>(?:(?!\[T:\d|\[Speaker \d|{CUT_SHORT})\S)+)")


@dataclass(frozen=True, slots=True)
class TaggedWord:
    """A word, and what the model says of it."""

    word: str
    start: float | None = None  # seconds; where what was said before it ends
    end: float | None = None  # seconds
    speaker: int | None = None  # from 1 on, in the order they first speak


def parse(text: str) -> list[TaggedWord]:
    """The words of a text with tags; those without tags have neither times nor speakers."""
    return [word for word, _ in _said(text)]


def said(spelled: Sequence[tuple[str, int]]) -> list[tuple[TaggedWord, int]]:
    """Of the words that tokens spell, each with the index after its last token, those that were said.

    A speaker's tag belongs to the word behind it, a time to the word before.
    """
    ends = list(accumulate(len(text) + 1 for text, _ in spelled))  # of each text and the space behind it
    return [(word, spelled[bisect_left(ends, end)][1]) for word, end in _said(" ".join(text for text, _ in spelled))]


def shown(text: str) -> str:
    """What people should read of a text with tags: its words, and who speaks."""
    pieces = ((kind, value) for kind, value, _ in _pieces(text) if kind != "time" and value != SILENCE)
    return " ".join(value if kind == "word" else f"[Speaker {value}]:" for kind, value in pieces)


def _said(text: str) -> Iterator[tuple[TaggedWord, int]]:
    """The words of a text, each with the index after its last character, or after that of its time."""
    clock, speaker, before = 0, None, 0
    waiting, reached = "", 0  # the word whose time has not come yet, and where it ends
    for kind, value, end in [*_pieces(text), ("end", "", len(text))]:
        if kind == "time":
            clock = unwrap(clock, int(value))
            if waiting:
                yield TaggedWord(waiting, before / 100, clock / 100, speaker), end
            waiting, before = "", clock
            continue
        if waiting:
            yield TaggedWord(waiting, speaker=speaker), reached
        waiting, reached = value if kind == "word" and value != SILENCE else "", end
        if kind == "speaker":
            speaker = int(value)


def unwrap(clock: int, time: int) -> int:
    """The time, in hundredths of a second, that comes next after `clock` and ends in the digits of `time`."""
    gone = (time - clock) % WRAP
    slipped = clock > 0 and gone >= WRAP - JITTER
    return clock if slipped else clock + gone


def _pieces(text: str) -> Iterator[tuple[str, str, int]]:
    """Words and tags: what each is, what it says, and the index after it."""
    for found in PIECE.finditer(text):
        if found.lastgroup is not None:  # not a tag that is cut short
            yield found.lastgroup, found[found.lastgroup], found.end()
