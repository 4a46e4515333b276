"""Text that grows at its end, a few rows of which are seen. Pure: how wide a text is, somebody else knows.

No word in sight moves but upwards: rows that are full stay as they are, also when a draft gets shorter or the oldest
rows are forgotten.
"""

from __future__ import annotations

from clients.wrapping import Measure, Row, wrap
from model.scripts import apart

SPARE_ROWS = 2  # above those seen; what is older is forgotten, by whole rows


class Roll:
    """The rows of captions that come one segment after the other."""

    def __init__(self, measure: Measure, width: float, lines: int) -> None:
        """Shows so many rows of this width."""
        self._measure, self._width, self._lines = measure, width, lines
        self._past = ""  # finals, as far as they have not been forgotten
        self._skipped = 0  # characters of the open segment that have
        self._most = 0  # rows that the text has had

    def lay_out(self, measure: Measure, width: float, lines: int) -> None:
        """From now on rows are so wide, and so many are shown."""
        self._measure, self._width, self._lines = measure, width, lines
        self._most = 0

    def clear(self) -> None:
        """Forgets all that was said."""
        self._past, self._skipped, self._most = "", 0, 0

    def show(self, committed: str, draft: str) -> list[Row]:
        """The rows to show, oldest first: the open segment, and as much before it as there is room for."""
        rows = self._rows(committed, draft)
        if len(rows) > self._lines + SPARE_ROWS and self._forget(rows[: -self._lines], committed, draft):
            rows = self._rows(committed, draft)
            self._most = len(rows)
        # no more empty rows than leave some words in sight
        self._most = max(len(rows), min(self._most, len(rows) + self._lines - 1)) if rows else 0
        rows += [Row()] * (self._most - len(rows))
        return rows[-self._lines :]

    def settle(self, text: str) -> list[Row]:
        """The same for a final: its segment is over."""
        rows = self.show(text, "")
        self._past = self._before(text) + text[self._skipped :]
        self._skipped = 0
        return rows

    def _before(self, text: str) -> str:
        return f"{self._past} " if apart(self._past, text) else self._past

    def _rows(self, committed: str, draft: str) -> list[Row]:
        settled = self._before(committed + draft) + committed[self._skipped :]
        return list(wrap(settled, draft, self._measure, self._width))

    def _forget(self, rows: list[Row], committed: str, draft: str) -> bool:
        """Forgets these rows if they stand for good: what comes behind them is divided as it was."""
        if any(row.draft for row in rows):
            return False  # a later text will do
        characters, before = sum(len(row.committed) for row in rows), self._before(committed + draft)
        self._past = self._past[characters:]
        self._skipped += max(0, characters - len(before))
        return True
