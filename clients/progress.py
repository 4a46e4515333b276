"""How far a recording is: one line on a terminal, nothing anywhere else."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from clients.plain import one_line
from clients.terminal import CLEAN


class ProgressBar:
    """Name, bar, real-time factor and time left of one recording; use it as a context."""

    def __init__(self, out: TextIO, name: str, duration_seconds: float | None, shown: bool = True) -> None:
        self._shown, self._out = shown and out.isatty(), out
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[speed]}"),
            TimeRemainingColumn(),
            console=Console(file=out),
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
            disable=not self._shown,
        )
        self._task = self._progress.add_task(escape(one_line(name)), total=duration_seconds, speed="")
        self._done_seconds = 0.0
        self._started = time.monotonic()

    def __enter__(self) -> ProgressBar:
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def advance(self, audio_seconds: float) -> None:
        """So much more audio is done."""
        self._done_seconds += audio_seconds
        speed = self._done_seconds / max(time.monotonic() - self._started, 1e-3)
        self._progress.update(self._task, advance=audio_seconds, speed=f"{speed:.0f}x real time")

    def leave(self) -> None:
        """Leaves the terminal to another program until the bar is drawn again; may be called at any moment."""
        if self._shown:
            os.write(self._out.fileno(), CLEAN.encode())

    @contextmanager
    def hidden(self) -> Iterator[None]:
        """Takes the bar off the screen, so that something can be written where it stood."""
        self._stop()
        yield
        self._start()

    def _start(self) -> None:
        if self._shown:
            self._progress.start()

    def _stop(self) -> None:
        if self._shown:  # rich would write an empty line where there is no terminal
            self._progress.stop()
