"""Two pictures, as SVG in plain text: the frontier, and how far confidence can be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from tests.benchmarks.curves import PICTURES

WIDTH, HEIGHT = 760, 420
LEFT, RIGHT, TOP, BOTTOM = 60, 190, 20, 50  # margins, pixels
TICKS = 5


@dataclass(frozen=True, slots=True)
class Point:
    """A setting."""

    x: float
    y: float
    label: str = ""
    chosen: bool = False


def scatter(name: str, points: Sequence[Point], across: str, up: str, diagonal: bool = False) -> None:
    """Writes tests/pictures/`name`; axes hold what is shown, or from 0 to 1 with a diagonal."""
    xs, ys = ((0.0, 1.0), (0.0, 1.0)) if diagonal else (_range([p.x for p in points]), _range([p.y for p in points]))

    def place(x: float, y: float) -> tuple[float, float]:
        across_pixels = (WIDTH - LEFT - RIGHT) * (x - xs[0]) / (xs[1] - xs[0])
        up_pixels = (HEIGHT - TOP - BOTTOM) * (y - ys[0]) / (ys[1] - ys[0])
        return round(LEFT + across_pixels, 1), round(HEIGHT - BOTTOM - up_pixels, 1)

    parts = []
    for tick in range(TICKS + 1):
        x, y = (low + (high - low) * tick / TICKS for low, high in (xs, ys))
        parts.append(
            _line(place(x, ys[0]), place(x, ys[1]), "#ddd") + _text(place(x, ys[0]), 0, 18, f"{x:.2g}", "middle")
        )
        parts.append(_line(place(xs[0], y), place(xs[1], y), "#ddd") + _text(place(xs[0], y), -8, 4, f"{y:.2g}", "end"))
    if diagonal:
        parts.append(_line(place(0, 0), place(1, 1), "#999"))
    for point in points:
        x, y = place(point.x, point.y)
        colour = "#c0392b" if point.chosen else "#2471a3"
        parts.append(f'<circle cx="{x}" cy="{y}" r="{5 if point.chosen else 4}" fill="{colour}"/>')
        parts.append(_text((x, y), 8, 4, point.label))
    parts.append(_text(((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12), 0, 0, across, "middle"))
    parts.append(_text((8, TOP - 6), 0, 0, up))
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif"'
    body = "\n".join(['<rect width="100%" height="100%" fill="white"/>', *parts])
    (PICTURES / name).write_text(f'{head} font-size="11" fill="#333">\n{body}\n</svg>\n')


def _range(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    spare = (high - low) / 10 or 0.01
    return low - spare, high + spare


def _line(start: tuple[float, float], end: tuple[float, float], colour: str) -> str:
    return f'<line x1="{start[0]}" y1="{start[1]}" x2="{end[0]}" y2="{end[1]}" stroke="{colour}"/>'


def _text(at: tuple[float, float], right: float, down: float, text: str, anchor: str = "start") -> str:
    x, y = round(at[0] + right, 1), round(at[1] + down, 1)
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}">{escape(text)}</text>'
