"""The line below the captions: how loud it is, how long it has been, and what is wrong. Knows no device, no clock."""

from __future__ import annotations

import math
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size

from clients.formats import clock
from clients.plain import printable

DIM, BOLD, PLAIN = "\x1b[2m", "\x1b[1m", "\x1b[0m"
METER_CELLS = 10
QUIETEST_DB = -60.0  # of full scale, where the meter begins
KEYS = "m mute   k mark   q quit"


@dataclass(slots=True)
class Status:
    """What there is to say at the moment."""

    source: str  # what is listened to
    seconds: float = 0.0  # since the beginning
    level_db: float = -math.inf  # of full scale
    notice: str = ""  # what the user should know; it takes the place of the meter
    keys: bool = False  # they work


def line(status: Status, width: int) -> str:
    """The status in at most so many cells: what does not fit is left out, the most dispensable first."""
    first, source = printable(status.notice) or meter(status.level_db), printable(status.source)
    named = source in first  # what is waited for, for example
    parts = [first, clock(status.seconds), *([] if named else [source]), *([KEYS] if status.keys else [])]
    while len(parts) > 1 and cell_len("   ".join(parts)) > width:
        parts.pop()
    if cell_len(parts[0]) > width:
        parts = [set_cell_size(parts[0], width)]
    look = BOLD if status.notice else ""
    return f"{look}{parts[0]}{PLAIN if look else ''}{DIM}{''.join(f'   {part}' for part in parts[1:])}{PLAIN}"


def meter(level_db: float) -> str:
    """Ten cells, from -60 dB to full scale."""
    filled = 0 if level_db <= QUIETEST_DB else math.ceil((1 - min(level_db, 0.0) / QUIETEST_DB) * METER_CELLS)
    return "▮" * filled + "▯" * (METER_CELLS - filled)
