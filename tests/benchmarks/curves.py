"""A plot as SVG, in plain text. Knows nothing of what it shows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

PICTURES = Path(__file__).parent.parent / "pictures"
WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 720, 360, 50, 45, 30, 190  # pixels; the last four are margins
COLOURS = ("#c0392b", "#e59866", "#2471a3", "#1e8449", "#7f8c8d")
STEPS = (1, 2, 5, 10, 20, 50, 100, 200, 500)


@dataclass(frozen=True)
class Curve:
    """Points of growing x."""

    label: str
    points: Sequence[tuple[float, float]]


def draw(name: str, curves: Sequence[Curve], across: str, up: str, highest: float, limit: float) -> None:
    """Writes tests/pictures/`name`: curves from 0 to `highest`, higher points cut off, and a dashed line at `limit`."""
    furthest = max(x for curve in curves for x, _ in curve.points)

    def place(x: float, y: float) -> tuple[float, float]:
        right = LEFT + (WIDTH - LEFT - RIGHT) * x / furthest
        return round(right, 1), round(HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * min(y, highest) / highest, 1)

    parts = [_grid(place, furthest, highest), _line([place(0, limit), place(furthest, limit)], "#555", dashed=True)]
    for index, curve in enumerate(curves):
        colour, y = COLOURS[index % len(COLOURS)], TOP + 20 * index + 10
        parts += [_line([place(*point) for point in curve.points], colour)]
        parts += [_line([(WIDTH - RIGHT + 15, y), (WIDTH - RIGHT + 35, y)], colour)]
        parts += [_text(WIDTH - RIGHT + 42, y + 4, curve.label)]
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts += [_text(middle, HEIGHT - 8, across, "middle"), _text(8, TOP - 15, up)]
    body = "\n".join(parts)
    style = 'font-family="sans-serif" font-size="12" fill="#333"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" {style}>'
    (PICTURES / name).write_text(f'{head}\n<rect width="100%" height="100%" fill="white"/>\n{body}\n</svg>\n')


def _grid(place: Callable[[float, float], tuple[float, float]], furthest: float, highest: float) -> str:
    step = next((step for step in STEPS if furthest / step <= 10), STEPS[-1])
    marks = [_text(*_moved(place(x, 0), 0, 18), f"{x}", "middle") for x in range(0, int(furthest) + 1, step)]
    for tenth in range(0, int(highest * 10) + 1, 5):
        y = tenth / 10
        marks += [_line([place(0, y), place(furthest, y)], "#ddd"), _text(*_moved(place(0, y), -8, 4), f"{y:g}", "end")]
    return "\n".join(marks)


def _moved(point: tuple[float, float], right: float, down: float) -> tuple[float, float]:
    return point[0] + right, point[1] + down


def _line(points: Sequence[tuple[float, float]], colour: str, dashed: bool = False) -> str:
    path = " ".join(f"{x},{y}" for x, y in points)
    dashes = ' stroke-dasharray="5 4"' if dashed else ""
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.6"{dashes}/>'


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}">{escape(text)}</text>'
