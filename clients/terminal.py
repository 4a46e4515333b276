"""Views on a terminal or a pipe: events in, characters out.

The live view redraws nothing but the open segment. Its cursor rests, hidden, on the first cell of that segment: when
the window changes its width, terminals that reflow their text and terminals that do not both keep that cell under the
cursor, so a redraw needs no knowledge of the old width.
"""

from __future__ import annotations

import codecs
import json
import os
import re
from collections.abc import Callable
from functools import partial
from typing import Protocol, TextIO

from rich.cells import cell_len

from clients.formats import Writer, writer
from clients.plain import printable
from clients.status import DIM, PLAIN
from clients.wrapping import wrap
from streamer.events import Done, Event, Final, Partial, SpeechStarted

HIDE_CURSOR, SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"
BEGIN_UPDATE, END_UPDATE = "\x1b[?2026h", "\x1b[?2026l"  # drawn at once where the terminal knows it, else ignored
WRAP_OFF, WRAP_ON = "\x1b[?7l", "\x1b[?7h"
ERASE_LINE, ERASE_BELOW = "\x1b[K", "\x1b[J"
CLEAN = f"\r{ERASE_BELOW}{WRAP_ON}{SHOW_CURSOR}"
NOT_ASCII = re.compile(r"[^\x00-\x7f]")


class View(Protocol):
    """Shows one stream to somebody."""

    def show(self, event: Event) -> None:
        """Shows what the event changes."""

    def close(self) -> None:
        """Leaves everything clean, also after an interruption."""


class PipeView:
    """Finals only, in some format, flushed one by one, for a program that reads along."""

    def __init__(self, out: TextIO, writer: Writer, spell: Callable[[str], str] = str) -> None:
        """`spell` puts what is written into letters that `out` has."""
        self._out, self._writer, self._spell = out, writer, spell
        self._unfinished_seconds: float | None = None  # of audio in what has been written and has no end yet

    def show(self, event: Event) -> None:
        """Writes a final, and what the format ends with."""
        match event:
            case Final():
                self._unfinished_seconds = event.end
                self._write(self._writer.add(event))
            case Done():
                self._unfinished_seconds = None
                self._write(self._writer.finish(event.audio_seconds))

    def mark(self, number: int, seconds: float) -> None:
        """Writes a mark."""
        self._write(self._writer.mark(number, seconds))

    def close(self) -> None:
        """Writes what the format ends with, if the run has failed before: what was final is not lost."""
        if self._unfinished_seconds is not None:
            self._write(self._writer.finish(self._unfinished_seconds))

    def _write(self, text: str) -> None:
        if text:
            self._out.write(self._spell(text))
            self._out.flush()


class EventView:
    """One JSON event a line."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def show(self, event: Event) -> None:
        """Writes the event."""
        self._out.write(json_for(self._out, event.to_json()) + "\n")
        self._out.flush()

    def close(self) -> None:
        """Nothing to clean: a pipe never holds half a line."""


class TerminalView:
    """Finals scroll away like any output; below them the open segment, committed words plain, the draft dimmed.

    The last line may be a status line, which is always there.
    """

    def __init__(
        self,
        out: TextIO,
        size: Callable[[], tuple[int, int]] | None = None,
        status: Callable[[int], str] | None = None,
    ) -> None:
        """Draws on `out`.

        Args:
            out: the terminal.
            size: columns and lines, asked at each update since windows are resized.
            status: the status line that fits so many cells, asked at each update too.
        """
        self._out = out
        self._size = size or (lambda: os.get_terminal_size(out.fileno()))
        self._status = status
        self._committed = self._draft = ""  # what the open segment says
        self._drawn: list[str] = []
        self._width = 0

    def show(self, event: Event) -> None:
        """Redraws the open segment; a final leaves it for good."""
        match event:
            case Partial():
                self._committed, self._draft = event.committed, event.draft
            case SpeechStarted() | Final():
                self._committed = self._draft = ""
        self._draw(*([event.text] if isinstance(event, Final) else []))

    def say(self, notice: str) -> None:
        """Writes a line between the finals, dimmed."""
        self._draw(notice, dimmed=True)

    def refresh(self) -> None:
        """Redraws what has changed without an event: the status line, the size of the window."""
        self._draw()

    def erase(self) -> None:
        """Takes the open segment and the status line off the screen, until they are drawn again."""
        if self._drawn:
            self._out.write(f"\r{ERASE_BELOW}")
            self._out.flush()
        self._drawn = []

    def close(self) -> None:
        """Takes the open segment off the screen and gives the cursor back; finals stay."""
        self._drawn = []
        self._out.write(CLEAN)
        self._out.flush()

    def leave(self) -> None:
        """The same for a while, also in the midst of a `show`: a signal may come at any moment."""
        self._drawn = []
        os.write(self._out.fileno(), CLEAN.encode())

    def _draw(self, *said: str, dimmed: bool = False) -> None:
        columns, rows = self._size()
        # One column stays free: a full line leaves the cursor in a state on which terminals disagree.
        width = max((columns or 80) - 1, 1)  # some pseudo-terminals do not know their size and say 0
        resized, self._width = width != self._width, width
        leaving = [line for text in said for line in (wrapped("", text, width) if dimmed else wrapped(text, "", width))]
        staying = self._staying(width, rows or 24)
        # Erasing behind the text, not before it: there is no moment at which the words are gone. Except after a
        # resize: terminals remember which rows they have wrapped, and forget it only when the row is erased.
        before = ERASE_LINE if resized else ""
        above = "".join(f"{before}{line}{ERASE_LINE}\n" for line in leaving)
        drawing = "\n".join(f"{before}{line}{ERASE_LINE}" for line in staying)
        back = f"\x1b[{len(staying) - 1}A" if len(staying) > 1 else ""
        if leaving or resized or staying != self._drawn:
            # Without wrapping a line is one row, also while the window is already narrower than we have been told.
            drawing = f"{WRAP_OFF}{drawing}{ERASE_BELOW}\r{back}{WRAP_ON}"
            self._out.write(f"{BEGIN_UPDATE}{HIDE_CURSOR}\r{above}{drawing}{END_UPDATE}")
            self._out.flush()
        self._drawn = staying

    def _staying(self, width: int, rows: int) -> list[str]:
        """The lines that the next update replaces."""
        status = [self._status(width)] if self._status else []
        still_open = wrapped(self._committed, self._draft, width)
        return still_open[-max(rows - len(status), 1) :] + status


def view_on(
    out: TextIO,
    form: str,
    model: str,
    events: bool = False,
    live: bool = True,
    status: Callable[[int], str] | None = None,
) -> View:
    """The view that suits `out`: events, captions that grow where they can be drawn, or finals in this format.

    Args:
        out: a terminal or a pipe.
        form: the format of finals; only text is drawn.
        model: what they say they were made with.
        events: wanted instead of captions.
        live: captions are to grow.
        status: see `TerminalView`.
    """
    if events:
        return EventView(out)
    if live and form == "text" and can_draw(out):
        return TerminalView(out, status=status)
    return PipeView(out, writer(form, model), partial(json_for, out) if form == "json" else str)


def json_for(out: TextIO, text: str) -> str:
    """JSON with all its letters, whatever `out` can encode: to readers JSON is UTF-8, or has them escaped."""
    if codecs.lookup(out.encoding or "utf-8").name == "utf-8":
        return text
    return NOT_ASCII.sub(lambda letter: json.dumps(letter[0])[1:-1], text)


def can_draw(stream: TextIO) -> bool:
    """Whether it is a terminal that knows more than to write one line below the other."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def wrapped(committed: str, draft: str, width: int) -> list[str]:
    """`committed + draft` as lines at most `width` cells wide, the draft dimmed. No text, no line."""
    lines = []
    for row in wrap(printable(committed), printable(draft), cell_len, width):
        draft = row.draft.rstrip()
        lines.append(f"{row.committed}{DIM}{draft}{PLAIN}" if draft else row.committed.rstrip())
    return lines
