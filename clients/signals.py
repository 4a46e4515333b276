"""Which signals a program takes: whoever started it may have asked it to ignore some."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from typing import Any


def heeded(*names: signal.Signals) -> list[signal.Signals]:
    """Those that are not ignored, as `nohup` has it for SIGHUP, and a shell without jobs for SIGTSTP."""
    return [name for name in names if signal.getsignal(name) is not signal.SIG_IGN]


class Departure:
    """SIGTERM and SIGHUP call off a task, so that views are closed; a second one ends the program at once.

    Within an event loop no exception may come at any moment, as Python's own handlers would raise it.
    """

    def __init__(self, task: asyncio.Task[Any]) -> None:
        """Begins to heed them, in the main thread; elsewhere nothing comes."""
        self.code = 0  # the exit code, once one came
        self._task = task
        with suppress(ValueError, RuntimeError):
            for name in heeded(signal.SIGTERM, signal.SIGHUP):
                asyncio.get_running_loop().add_signal_handler(name, self._take, name)

    def _take(self, name: signal.Signals) -> None:
        if self.code:
            os._exit(self.code)
        self.code = 128 + name
        self._task.cancel()
