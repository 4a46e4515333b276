"""Who sees a stream's events: the terminal or the pipe, and the file that is written when all is said."""

from __future__ import annotations

import os
from argparse import Namespace
from contextlib import ExitStack
from pathlib import Path
from typing import TextIO

from clients.arguments import Complain
from clients.formats import writer
from clients.livefile import LiveFile, part_of
from clients.outputs import to_nowhere
from clients.promised import Promised
from clients.terminal import EventView, TerminalView, View, view_on
from streamer.events import Done, Event, Final


class Audience:
    """The views of one recording, chosen once; as a context it leaves a terminal clean, and keeps what was heard."""

    def __init__(self, out: TextIO, complain: Complain, given: Namespace, model: str, output: Path | None) -> None:
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
        self._complain, self._out, self._output = complain, out, output
        self._part = part_of(output) if output else None
        self._whole = False  # the transcript is, and has its name
        self._file: LiveFile | None = None  # made once there is something to keep
        self._writer, self._done = writer(given.format, model), Done(0.0)
        self._promised = Promised()
        self._view: View | None = None
        if given.events or given.live or not output:
            shown = "text" if output else given.format
            self._view = view_on(out, shown, model, events=given.events, live=given.live)

    def __enter__(self) -> Audience:
        return self

    def __exit__(self, *_: object) -> None:
        final = self._promised.keep()
        with ExitStack() as last:  # one after the other from the end, whatever one of them fails with
            last.callback(self._tell_of_part)
            if final:
                last.callback(self._keep, final)
            if self._view:
                last.callback(self._view.close)
                if final and not isinstance(self._view, EventView):
                    last.callback(self._view.show, final)

    def show(self, event: Event) -> None:
        """Shows it to all.

        Raises:
            OSError: it cannot be written any more.
        """
        self._promised.take(event)
        match event:
            case Final():
                self._keep(event)  # before it is shown: a terminal may have been closed
            case Done():
                self._done = event
                if self._file:
                    self._file.show(event)
        if self._view:
            try:
                self._view.show(event)
            except BrokenPipeError:
                if self._output is None:
                    raise
                self._view = None  # nobody reads along any more, but the file is wanted all the same
                to_nowhere(self._out)

    def leave(self) -> None:
        """Leaves a terminal to another program until there is something to show; may be called at any moment."""
        if isinstance(self._view, TerminalView):
            self._view.leave()

    def write(self) -> None:
        """Gives the transcript its name: it is whole. What had that name before is there until then."""
        if self._part and self._output:
            self._keep(self._done)
            os.replace(self._part, self._output)
        self._whole = True

    def _tell_of_part(self) -> None:
        if self._file:
            self._file.close()
            if not self._whole:
                self._complain(f"{self._part} is as far as it was heard")

    def _keep(self, event: Event) -> None:
        """Writes it to the file, if there is one. What an interrupted run has left there stays until now."""
        if self._part is None:
            return
        if self._file is None:
            self._part.unlink(missing_ok=True)
            self._file = LiveFile(self._part, self._writer, may_lag=True)
        self._file.show(event)
