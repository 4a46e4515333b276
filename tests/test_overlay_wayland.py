"""The overlay where there is no X: Weston without a screen, whose shell makes each window as large as it likes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.listeners import COMMAND, ROOT
from tests.sound import wait_until

pytest.importorskip("PySide6")
WESTON = ["weston", "--backend=headless-backend.so", "--shell=kiosk-shell.so", "--no-config", "--socket=stage"]
NOWHERE = ("ws://127.0.0.1:9", "--channel", "stage")
needs_weston = pytest.mark.skipif(shutil.which("weston") is None, reason="not installed: weston")

# The overlay's window, asked for 300 pixels: how wide it is, and in how many rows the words stand then.
NARROW = """
from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QApplication
from clients.overlay.board import Board
from clients.overlay.look import Look
from clients.overlay.window import Window
from streamer.events import Partial

app = QApplication([])
window = Window(Board(0), Look(width="300", lines=5, locked=True), composited=True, can_mute=False)
window.take(Partial(0, 0.0, 1.0, "eight words that are wider than the window", ""))
print(window.width(), len(window._shown.rows))
window.show()
timer = QTimer(interval=20)
timer.timeout.connect(lambda: window.width() > 300 and app.quit())
timer.start()
app.exec()
print(window.width(), len(window._shown.rows))
"""


@pytest.fixture
def environment() -> Iterator[dict[str, str]]:
    """Of a session that has a Wayland display and no other."""
    with tempfile.TemporaryDirectory(prefix="desk") as folder:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("QT_", "XDG_", "DBUS_"))}
        kept |= {"HOME": folder, "XDG_CONFIG_HOME": folder, "TMPDIR": folder, "XDG_RUNTIME_DIR": folder}
        yield kept | {"LC_ALL": "C.UTF-8", "OMP_NUM_THREADS": "1", "DISPLAY": "", "WAYLAND_DISPLAY": "stage"}


@pytest.fixture
def compositor(environment: dict[str, str]) -> Iterator[dict[str, str]]:
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(WESTON, env=environment, **silent) as weston:
        try:
            wait_until(Path(environment["XDG_RUNTIME_DIR"], "stage").exists, "weston starts")
            yield environment
        finally:
            weston.kill()


def run(environment: dict[str, str], *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=120)


@needs_weston
def test_what_the_compositor_forbids_is_said_and_captions_come_all_the_same(compositor: dict[str, str]) -> None:
    line = [*COMMAND, "overlay", *NOWHERE]
    with subprocess.Popen(line, env=compositor, cwd=ROOT, stderr=subprocess.PIPE, text=True) as overlay:
        said = overlay.stderr.readline()
        wait_until(lambda: run(compositor, *COMMAND, "overlay", "--quit").returncode == 0, "it runs")
        assert overlay.wait(60) == 0
    assert "Wayland lets no program place its window or keep it on top; install XWayland" in said
    assert "or open the page /overlay of a daemon" in said


@needs_weston
def test_words_are_divided_anew_when_the_compositor_makes_the_window_wider(compositor: dict[str, str]) -> None:
    result = run(compositor, sys.executable, "-c", NARROW)
    before, after = (tuple(map(int, line.split())) for line in result.stdout.splitlines())
    assert before[0] == 300
    assert after[0] > 900
    assert before[1] > after[1] == 1


def test_a_display_that_is_not_there_is_one_line(environment: dict[str, str]) -> None:
    result = run(environment, *COMMAND, "overlay", *NOWHERE)
    assert (result.returncode, result.stderr.count("\n")) == (1, 1)
    assert "the display 'stage' cannot be opened; start it within a desktop session" in result.stderr
