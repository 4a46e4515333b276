"""Draws what is shown: a rounded box, committed text in full colour, the draft dimmed, all with an outline."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFont, QFontMetricsF, QPainter, QPainterPath, QPen

from clients.overlay.board import Shown
from clients.overlay.look import Look
from clients.wrapping import Row, wrap

WHITE, DIMMED, AMBER, BLACK = QColor("#ffffff"), QColor("#b4bac2"), QColor("#ffd479"), QColor("#000000")
BOX = QColor("#101216")
LINE_SHARE, PADDING_SHARE, EDGE_SHARE = 1.36, 0.5, 0.3  # of the font's size: a line, the box's sides, above and below
NOTICE_SHARE = 0.62
OUTLINE_SHARE = 0.09
SEE_THROUGH = 0.6  # boxes that let more through leave legibility to the outline


@dataclass(frozen=True, slots=True)
class Type:
    """A font and what follows from it, in pixels."""

    font: QFont
    metrics: QFontMetricsF
    line: int

    @classmethod
    def of(cls, family: str, size: int, weight: QFont.Weight) -> Type:
        """A font of this size."""
        font = QFont(family) if family else QFont()
        font.setPixelSize(size)
        font.setWeight(weight)
        font.setHintingPreference(QFont.HintingPreference.PreferNoHinting)  # words must not be wider than measured
        return cls(font, QFontMetricsF(font), round(size * LINE_SHARE))


class Painter:
    """Knows the sizes of one look, and draws with it."""

    def __init__(self, look: Look) -> None:
        self._look = look
        self.captions = Type.of(look.font, look.size, QFont.Weight.DemiBold)
        self.notices = Type.of(look.font, max(12, round(look.size * NOTICE_SHARE)), QFont.Weight.Medium)
        self.padding, self.edge = round(look.size * PADDING_SHARE), round(look.size * EDGE_SHARE)
        self.height = look.lines * self.captions.line + 2 * self.edge

    def measure(self, text: str) -> float:
        """How wide a caption is."""
        return self.captions.metrics.horizontalAdvance(text)

    def box(self, shown: Shown, room: QRectF) -> QRectF:
        """What of the room is filled; its lower edge stays where it is, or the upper one of a box that hangs there."""
        rows, kind = self._rows(shown, room.width())
        height = min(len(rows) * kind.line + 2 * self.edge, room.height()) if rows else 0.0
        top = room.top() if self._look.position.startswith("top") else room.bottom() - height
        return QRectF(room.left(), top, room.width(), height)

    def draw(self, painter: QPainter, shown: Shown, room: QRectF) -> None:
        """Draws it."""
        rows, kind = self._rows(shown, room.width())
        if not rows:
            return
        box = self.box(shown, room)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        color = QColor(BOX)
        color.setAlphaF(self._look.opacity)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(color)
        radius = self._look.size * 0.36
        painter.drawRoundedRect(box, radius, radius)
        above = (kind.line - kind.metrics.height()) / 2 + kind.metrics.ascent()
        for number, row in enumerate(rows):
            at = QPointF(box.left() + self.padding, box.top() + self.edge + number * kind.line + above)
            self._draw_row(painter, row, at, kind, AMBER if shown.notice else WHITE)

    def _rows(self, shown: Shown, width: float) -> tuple[list[Row], Type]:
        if shown.notice:
            kind = self.notices
            fitting = max(1, int((self.height - 2 * self.edge) // kind.line))
            rows = list(wrap(shown.notice, "", kind.metrics.horizontalAdvance, width - 2 * self.padding))
            return rows[:fitting], kind
        return list(shown.rows), self.captions

    def _draw_row(self, painter: QPainter, row: Row, at: QPointF, kind: Type, color: QColor) -> None:
        painter.setFont(kind.font)
        committed = row.committed.lstrip()
        draft = row.draft if committed else row.draft.lstrip()
        behind = at + QPointF(kind.metrics.horizontalAdvance(committed), 0)
        for text, place, pen in ((committed, at, color), (draft, behind, DIMMED)):
            if not text.strip():
                continue
            if self._look.opacity < SEE_THROUGH:
                self._draw_outline(painter, text, place, kind)
            painter.setPen(pen)
            painter.drawText(place, text)

    def _draw_outline(self, painter: QPainter, text: str, place: QPointF, kind: Type) -> None:
        path = QPainterPath()
        path.addText(place, kind.font, text)
        width = 2 * max(1.0, kind.font.pixelSize() * OUTLINE_SHARE)
        pen = QPen(BLACK, width, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap, Qt.PenJoinStyle.RoundJoin)
        painter.strokePath(path, pen)
