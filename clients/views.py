"""Who sees a stream's events: the terminal or the pipe, and the file that is written when all is said."""

from __future__ import annotations

import io
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from clients.formats import writer
from clients.promised import Promised
from clients.terminal import EventView, PipeView, TerminalView, View, can_draw
from streamer.events import Event


class Audience:
    """The views of one recording, chosen once; as a context it leaves a terminal clean, and keeps what was heard."""

    def __init__(
        self, out: TextIO, complain: Callable[[str], None], given: Namespace, model: str, output: Path | None
    ) -> None:
        """Shows on `out`, or writes to `output` if there is one.

        Args:
            out: the terminal or the pipe.
            complain: tells the user one line.
            given: what the user typed: `format`, `events`, `live`.
            model: what transcripts say they were made with.
            output: the transcript's file.
        """
        self._complain, self._output, self._file = complain, output, io.StringIO()
        self._whole = False  # the transcript is, and on disk
        self._promised = Promised()
        self._views: list[View] = []
        if output:
            self._views.append(PipeView(self._file, writer(given.format, model)))
        shown = "text" if output else given.format
        if given.events:
            self._views.append(EventView(out))
        elif given.live and shown == "text" and can_draw(out):
            self._views.append(TerminalView(out))
        elif given.live or not output:
            self._views.append(PipeView(out, writer(shown, model)))

    def __enter__(self) -> Audience:
        return self

    def __exit__(self, *_: object) -> None:
        final = self._promised.final()
        try:
            for view in self._views:  # the file first
                if final and not isinstance(view, EventView):
                    view.show(final)
                view.close()
        finally:
            if not self._whole:
                self._write_part()

    def show(self, event: Event) -> None:
        """Shows it to all."""
        self._promised.take(event)
        for view in self._views:
            view.show(event)

    def write(self) -> None:
        """Puts the transcript on disk: it is whole."""
        if self._output:
            self._write(self._output)
        self._whole = True

    def _write_part(self) -> None:
        """Half of a transcript looks like a whole one, so it gets another name."""
        if self._output and self._file.getvalue():
            part = self._output.with_suffix(f".part{self._output.suffix}")
            self._write(part)
            self._complain(f"{part} is as far as it was heard")

    def _write(self, path: Path) -> None:
        path.write_text(self._file.getvalue(), encoding="utf-8", newline="\n")
