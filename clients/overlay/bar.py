"""The small bar of an overlay that is unlocked."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
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
        self._row.addWidget(QLabel("Drag to move, pull an edge to resize"), 1)
        self._button("A−", "Smaller text").clicked.connect(lambda: self.resized.emit(-1))
        self._button("A+", "Larger text").clicked.connect(lambda: self.resized.emit(1))
        self._button("− line", "Fewer lines").clicked.connect(lambda: self.lines.emit(-1))
        self._button("+ line", "More lines").clicked.connect(lambda: self.lines.emit(1))
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

    def _button(self, text: str, tip: str) -> QPushButton:
        button = QPushButton(text, self)
        button.setToolTip(tip)
        button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        button.setCursor(Qt.CursorShape.ArrowCursor)
        self._row.addWidget(button)
        return button
