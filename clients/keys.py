"""Single keys typed on a terminal, without return. The terminal is left as it was found, whatever happens."""

from __future__ import annotations

import asyncio
import os
import re
import termios
import tty
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TextIO

ESCAPES = re.compile(rb"\x1b(\[[0-?]*[ -/]*[@-~]|O?.)?", re.DOTALL)  # arrows, function keys, Alt with a letter


class Keys:
    """Calls `press` on the event loop with each key; use it as a context.

    Where there is no terminal, or it belongs to another program just now, no key comes.
    """

    def __init__(self, terminal: TextIO | None, press: Callable[[str], None]) -> None:
        self._press = press
        self._descriptor = terminal.fileno() if terminal and terminal.isatty() else None
        self._before: list[Any] | None = None  # the terminal's attributes; None: we have not changed them

    def __enter__(self) -> Keys:
        self.take()
        return self

    def __exit__(self, *_: object) -> None:
        self.give_back()

    @property
    def work(self) -> bool:
        """Whether keys come."""
        return self._before is not None

    def take(self) -> None:
        """Has keys come one by one, and not be written where the captions are. Ctrl-C and Ctrl-Z stay as they are."""
        descriptor = self._descriptor
        if descriptor is None or self.work or not _in_front(descriptor):
            return
        self._before = termios.tcgetattr(descriptor)
        tty.setcbreak(descriptor, termios.TCSANOW)
        changed = termios.tcgetattr(descriptor)
        changed[0] &= ~termios.IXON  # else Ctrl-S stops the terminal, and whoever writes to it: nothing would be heard
        termios.tcsetattr(descriptor, termios.TCSANOW, changed)
        asyncio.get_running_loop().add_reader(descriptor, self._read)

    def give_back(self) -> None:
        """Leaves the terminal as it was, without keys that nobody has read."""
        if self._descriptor is None or self._before is None:
            return
        asyncio.get_running_loop().remove_reader(self._descriptor)
        before, self._before = self._before, None
        with suppress(termios.error):  # the window was closed
            termios.tcflush(self._descriptor, termios.TCIFLUSH)
            termios.tcsetattr(self._descriptor, termios.TCSANOW, before)

    def _read(self) -> None:
        assert self._descriptor is not None, "only a terminal is read"
        try:
            typed = os.read(self._descriptor, 1024)
        except OSError:
            typed = b""
        if not typed:  # the window was closed
            asyncio.get_running_loop().remove_reader(self._descriptor)
        for key in ESCAPES.sub(b"", typed).decode(errors="replace"):
            self._press(key)


def _in_front(descriptor: int) -> bool:
    """Whether the terminal is ours just now: whoever changes it from the background is stopped by the system."""
    try:
        return os.tcgetpgrp(descriptor) == os.getpgrp()
    except OSError:
        return False  # it is a terminal, but not the one we were started from
