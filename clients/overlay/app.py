"""The overlay as a program: window, tray, local socket, and the thread where captions come from."""

from __future__ import annotations

import signal
import socket
from argparse import Namespace
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import replace
from typing import Any

from PySide6.QtCore import QObject, QSocketNotifier, Qt, Signal
from PySide6.QtGui import QColor, QFont, QFontDatabase, QGuiApplication, QIcon, QPainter, QPixmap
from PySide6.QtWidgets import QApplication, QMenu, QSystemTrayIcon

from clients.arguments import DONE, FAILED, Complain
from clients.overlay.board import Board
from clients.overlay.control import HERE, Control, socket_name, tell
from clients.overlay.desktop import is_composited
from clients.overlay.look import Look, config_file, remember
from clients.overlay.sources import Outlet, SourceThread
from clients.overlay.window import Window, screen_named
from clients.signals import heeded

LEAVING_SECONDS = 3.0  # for the source to give the microphone back
LOCKED = "the overlay is locked: granite-stream overlay --unlock lets you move it, --quit ends it"
UNREACHABLE = "the overlay is not locked, as --unlock could not reach it: {} is taken, or its directory is gone"

GENERIC = {"serif", "sans serif", "sans-serif", "sans", "monospace", "cursive", "fantasy", "system-ui"}  # always there

OpenSource = Callable[[Outlet], Coroutine[Any, Any, None]]


class Bridge(QObject):
    """Brings what a source tells from its thread to Qt's. Its events wait in Qt's queue: a few a second, and small."""

    event_came = Signal(object)
    said = Signal(str)
    troubled = Signal(str)
    failed = Signal(object)

    def outlet(self) -> Outlet:
        """What a source tells it to."""
        return Outlet(self.event_came.emit, self.said.emit, self.troubled.emit)


def order(what: str, complain: Complain) -> int:
    """Tells the running overlay; gives the exit code."""
    app = QApplication.instance() or QApplication([])
    if tell(what):
        return DONE
    del app
    complain("no overlay is running; start one: granite-stream overlay")
    return FAILED


def run(given: Namespace, open_source: OpenSource, complain: Complain) -> int:
    """Shows captions until the user has enough, or their source breaks: then with its error. Gives the exit code."""
    app = QApplication.instance() or QApplication([])
    assert isinstance(app, QApplication), "nobody else makes one"
    app.setQuitOnLastWindowClosed(False)
    if tell(HERE):
        complain("an overlay is running; granite-stream overlay --unlock lets you move it, --quit ends it")
        return FAILED
    if wrong := _not_here(given):
        complain(wrong)
        return FAILED
    return Overlay(app, given, open_source, complain).run()


def _not_here(given: Namespace) -> str | None:
    """What was typed and cannot be had; what is only remembered may have gone meanwhile."""
    if given.screen is not None and not screen_named(given.screen):
        there_are = ", ".join(f"{number} {screen.name()}" for number, screen in enumerate(QGuiApplication.screens()))
        return f"--screen {given.screen}: there is no such screen; there are {there_are}"
    families = {name.partition(" [")[0].casefold() for name in QFontDatabase.families()}  # [foundry]
    if given.font is not None and given.font.casefold() not in families | GENERIC:
        return f"--font {given.font}: no such family is installed; fc-list : family lists them"
    return None


class Overlay(QObject):
    """All parts together, on Qt's thread."""

    def __init__(self, app: QApplication, given: Namespace, open_source: OpenSource, complain: Complain) -> None:
        super().__init__()
        self._app, self._complain = app, complain
        self._error: Exception | None = None
        self._control, self._bridge = Control(), Bridge()
        look = given.look if self._control.reachable else replace(given.look, locked=False)
        self._window = Window(Board(given.hide), look, is_composited(), can_mute=not given.channel)
        self._window.bar.lock.setVisible(self._control.reachable)
        self._outlet = self._bridge.outlet()
        self._source = SourceThread(open_source(self._outlet), self._bridge.failed.emit)
        self._connect()
        self._tray = self._tray_icon() if QSystemTrayIcon.isSystemTrayAvailable() else None

    def run(self) -> int:
        """Until it is told to end; raises what the source broke with."""
        self._window.show()
        self._remember(self._window.look)
        if self._window.look.locked:
            self._complain(LOCKED)
        elif not self._control.reachable:
            self._complain(UNREACHABLE.format(socket_name()))
        with_signals = Signals(self._app.quit)
        self._source.start()
        self._app.exec()
        with_signals.close()
        self._window.hide()
        self._source.stop(LEAVING_SECONDS)
        if self._error:
            raise self._error
        return DONE

    def _connect(self) -> None:
        window, bridge, queued = self._window, self._bridge, Qt.ConnectionType.QueuedConnection
        bridge.event_came.connect(window.take, queued)
        bridge.said.connect(window.say, queued)
        bridge.troubled.connect(window.trouble, queued)
        bridge.failed.connect(self._fail, queued)
        window.changed.connect(self._remember)
        window.bar.quit.connect(self._app.quit)
        window.bar.muted.connect(lambda muted: self._outlet.mute(muted))
        self._control.ordered.connect(self._obey)
        for signalled in (self._app.screenAdded, self._app.screenRemoved, self._app.primaryScreenChanged):
            signalled.connect(lambda *_: self._window.place())
        for screen in self._app.screens():
            screen.availableGeometryChanged.connect(lambda *_: self._window.place())

    def _obey(self, what: str) -> None:
        match what:
            case "lock" | "unlock":
                self._window.lock(what == "lock")
            case "quit":
                self._app.quit()

    def _remember(self, look: Look) -> None:
        with suppress(OSError):  # a disk that is full or read-only is no reason to be without captions
            remember(config_file(), look)

    def _fail(self, error: Exception) -> None:
        self._error = error
        self._app.quit()

    def _tray_icon(self) -> QSystemTrayIcon:
        tray, menu = QSystemTrayIcon(_icon(), self), QMenu()
        menu.addAction("Move and resize", lambda: self._window.lock(False))
        menu.addAction("Lock", lambda: self._window.lock(True))
        menu.addSeparator()
        menu.addAction("Quit", self._app.quit)
        tray.setToolTip("granite-stream captions")
        tray.setContextMenu(menu)
        self._menu = menu  # the tray does not keep it
        tray.show()
        return tray


class Signals:
    """Ctrl-C and the like, which Python would not notice while Qt waits."""

    def __init__(self, then: Callable[[], object]) -> None:
        self._ends = socket.socketpair()
        for end in self._ends:
            end.setblocking(False)
        signal.set_wakeup_fd(self._ends[1].fileno())
        self._notifier = QSocketNotifier(self._ends[0].fileno(), QSocketNotifier.Type.Read)
        self._notifier.activated.connect(lambda *_: self._ends[0].recv(64))
        for name in (signal.SIGINT, signal.SIGTERM, *heeded(signal.SIGHUP)):
            signal.signal(name, lambda *_: then())

    def close(self) -> None:
        """From now on nobody listens."""
        signal.set_wakeup_fd(-1)
        self._notifier.setEnabled(False)
        for end in self._ends:
            end.close()


def _icon() -> QIcon:
    picture = QPixmap(64, 64)
    picture.fill(Qt.GlobalColor.transparent)
    painter = QPainter(picture)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor("#2f6fd6"))
    painter.drawRoundedRect(2, 10, 60, 44, 10, 10)
    painter.setPen(QColor("#ffffff"))
    font = QFont()
    font.setPixelSize(30)
    font.setBold(True)
    painter.setFont(font)
    painter.drawText(picture.rect(), Qt.AlignmentFlag.AlignCenter, "CC")
    painter.end()
    return QIcon(picture)
