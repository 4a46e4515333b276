"""How the overlay looks and where it stands, and the file that remembers it. Knows no Qt."""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

MARGIN = 48  # pixels between the overlay and the edges of the screen
EDGES = {"left": 0.0, "right": 1.0, "top": 0.0, "bottom": 1.0}
POSITION = re.compile(r"(top|middle|bottom)(-(left|right))?|-?\d+,-?\d+")
WIDTH = re.compile(r"\d+%?")
SMALLEST, LARGEST = 12, 200  # pixels, of the font
MOST_LINES = 12
LEAST_WIDTH = 200  # pixels

Area = tuple[int, int, int, int]  # left, top, width and height, in pixels


@dataclass(frozen=True, slots=True)
class Look:
    """What a user may choose. Pixels are those of the desktop, which may be more than one on the screen."""

    font: str = ""  # a family; the desktop's own if there is none
    size: int = 34  # pixels, of the font
    opacity: float = 0.8  # of the box behind the text
    lines: int = 2
    position: str = "bottom"  # also top-left, middle, 100,200: from the upper left corner of the screen
    width: str = "60%"  # of the screen, or pixels
    screen: str = ""  # its name or number; the first one if there is none
    locked: bool = False  # clicks go through it

    def __post_init__(self) -> None:
        """Refuses values that make no sense.

        Raises:
            ValueError: names the value.
        """
        for field in fields(self):
            value, kind = getattr(self, field.name), type(field.default)
            if type(value) not in ((int, float) if kind is float else (kind,)):
                raise ValueError(f"{field.name} is {value!r}; it must be like {field.default!r}")
        _within("size", self.size, SMALLEST, LARGEST)
        _within("opacity", self.opacity, 0, 1)
        _within("lines", self.lines, 1, MOST_LINES)
        if not POSITION.fullmatch(self.position):
            raise ValueError(f"position is {self.position!r}; it must be like top, bottom, middle-left or 100,200")
        if not WIDTH.fullmatch(self.width):
            raise ValueError(f"width is {self.width!r}; it must be like 60% or 900")

    def larger(self, steps: int) -> Look:
        """With a font that is so many steps larger; fewer than none: smaller."""
        size = round(self.size * 1.12**steps)
        return replace(self, size=min(max(size, SMALLEST), LARGEST))


def wide(width: str, available: int) -> int:
    """Pixels of a width such as 60% or 900, where so many are available."""
    pixels = available * int(width[:-1]) // 100 if width.endswith("%") else int(width)
    return min(max(pixels, LEAST_WIDTH), available)


def placed(position: str, width: int, height: int, area: Area) -> tuple[int, int]:
    """Where the upper left corner of something so large goes: wholly inside the area, if it fits."""
    left, top, room_across, room_down = area[0], area[1], area[2] - width, area[3] - height
    if "," in position:
        x, y = map(int, position.split(","))
    else:
        down, _, across = position.partition("-")
        x = round(EDGES.get(across, 0.5) * (room_across - 2 * MARGIN)) + MARGIN
        y = round(EDGES.get(down, 0.5) * (room_down - 2 * MARGIN)) + MARGIN
    return left + max(0, min(x, room_across)), top + max(0, min(y, room_down))


def config_file() -> Path:
    """Where the look is remembered."""
    home = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(home) / "granite-stream" / "overlay.json"


def remembered(path: Path, **given: Any) -> Look:
    """The look of last time, with what is given now instead. A value that makes no sense is forgotten.

    Raises:
        ValueError: what is given makes no sense.
    """
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        kept = {}
    look = Look()
    for field in fields(Look):
        if isinstance(kept, dict) and field.name in kept:
            try:
                look = replace(look, **{field.name: kept[field.name]})
            except ValueError:
                continue  # of another version, or written by hand
    return replace(look, **{name: value for name, value in given.items() if value is not None})


def remember(path: Path, look: Look) -> None:
    """Writes it, whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".new")
    draft.write_text(json.dumps(asdict(look), indent=1) + "\n", encoding="utf-8")
    draft.replace(path)


def _within(name: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise ValueError(f"{name} is {value}; it must lie between {least} and {most}")
