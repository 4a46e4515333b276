"""Who sees a stream's events: the terminal or the pipe, and the file that is written when all is said."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TextIO

from clients.formats import writer
from clients.terminal import EventView, PipeView, TerminalView, View, can_draw
from streamer.events import Event


class Audience:
    """The views of one recording, chosen once; use it as a context, so that a terminal is left clean."""

    def __init__(self, out: TextIO, form: str, model: str, output: Path | None, events: bool, live: bool) -> None:
        """Shows on `out`, or writes to `output` if there is one; `events` and `live` are what the user asked for."""
        self._output, self._file = output, io.StringIO()
        self._views: list[View] = []
        if output:
            self._views.append(PipeView(self._file, writer(form, model)))
        shown = "text" if output else form
        if events:
            self._views.append(EventView(out))
        elif live and shown == "text" and can_draw(out):
            self._views.append(TerminalView(out))
        elif live or not output:
            self._views.append(PipeView(out, writer(shown, model)))

    def __enter__(self) -> Audience:
        return self

    def __exit__(self, *_: object) -> None:
        for view in self._views:
            view.close()

    def show(self, event: Event) -> None:
        """Shows it to all."""
        for view in self._views:
            view.show(event)

    def write(self) -> None:
        """Puts the transcript on disk. Only when it is whole: half of one looks like a whole one."""
        if self._output:
            self._output.write_text(self._file.getvalue(), encoding="utf-8", newline="\n")
