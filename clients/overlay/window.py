"""The window over all others: shows what the board has, and lets itself be moved while it is unlocked."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from PySide6.QtCore import QPoint, QRect, QRectF, Qt, QTimer, Signal
from PySide6.QtGui import (
    QColor,
    QGuiApplication,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QRegion,
    QResizeEvent,
    QScreen,
)
from PySide6.QtWidgets import QWidget

from clients.overlay.bar import BAR_HEIGHT, Bar
from clients.overlay.board import NOTHING, Board, Shown
from clients.overlay.look import LEAST_WIDTH, MOST_LINES, Look, placed, wide
from clients.overlay.paint import Painter
from clients.wrapping import wrap
from streamer.events import Event

GRIP = 12  # pixels at an edge that resize
ACROSS = Qt.Edge.LeftEdge | Qt.Edge.RightEdge
FRAME = QColor("#6ea8ff")
VEIL = QColor(20, 24, 32, 120)  # where nothing is written, so that there is something to take hold of
NOWHERE = QRegion(-1, -1, 1, 1)  # a mask of nothing at all; an empty one would mean all
SAMPLE = "Captions appear here."
FLAGS = (
    Qt.WindowType.FramelessWindowHint
    | Qt.WindowType.WindowStaysOnTopHint
    | Qt.WindowType.Tool  # no entry in the taskbar
    | Qt.WindowType.WindowDoesNotAcceptFocus
    | Qt.WindowType.NoDropShadowWindowHint
    # X11 only: a full-screen film lies over what is merely "on top". So it is on all desktops and in no list too.
    | Qt.WindowType.X11BypassWindowManagerHint
)


def screen_named(wanted: str) -> QScreen | None:
    """The screen with this name or number, if there is one."""
    screens = enumerate(QGuiApplication.screens())
    return next((screen for number, screen in screens if wanted in (screen.name(), str(number))), None)


class Window(QWidget):
    """Draws only; `changed` tells that the user has given it another look."""

    changed = Signal(object)  # the new Look

    def __init__(self, board: Board, look: Look, composited: bool, can_mute: bool) -> None:
        super().__init__(None, FLAGS)
        self.setWindowTitle("granite-stream captions")
        for attribute in (
            Qt.WidgetAttribute.WA_TranslucentBackground,
            Qt.WidgetAttribute.WA_ShowWithoutActivating,
            Qt.WidgetAttribute.WA_MacAlwaysShowToolWindow,
        ):
            self.setAttribute(attribute)
        self.look = look
        self.bar = Bar(self, can_mute)
        self._board, self._composited, self._shown = board, composited, NOTHING
        self._painter = Painter(look)
        self._grip: Grip | None = None  # while the user holds it
        self._hiding = QTimer(self, singleShot=True)
        self._hiding.timeout.connect(self.refresh)
        self.bar.resized.connect(lambda steps: self.adopt(self.look.larger(steps)))
        self.bar.lines.connect(self._add_lines)
        self.bar.locked.connect(lambda: self.lock(True))
        self.setMouseTracking(True)
        self._lay_out()

    # --- what is shown ---

    def take(self, event: Event) -> None:
        """Something was said."""
        self._board.take(event, time.monotonic())
        self.refresh()

    def say(self, message: str) -> None:
        """Something happened."""
        self._board.say(message, time.monotonic())
        self.refresh()

    def trouble(self, what: str) -> None:
        """Something is wrong from now on, or nothing."""
        self._board.trouble(what)
        self.refresh()

    def refresh(self) -> None:
        """Draws again, if there is anything new."""
        now = time.monotonic()
        shown = self._board.shown(now)
        left = self._board.hides_in(now)
        self._hiding.stop() if left is None else self._hiding.start(round(left * 1000) + 1)
        if shown == NOTHING and not self.look.locked:
            rows = wrap(SAMPLE, "", self._painter.measure, self._room().width() - 2 * self._painter.padding)
            shown = Shown(rows=tuple(rows)[: self.look.lines])
        if shown != self._shown:
            self._shown = shown
            self.update()
            self._cut_out()

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802 - Qt's name
        """Draws all."""
        painter = QPainter(self)
        if not self.look.locked:
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(VEIL)
            painter.drawRoundedRect(self._room().adjusted(1, 1, -1, -1), 9, 9)
        self._painter.draw(painter, self._shown, self._room())
        if not self.look.locked:
            painter.setPen(QPen(FRAME, 2))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(self._room().adjusted(1, 1, -1, -1), 9, 9)
        painter.end()

    def _room(self) -> QRectF:
        """Where captions may be: all but the bar."""
        inside = QRectF(self.rect())
        if not self.look.locked:
            inside.adjust(0, BAR_HEIGHT, 0, 0) if self._bar_is_above() else inside.adjust(0, 0, 0, -BAR_HEIGHT)
        return inside

    def _cut_out(self) -> None:
        """Where windows cannot be translucent, what is not drawn is taken out of this one."""
        if self._composited:
            return
        box = self._painter.box(self._shown, self._room()).toAlignedRect()
        if not self.look.locked:
            self.clearMask()
        else:
            self.setMask(NOWHERE if box.isEmpty() else QRegion(box))

    # --- where it stands ---

    def adopt(self, look: Look) -> None:
        """Has another look from now on."""
        self.look = look
        self._lay_out()
        self.changed.emit(look)

    def lock(self, locked: bool) -> None:
        """Lets clicks through, or lets itself be moved."""
        self.adopt(replace(self.look, locked=locked))

    def place(self) -> None:
        """Goes where it belongs; also when screens come, go or change."""
        area = self.screen_of_look().availableGeometry()
        width, height = wide(self.look.width, area.width()), min(self._painter.height, area.height())
        room = (area.x(), area.y(), area.width(), area.height())
        x, y = placed(self.look.position, width, height, room)
        whole = QRect(x, y, width, height)
        if not self.look.locked:
            whole.adjust(0, -BAR_HEIGHT if self._bar_is_above() else 0, 0, 0 if self._bar_is_above() else BAR_HEIGHT)
        self.setGeometry(whole)
        self.bar.setVisible(not self.look.locked)

    def screen_of_look(self) -> QScreen:
        """The screen that was chosen, or the first one."""
        return screen_named(self.look.screen) or QGuiApplication.primaryScreen()

    def _bar_is_above(self) -> bool:
        return not self.look.position.startswith("top")

    def _lay_out(self) -> None:
        self._painter = Painter(self.look)
        self.place()
        self._divide()
        self._shown = NOTHING
        if handle := self.windowHandle():
            handle.setFlag(Qt.WindowType.WindowTransparentForInput, self.look.locked)
        else:
            self.setWindowFlag(Qt.WindowType.WindowTransparentForInput, self.look.locked)
        self.refresh()
        self._cut_out()
        self.update()

    def _divide(self) -> None:
        """Words go into rows as wide as the window is."""
        self._board.lay_out(self._painter.measure, self.width() - 2 * self._painter.padding, self.look.lines)

    def _add_lines(self, more: int) -> None:
        self.adopt(replace(self.look, lines=min(max(1, self.look.lines + more), MOST_LINES)))

    # --- the user moves it ---

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802 - Qt's name
        """Bar and rows are as wide as the window; a compositor of Wayland may have made it so without being asked."""
        self.bar.setGeometry(
            0, 0 if self._bar_is_above() else self.height() - BAR_HEIGHT + 4, self.width(), BAR_HEIGHT - 4
        )
        if event.size().width() != event.oldSize().width() and not self._grip:  # who pulls at it has not decided yet
            self._divide()
            self.refresh()

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802 - Qt's name
        """Takes hold of it."""
        if event.button() != Qt.MouseButton.LeftButton or self.look.locked:
            return
        if QGuiApplication.platformName() == "wayland":
            self.windowHandle().startSystemMove()  # it alone may, and does not say where to
        else:
            self._grip = Grip(
                self._edges(event.position().toPoint()), event.globalPosition().toPoint(), self.geometry()
            )

    def mouseMoveEvent(self, event: QMouseEvent) -> None:  # noqa: N802 - Qt's name
        """Moves or resizes it, or shows what could be done here."""
        if self._grip:
            self.setGeometry(self._grip.pulled(event.globalPosition().toPoint()))
            return
        edges = self._edges(event.position().toPoint())
        shape = Qt.CursorShape.SizeHorCursor if edges & ACROSS else Qt.CursorShape.SizeVerCursor
        self.setCursor(shape if edges else Qt.CursorShape.SizeAllCursor)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:  # noqa: N802 - Qt's name
        """Lets go of it: it keeps the place and the size that it has been given."""
        grip, self._grip = self._grip, None
        if grip is None or grip.before == self.geometry():
            return
        screen = QGuiApplication.screenAt(self.geometry().center()) or self.screen_of_look()
        corner = self._room().topLeft().toPoint() + self.pos() - screen.availableGeometry().topLeft()
        look = replace(self.look, position=f"{corner.x()},{corner.y()}", screen=screen.name())
        if grip.edges & ACROSS:
            look = replace(look, width=str(self.width()))
        if grip.edges & Qt.Edge.BottomEdge:
            lines = round((self._room().height() - 2 * self._painter.edge) / self._painter.captions.line)
            look = replace(look, lines=min(max(1, lines), MOST_LINES))
        self.adopt(look)

    def _edges(self, at: QPoint) -> Qt.Edge:
        edges = Qt.Edge(0)
        if at.x() < GRIP:
            edges |= Qt.Edge.LeftEdge
        if at.x() >= self.width() - GRIP:
            edges |= Qt.Edge.RightEdge
        if at.y() >= self.height() - GRIP and self._bar_is_above():
            edges |= Qt.Edge.BottomEdge
        return edges


@dataclass(frozen=True, slots=True)
class Grip:
    """What the user has taken hold of, and where it was then."""

    edges: Qt.Edge  # none: all of it
    pointer: QPoint
    before: QRect

    def pulled(self, to: QPoint) -> QRect:
        """Where the window is when the pointer is there."""
        way, place = to - self.pointer, QRect(self.before)
        if not self.edges:
            return place.translated(way)
        if self.edges & Qt.Edge.LeftEdge:
            place.setLeft(min(place.left() + way.x(), place.right() - LEAST_WIDTH))
        if self.edges & Qt.Edge.RightEdge:
            place.setRight(max(place.right() + way.x(), place.left() + LEAST_WIDTH))
        if self.edges & Qt.Edge.BottomEdge:
            place.setBottom(max(place.bottom() + way.y(), place.top() + 2 * BAR_HEIGHT))
        return place
