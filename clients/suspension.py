"""Ctrl-Z while something is drawn: the terminal is left clean for the shell, and the time away does not count."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread
from types import FrameType

from clients.signals import heeded


class Suspension:
    """What happens at SIGTSTP. Its clock stands still while the process does."""

    def __init__(self) -> None:
        self._away_seconds = 0.0

    def clock(self) -> float:
        """The monotonic clock, seconds, without the time away."""
        return time.monotonic() - self._away_seconds

    @contextmanager
    def leaving(self, *leave: Callable[[], None]) -> Iterator[None]:
        """Within it each of these is called, at any moment, before the process stands still."""

        def stop(_signal: int, _frame: FrameType | None) -> None:
            for each in leave:
                each()
            began = time.monotonic()
            os.kill(os.getpid(), signal.SIGSTOP)
            self._away_seconds += time.monotonic() - began

        if current_thread() is not main_thread() or not heeded(signal.SIGTSTP):  # elsewhere it cannot be caught
            yield
            return
        before = signal.signal(signal.SIGTSTP, stop)
        try:
            yield
        finally:
            signal.signal(signal.SIGTSTP, before)
