"""The look of all plots, and where they go: tests/pictures, as SVG that changes only when its figures do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

PICTURES = Path(__file__).parent.parent / "pictures"
PANEL_INCHES = (5.4, 4.2)
STYLE = {
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.grid": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": "#e4e4e4",
    "legend.frameon": False,
    "svg.hashsalt": "granite-stream",  # names inside the file would be random
}


@contextmanager
def picture(name: str, panels: int = 1) -> Iterator[list[Axes]]:
    """Gives `panels` empty pairs of axes side by side; what is drawn into them is written to tests/pictures/`name`."""
    width, height = PANEL_INCHES
    with mpl.rc_context(STYLE):
        figure = Figure((panels * width, height), layout="constrained")
        yield list(figure.subplots(1, panels, squeeze=False)[0])
        figure.savefig(PICTURES / name, metadata={"Date": None})
