from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest

from clients.keys import Keys

pytestmark = pytest.mark.timeout(60)

# A program in the foreground of a terminal of its own, which takes keys and ends in several ways.
PROGRAM = """
import asyncio, signal, sys
from clients.keys import Keys
signal.signal(signal.SIGINT, signal.default_int_handler)  # who started the tests may have had it ignored
async def main():
    asked = asyncio.get_running_loop().create_future()
    with Keys(sys.stdin, lambda key: asked.set_result(key) if key in "qx" else print(f"<{key}>", flush=True)) as keys:
        print("ready" if keys.work else "no keys", flush=True)
        if keys.work and await asked == "x":
            raise RuntimeError
asyncio.run(main())
"""


class Terminal:
    """A pseudo-terminal with the program in it."""

    def __init__(self) -> None:
        self.user, program = os.openpty()
        self.before = termios.tcgetattr(program)
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            stdin=program,
            stdout=program,
            stderr=subprocess.DEVNULL,
            cwd=Path(__file__).parent.parent,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # its own, so that it is in front
        )
        self.program = program
        self.shown = ""

    def wait_for(self, text: str) -> None:
        while text not in self.shown:
            self.shown += os.read(self.user, 1024).decode()

    @property
    def is_as_before(self) -> bool:
        return termios.tcgetattr(self.program) == self.before


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    terminal = Terminal()
    terminal.wait_for("ready")
    yield terminal
    terminal.process.kill()
    terminal.process.wait()
    os.close(terminal.user)
    os.close(terminal.program)


def test_keys_come_without_return_and_are_not_shown(terminal: Terminal) -> None:
    os.write(terminal.user, b"mk")
    terminal.wait_for("<m>\r\n<k>")
    assert "mk" not in terminal.shown


def test_ctrl_s_is_a_key_like_others(terminal: Terminal) -> None:
    os.write(terminal.user, b"\x13m")
    terminal.wait_for("<\x13>\r\n<m>")


def test_arrows_are_no_letters(terminal: Terminal) -> None:
    os.write(terminal.user, b"\x1b[A\x1b[1;5Dm")
    terminal.wait_for("<m>")
    assert terminal.shown.count("<") == 1


@pytest.mark.parametrize("key", [b"q", b"x"])
def test_the_terminal_is_left_as_it_was_also_by_an_error(terminal: Terminal, key: bytes) -> None:
    assert not terminal.is_as_before
    os.write(terminal.user, key)
    assert terminal.process.wait(20) == (key == b"x")
    assert terminal.is_as_before


def test_an_interruption_leaves_the_terminal_as_it_was(terminal: Terminal) -> None:
    os.write(terminal.user, b"\x03")
    assert terminal.process.wait(20) in (1, 130, -signal.SIGINT)
    assert terminal.is_as_before


async def test_without_a_terminal_no_key_comes(tmp_path: Path) -> None:
    (tmp_path / "input").write_text("q")
    with (tmp_path / "input").open() as file, Keys(file, pytest.fail) as keys:
        assert not keys.work
        await asyncio.sleep(0)
    with Keys(None, pytest.fail) as keys:
        assert not keys.work
