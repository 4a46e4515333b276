"""Pictures as SVG, in plain text: panels with dots on lines, side by side. Knows nothing of what they show."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from tests.benchmarks.curves import PICTURES

WIDTH, HEIGHT = 380, 340  # of a panel, pixels
LEFT, RIGHT, TOP, BOTTOM = 52, 28, 30, 44  # its margins
LEGEND = 20  # a line of it
COLOURS = ("#2471a3", "#1e8449", "#b9770e", "#7d3c98", "#17a2d8", "#a04000", "#7f8c8d", "#111111")
STRONG = "#c0392b"


@dataclass(frozen=True, slots=True)
class Dot:
    """A setting, or a bin."""

    x: float
    y: float
    label: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """Dots that belong together; a strong one stands out and is not drawn through."""

    name: str
    dots: Sequence[Dot]
    strong: bool = False


@dataclass(frozen=True, slots=True)
class Panel:
    """One pair of axes."""

    across: str
    up: str
    lines: Sequence[Line]
    diagonal: bool = False  # then both axes go from 0 to 1


def draw(name: str, panels: Sequence[Panel]) -> None:
    """Writes tests/pictures/`name`; all panels have the same names of lines, told once below them."""
    names = [line.name for line in panels[0].lines if line.name]
    per_row = max(1, 2 * len(panels))
    height = HEIGHT + LEGEND * -(-len(names) // per_row)
    parts = [f'<g transform="translate({WIDTH * at},0)">{_panel(panel)}</g>' for at, panel in enumerate(panels)]
    for index, label in enumerate(names):
        x, y = 20 + index % per_row * (WIDTH // 2), HEIGHT + LEGEND * (index // per_row) + 6
        parts.append(_dot(x, y - 4, index, panels[0].lines[index].strong) + _text(x + 10, y, label))
    size = f'viewBox="0 0 {WIDTH * len(panels)} {height}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="11" fill="#333">'
    body = "\n".join(['<rect width="100%" height="100%" fill="white"/>', *parts])
    (PICTURES / name).write_text(f"{head}\n{body}\n</svg>\n")


def _panel(panel: Panel) -> str:
    dots = [dot for line in panel.lines for dot in line.dots]
    across = [0.0, 1.0] if panel.diagonal else [dot.x for dot in dots]
    up = [0.0, 1.0] if panel.diagonal else [dot.y for dot in dots]
    columns, rows = ticks(min(across), max(across)), ticks(min(up), max(up))

    def place(x: float, y: float) -> tuple[float, float]:
        right = (x - columns[0]) / (columns[-1] - columns[0])
        above = (y - rows[0]) / (rows[-1] - rows[0])
        return round(LEFT + (WIDTH - LEFT - RIGHT) * right, 1), round(
            HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * above, 1
        )

    parts = [_path([place(x, rows[0]), place(x, rows[-1])], "#e4e4e4") for x in columns]
    parts += [_path([place(columns[0], y), place(columns[-1], y)], "#e4e4e4") for y in rows]
    parts += [_text(place(x, 0)[0], HEIGHT - BOTTOM + 16, f"{x:g}", "middle") for x in columns]
    parts += [_text(LEFT - 7, place(0, y)[1] + 4, f"{y:g}", "end") for y in rows]
    if panel.diagonal:
        parts.append(_path([place(0, 0), place(1, 1)], "#999"))
    for index, line in enumerate(panel.lines):
        places = [place(dot.x, dot.y) for dot in line.dots]
        if not line.strong:
            parts.append(_path(places, COLOURS[index % len(COLOURS)]))
        for dot, (x, y) in zip(line.dots, places, strict=True):
            parts.append(_dot(x, y, index, line.strong) + _text(x + 7, y + (12 if line.strong else -5), dot.label))
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, panel.across, "middle"))
    parts.append(_text(LEFT - 40, TOP - 14, panel.up))
    return "\n".join(parts)


def ticks(low: float, high: float) -> list[float]:
    """Round numbers about a fifth of the way apart, the first at most the lowest, the last at least the highest."""
    rough = (high - low) / 5 or 0.1
    power = 10 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
    first, last = math.floor(low / step + 1e-6), math.ceil(high / step - 1e-6)
    return [round(index * step, 10) for index in range(first, max(last, first + 1) + 1)]


def _dot(x: float, y: float, index: int, strong: bool) -> str:
    colour = STRONG if strong else COLOURS[index % len(COLOURS)]
    return f'<circle cx="{x}" cy="{y}" r="{5 if strong else 3}" fill="{colour}"/>'


def _path(places: Sequence[tuple[float, float]], colour: str) -> str:
    points = " ".join(f"{x},{y}" for x, y in places)
    return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.4"/>'


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    halo = 'paint-order="stroke" stroke="white" stroke-width="3"'
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" {halo}>{escape(text)}</text>' if text else ""
