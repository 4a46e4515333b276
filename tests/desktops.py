"""A desktop of its own for a test: Xvfb, a window manager, and windows for the overlay to lie over."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import TypeVar

import pytest

from tests.listeners import COMMAND, ROOT
from tests.sound import wait_until

TOOLS = ("Xvfb", "openbox", "xcompmgr", "xdotool", "xwininfo", "xprop")
WIDTH, HEIGHT = 1280, 720
TITLE = "granite-stream captions"
WORDS, NOTICE = "#ffffff", "#ffd479"  # colours of committed words, and of what the overlay itself has to say
Thing = TypeVar("Thing")

# A window over the whole screen that tells of clicks, and shows what captions have to be legible over.
BACKDROP = """
import sys
from PySide6.QtCore import QPointF, Qt
from PySide6.QtGui import QColor, QFont, QLinearGradient, QPainter, QRadialGradient
from PySide6.QtWidgets import QApplication, QWidget

class Backdrop(QWidget):
    def mousePressEvent(self, event):
        print("click", event.globalPosition().toPoint().x(), event.globalPosition().toPoint().y(), flush=True)

    def paintEvent(self, event):
        painter, kind, box = QPainter(self), sys.argv[1], self.rect()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.fillRect(box, QColor({"light": "#ffffff", "dark": "#0b0d10"}.get(kind, "#e8dcc0")))
        if kind == "busy":
            for number in range(900):
                painter.setPen(Qt.PenStyle.NoPen)
                painter.setBrush(QColor.fromHsv(number * 67 % 360, 200, 90 + number * 31 % 165))
                painter.drawEllipse(number * 97 % box.width(), number * 57 % box.height(), 46, 46)
            painter.setPen(QColor("white"))
            painter.setFont(QFont("DejaVu Sans", 22))
            for line in range(24):
                painter.drawText(10, 30 + line * 30, "letters behind letters, to see which of them can be read " * 2)
        elif kind == "scene":
            sky = QLinearGradient(0, 0, 0, box.height() * 0.8)
            sky.setColorAt(0, QColor("#3f78b3"))
            sky.setColorAt(1, QColor("#f6c795"))
            painter.fillRect(box, sky)
            glow = QRadialGradient(QPointF(box.width() * 0.74, box.height() * 0.3), 300)
            for at, color in ((0, "#fff8e6"), (0.12, "#fff0c9"), (0.14, "#80ffe3a8"), (1, "#00ffe3a8")):
                glow.setColorAt(at, QColor(color))
            painter.fillRect(box, glow)
            painter.setPen(Qt.PenStyle.NoPen)
            for color, x, y, w, h in (("#5d8f7b", .1, .6, 1.1, .9), ("#3a6a58", -.4, .68, 1.1, .9),
                                      ("#2b5145", .45, .74, 1.0, .8)):
                painter.setBrush(QColor(color))
                painter.drawEllipse(int(x * box.width()), int(y * box.height()),
                                    int(w * box.width()), int(h * box.height()))

app = QApplication([])
window = Backdrop()
window.setWindowTitle("backdrop")
window.setWindowFlag(Qt.WindowType.FramelessWindowHint)
window.setGeometry(app.primaryScreen().geometry())
window.show()
app.exec()
"""

GRAB = """
import sys
from PySide6.QtWidgets import QApplication
app = QApplication([])
assert app.primaryScreen().grabWindow(0).save(sys.argv[1])
"""


def missing() -> str:
    """What tests with a real desktop lack on this machine, or nothing."""
    tools = [tool for tool in TOOLS if shutil.which(tool) is None]
    if importlib.util.find_spec("PySide6") is None:
        return ", ".join([*tools, "PySide6-Essentials"])
    try:
        import PySide6.QtGui  # noqa: F401
    except ImportError as error:
        tools.append(str(error).partition(":")[0])
    return ", ".join(tools)


needs_desktop = pytest.mark.skipif(bool(missing()), reason=f"not installed: {missing()}")


class Desktop:
    """A screen with nobody before it."""

    def __init__(self, environment: dict[str, str], home: Path) -> None:
        self.environment, self.home = environment, home

    def do(self, *command: str) -> str:
        """What a command says that succeeds."""
        return subprocess.run(
            command, env=self.environment, check=True, capture_output=True, text=True, timeout=60
        ).stdout

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs `granite-stream overlay` to its end."""
        line = [*COMMAND, "overlay", *arguments]
        return subprocess.run(line, env=self.environment, cwd=ROOT, capture_output=True, text=True, timeout=120)

    @contextmanager
    def overlay(self, *arguments: str, command: Sequence[str] = COMMAND) -> Iterator[subprocess.Popen[str]]:
        """Runs it meanwhile, from the moment on that its window is there."""
        line, pipe = [*command, "overlay", *arguments], subprocess.PIPE
        with subprocess.Popen(line, env=self.environment, cwd=ROOT, stdout=pipe, stderr=pipe, text=True) as process:
            try:
                wait_until(lambda: bool(self.window()) or process.poll() is not None, "the overlay's window")
                assert process.poll() is None, process.stderr.read()
                yield process
            finally:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(60)
                finally:
                    process.kill()

    def colors(self, place: tuple[int, int, int, int]) -> set[str]:
        """What colours are seen there: left, top, width, height."""
        from PySide6.QtGui import QImage

        left, top, width, height = place
        seen = QImage(str(self.picture()))
        return {seen.pixelColor(x, y).name() for x in range(left, left + width, 2) for y in range(top, top + height, 2)}

    @contextmanager
    def backdrop(self, kind: str = "light") -> Iterator[list[str]]:
        """A window over everything; gives its clicks as they come."""
        clicks = self.home / f"clicks{time.monotonic_ns()}"
        with (
            clicks.open("w") as out,
            subprocess.Popen([sys.executable, "-c", BACKDROP, kind], env=self.environment, stdout=out) as process,
        ):
            try:
                wait_until(lambda: self.is_seen("backdrop"), "the backdrop")
                yield Clicks(clicks)
            finally:
                process.kill()

    def windows(self) -> list[str]:
        """All windows, the uppermost first."""
        return [line for line in self.do("xwininfo", "-root", "-tree").splitlines() if '"' in line]

    def window(self, title: str = TITLE) -> str:
        """The number of a window, or nothing."""
        return next((line.split()[0] for line in self.windows() if f'"{title}"' in line), "")

    def is_seen(self, title: str) -> bool:
        """Whether it is on the screen."""
        number = self.window(title)
        return bool(number) and "IsViewable" in self.do("xwininfo", "-id", number)

    def place(self) -> tuple[int, int, int, int]:
        """Left, top, width and height of the overlay."""
        told = dict(
            line.strip().split(":", 1) for line in self.do("xwininfo", "-id", self.window()).splitlines() if ":" in line
        )
        names = ("Absolute upper-left X", "Absolute upper-left Y", "Width", "Height")
        return tuple(int(told[name]) for name in names)

    def click(self, x: int, y: int) -> None:
        """With the left button."""
        self.do("xdotool", "mousemove", str(x), str(y), "click", "1")

    def drag(self, start: tuple[int, int], end: tuple[int, int]) -> None:
        """Presses, moves and lets go."""
        self.do("xdotool", "mousemove", *map(str, start), "mousedown", "1")
        for share in (0.3, 0.6, 0.9, 1.0, 1.0):
            at = [str(round(a + (b - a) * share)) for a, b in zip(start, end, strict=True)]
            self.do("xdotool", "mousemove", *at)
        self.do("xdotool", "mouseup", "1")

    def picture(self, path: Path | None = None) -> Path:
        """What is to be seen."""
        path = path or self.home / "screen.png"
        self.do(sys.executable, "-c", GRAB, str(path))
        return path


@asynccontextmanager
async def aside(context: AbstractContextManager[Thing]) -> AsyncIterator[Thing]:
    """Enters and leaves it on another thread, so that a daemon on this one can answer meanwhile."""
    thing = await asyncio.to_thread(context.__enter__)
    try:
        yield thing
    finally:
        await asyncio.to_thread(context.__exit__, None, None, None)


class Clicks:
    """What a backdrop was told."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __contains__(self, at: tuple[int, int]) -> bool:
        return f"click {at[0]} {at[1]}" in self._path.read_text().splitlines()


@contextmanager
def desktop(composited: bool = True) -> Iterator[Desktop]:
    """Starts one, with windows that may be translucent or not."""
    with tempfile.TemporaryDirectory(prefix="desk") as folder, ExitStack() as stack:
        home = Path(folder)
        reading, writing = os.pipe()
        screen = ["Xvfb", "-displayfd", str(writing), "-screen", "0", f"{WIDTH}x{HEIGHT}x24", "-nolisten", "tcp"]
        _start(stack, screen, dict(os.environ), pass_fds=(writing,))
        os.close(writing)
        with os.fdopen(reading) as numbers:
            number = numbers.readline().strip()
        assert number, "Xvfb does not start"
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("QT_", "XDG_", "WAYLAND_", "DBUS_"))
        }
        environment = {**kept, "DISPLAY": f":{number}", "HOME": folder, "XDG_CONFIG_HOME": folder, "TMPDIR": folder}
        environment |= {"OMP_NUM_THREADS": "1", "LC_ALL": "C.UTF-8", "XDG_RUNTIME_DIR": folder}
        here = Desktop(environment, home)
        _start(stack, ["openbox"], environment)
        if composited:
            _start(stack, ["xcompmgr", "-n"], environment)
        wait_until(lambda: "window id" in here.do("xprop", "-root", "_NET_SUPPORTING_WM_CHECK"), "the window manager")
        yield here


def _start(stack: ExitStack, command: list[str], environment: dict[str, str], pass_fds: tuple[int, ...] = ()) -> None:
    nowhere = subprocess.DEVNULL
    process = stack.enter_context(
        subprocess.Popen(command, env=environment, stdout=nowhere, stderr=nowhere, pass_fds=pass_fds)
    )
    stack.callback(process.kill)
