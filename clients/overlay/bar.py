"""The small bar of an overlay that is unlocked."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QWidget

BAR_HEIGHT = 40  # pixels
STYLE = """
#bar { background: #22262e; border-radius: 9px; }
QLabel { color: #c9d1da; font-size: 13px; padding-left: 8px; }
QPushButton { color: #ffffff; background: #39404b; border: 0; border-radius: 6px; padding: 5px 11px; font-size: 13px; }
QPushButton:hover { background: #4b5462; }
QPushButton:checked { background: #b3382f; }
#lock { background: #2f6fd6; }
#lock:hover { background: #4583e6; }
"""


class Bar(QWidget):
    """Buttons; where there is none the window below is taken hold of."""

    resized = Signal(int)  # steps of the font's size
    lines = Signal(int)  # more of them, or fewer
    muted = Signal(bool)
    locked = Signal()
    quit = Signal()

    def __init__(self, parent: QWidget, can_mute: bool) -> None:
        super().__init__(parent)
        self.setObjectName("bar")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setStyleSheet(STYLE)
        self.setCursor(Qt.CursorShape.SizeAllCursor)
        self._row = QHBoxLayout(self)
        self._row.setContentsMargins(6, 5, 6, 5)
        self._row.setSpacing(5)
        label = QLabel("Drag to move, pull an edge to resize")
        self._row.addWidget(label, 1)
        sizes = self._button("A−", "Smaller text"), self._button("A+", "Larger text")
        lines = self._button("− line", "Fewer lines"), self._button("+ line", "More lines")
        for step, size, line in zip((-1, 1), sizes, lines, strict=True):
            size.clicked.connect(partial(self.resized.emit, step))
            line.clicked.connect(partial(self.lines.emit, step))
        self._spare = ((label,), lines, sizes)  # what a narrow window can do without, first what is missed least
        self._mute = self._button("Mute", "The microphone is not heard")
        self._mute.setCheckable(True)
        self._mute.setVisible(can_mute)
        self._mute.toggled.connect(self.muted)
        self.lock = self._button(
            "Lock", "Clicks go through the captions; granite-stream overlay --unlock brings this back"
        )
        self.lock.setObjectName("lock")
        self.lock.clicked.connect(self.locked)
        self._button("Quit", "End the overlay").clicked.connect(self.quit)

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802 - Qt's name
        """Shows what fits: a button that is squeezed says nothing."""
        for parts in self._spare:
            for part in parts:
                part.setVisible(True)
        for parts in self._spare:
            self._row.invalidate()
            if self._row.minimumSize().width() <= event.size().width():
                return
            for part in parts:
                part.setVisible(False)

    def _button(self, text: str, tip: str) -> QPushButton:
        button = QPushButton(text, self)
        button.setToolTip(tip)
        button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        button.setCursor(Qt.CursorShape.ArrowCursor)
        self._row.addWidget(button)
        return button
