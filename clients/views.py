"""Who sees a stream's events: the terminal or the pipe, and the file that is written when all is said."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from clients.formats import writer
from clients.livefile import LiveFile
from clients.promised import Promised
from clients.terminal import EventView, PipeView, TerminalView, View, can_draw
from streamer.events import Event, Final


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

        Raises:
            OSError: it cannot be written.
        """
        self._complain, self._output = complain, output
        self._whole = False  # the transcript is, and has its name
        self._heard = False  # something of it is
        self._promised = Promised()
        self._views: list[View] = []
        if output:
            self._part.unlink(missing_ok=True)
            self._views.append(LiveFile(self._part, writer(given.format, model)))
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
                    self._heard = True
                view.close()
        finally:
            if self._output and not self._whole:
                if self._heard:
                    self._complain(f"{self._part} is as far as it was heard")
                else:
                    self._part.unlink(missing_ok=True)

    @property
    def _part(self) -> Path:
        """The file as long as it grows: half of a transcript looks like a whole one, so it has another name."""
        assert self._output is not None, "nothing is written"
        return self._output.with_suffix(f".part{self._output.suffix}")

    def show(self, event: Event) -> None:
        """Shows it to all.

        Raises:
            OSError: it cannot be written any more.
        """
        self._promised.take(event)
        self._heard |= isinstance(event, Final)
        for view in self._views:
            view.show(event)

    def leave(self) -> None:
        """Leaves a terminal to another program until there is something to show; may be called at any moment."""
        for view in self._views:
            if isinstance(view, TerminalView):
                view.leave()

    def write(self) -> None:
        """Gives the transcript its name: it is whole. What had that name before is there until then."""
        if self._output:
            os.replace(self._part, self._output)
        self._whole = True
