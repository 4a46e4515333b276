"""All that a user sees of a microphone: captions, the status line, notices, and the file that is written meanwhile."""

from __future__ import annotations

import errno
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import TextIO

from clients.arguments import Complain
from clients.formats import clock, mark_text
from clients.livefile import LiveFile
from clients.promised import Promised
from clients.status import Status, line
from clients.terminal import EventView, PipeView, TerminalView, can_draw, view_on
from streamer.events import Event, Final


class Display:
    """Chooses once how to show; use it as a context, so that a terminal is left clean."""

    def __init__(
        self,
        out: TextIO,
        err: TextIO,
        complain: Complain,
        status: Status,
        form: str = "text",
        model: str = "",
        events: bool = False,
        file: LiveFile | None = None,
    ) -> None:
        """Captions go to `out`.

        Args:
            out: a terminal gets captions that grow, anything else finals.
            err: gets the status line, if it is a terminal and `out` is none.
            complain: tells the user one line, where no terminal shows notices.
            status: what the status line says; the owner changes it as it goes.
            form: what finals are written as, if not shown on a terminal as text.
            model: what the transcript says it was made with.
            events: JSON instead of finals.
            file: gets the finals too.
        """
        self._complain, self._status, self._file = complain, status, file
        self._promised = Promised()
        self._in_window, self._closed = out.isatty(), False  # captions are on a terminal; it is gone
        show_status = partial(line, status)
        self._captions = view_on(out, form, model, events, status=show_status)
        self._screen = self._captions if isinstance(self._captions, TerminalView) else None  # shows the status line
        # Events come so often that a status line between them would only flicker.
        if self._screen is None and can_draw(err) and not (events and can_draw(out)):
            self._screen = TerminalView(err, status=show_status)

    def __enter__(self) -> Display:
        return self

    def __exit__(self, *_: object) -> None:
        with ExitStack() as last:  # one after the other from the end, whatever one of them fails with
            last.callback(self.leave)
            last.callback(self._tell, self._captions.close)
            if not isinstance(self._captions, EventView) and (final := self._promised.keep()):
                last.callback(self.show, final)

    def show(self, event: Event) -> None:
        """Shows it everywhere: a terminal may have been closed, or the disk be full."""
        self._promised.take(event)
        try:
            if self._file:
                self._file.show(event)
        finally:
            if self._screen and self._screen is not self._captions and isinstance(event, Final):
                self._draw(self._screen.erase)  # perhaps both are one terminal, as behind `| tee`
            self._tell(self._captions.show, event)

    def say(self, notice: str) -> None:
        """Tells what happened, and when."""
        if self._screen:
            self._draw(self._screen.say, f"[{clock(self._status.seconds)} {notice}]")
        else:
            self._complain(notice)

    def mark(self, number: int) -> None:
        """Marks this moment for the user to find again."""
        seconds = self._status.seconds
        if self._file:
            self._file.mark(number, seconds)
        if isinstance(self._captions, PipeView):
            self._captions.mark(number, seconds)
        if self._screen:
            self._draw(self._screen.say, f"[{mark_text(number, seconds)}]")

    def refresh(self) -> None:
        """Redraws the status line."""
        if self._screen:
            self._draw(self._screen.refresh)

    def leave(self) -> None:
        """Leaves the terminal to another program for a while."""
        if self._screen:
            self._draw(self._screen.close)

    def _tell(self, tell: Callable[..., None], *given: object) -> None:
        """Has captions told, wherever they go."""
        if self._in_window:
            self._draw(tell, *given)
        else:
            tell(*given)

    def _draw(self, draw: Callable[..., None], *given: object) -> None:
        """Draws on a terminal for as long as its window is there; what is kept elsewhere goes on without it."""
        if self._closed:
            return
        try:
            draw(*given)
        except OSError as error:
            if error.errno != errno.EIO or (self._in_window and not self._file):
                raise
            self._closed = True
