"""What the overlay has to say at a moment: captions, a message, or what is wrong. Pure: no Qt, no clock of its own."""

from __future__ import annotations

import math
from dataclasses import dataclass

from clients.overlay.roll import Roll
from clients.wrapping import Measure, Row
from streamer.events import Event, Final, Partial, SpeechStarted


@dataclass(frozen=True, slots=True)
class Shown:
    """What is to be seen: rows of captions, or a notice, or nothing."""

    rows: tuple[Row, ...] = ()
    notice: str = ""


NOTHING = Shown()
READ_SECONDS = 4.0  # what was said last stays when something is wrong; then it is seen what is


class Board:
    """Takes what happens and knows what to show. Times are seconds of any clock that only goes forward."""

    def __init__(self, hide_seconds: float) -> None:
        """Captions go so long after the last change; 0: they stay."""
        self._hide_seconds = hide_seconds
        self._roll = Roll(len, 1, 1)  # until `lay_out`
        self._rows: list[Row] = []
        self._message = ""  # what happened: until something is said, or for as long as captions stay
        self._trouble = ""  # what is wrong: seen once the last words were read, for as long as it lasts
        self._changed_at = 0.0
        self._open = ("", "")  # the committed text and the draft of the open segment

    def lay_out(self, measure: Measure, width: float, lines: int) -> None:
        """The font or the window is another: what is seen is divided anew."""
        self._roll.lay_out(measure, width, lines)
        if self._rows:
            self._rows = self._roll.show(*self._open)

    def take(self, event: Event, now: float) -> None:
        """Something was said."""
        match event:
            case SpeechStarted():
                self._go_on("")
            case Partial(committed=committed, draft=draft):
                self._go_on(committed)
                self._open = (committed, draft)
                self._put(self._roll.show(committed, draft), bool(committed + draft), now)
            case Final(text=text):
                self._go_on(text)
                self._open = ("", "")
                self._put(self._roll.settle(text), bool(text), now)

    def say(self, message: str, now: float) -> None:
        """Something happened."""
        self._message, self._changed_at = message, now

    def trouble(self, what: str) -> None:
        """Something is wrong from now on; nothing: it is well again."""
        self._trouble = what

    def shown(self, now: float) -> Shown:
        """What is to be seen now."""
        if self.hides_in(now) == 0:
            self._roll.clear()
            self._rows, self._message, self._open = [], "", ("", "")
        if self._message:
            return Shown(notice=self._message)
        if self._rows:
            return Shown(rows=tuple(self._rows))
        return Shown(notice=self._trouble)

    def hides_in(self, now: float) -> float | None:
        """Seconds until captions and messages go; None: they do not."""
        stay_seconds = min(self._hide_seconds or math.inf, READ_SECONDS if self._trouble else math.inf)
        if not (self._rows or self._message) or stay_seconds == math.inf:
            return None
        return max(0.0, self._changed_at + stay_seconds - now)

    def _go_on(self, text: str) -> None:
        """A text that does not begin with what was committed is another segment's: a connection was lost in between."""
        if not text.startswith(self._open[0]):
            self._roll.settle(self._open[0])
            self._open = ("", "")

    def _put(self, rows: list[Row], said: bool, now: float) -> None:
        self._rows = rows
        if said:
            self._message, self._changed_at = "", now
