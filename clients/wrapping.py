"""Text in rows of whole words, wherever it is drawn. Pure: how wide a text is, somebody else knows."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass

Measure = Callable[[str], float]  # the width of a text, in pixels or in cells of a terminal

WORDS = re.compile(r"\s*\S+\s*")


@dataclass(frozen=True, slots=True)
class Row:
    """One row: what stands for good, and behind it what may change."""

    committed: str = ""
    draft: str = ""


def wrap(committed: str, draft: str, measure: Measure, width: float) -> Iterator[Row]:
    """Divides a text into rows that lose no character: a space at a row's end stays there, unseen."""
    text, border, start, end = committed + draft, len(committed), 0, 0

    def row() -> Row:
        return Row(text[start : max(start, min(end, border))], text[max(start, border) : end])

    for word in WORDS.finditer(text):
        if measure(text[start : word.end()].strip()) <= width:
            end = word.end()
            continue
        if end > start:
            yield row()
        start, end = word.start(), word.end()
        while measure(text[start:end].strip()) > width:  # one word, wider than a row
            end = start + _fitting(text[start:end], measure, width)
            yield row()
            start, end = end, word.end()
    if end > start:
        yield row()


def _fitting(word: str, measure: Measure, width: float) -> int:
    """How many of its characters fit; at least one."""
    return max(1, bisect_right(range(1, len(word)), width, key=lambda count: measure(word[:count])))
