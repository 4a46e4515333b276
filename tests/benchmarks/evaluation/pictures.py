"""The two pictures of a run: the frontier, one dot for each setting, and how far confidence can be trusted."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes

from streamer.latency import LATENCIES
from tests.benchmarks.evaluation import frontier
from tests.benchmarks.evaluation.measures import Figures
from tests.benchmarks.plots import picture

LATE = "commit p50"
ABOVE, BELOW = (5, 5), (5, -11)  # points from a dot to its label


def draw(results: dict[str, Any]) -> None:
    """Writes frontier.svg and confidence.svg."""
    if settings := results["frontier"]:
        with picture("frontier.svg", panels=2) as (equal, errors):
            _settings(equal, settings, "finals equal to offline")
            _settings(errors, settings, "WER stream")
            equal.set(ylabel="share of finals equal to offline")
            errors.set(ylabel="word error rate of finals")
            errors.legend(loc="center left", bbox_to_anchor=(1.02, 0.5))
    if bins := results["confidence"].get("bins"):
        with picture("confidence.svg") as (axes,):
            axes.plot([0, 1], [0, 1], color="#999")
            axes.plot([confidence for confidence, _, _ in bins], [right for _, right, _ in bins], marker="o")
            axes.set(xlabel="confidence", ylabel="share of words right", xlim=(0, 1), ylim=(0, 1))


def _settings(axes: Axes, settings: dict[str, Figures], measure: str) -> None:
    """A line for each kind of evidence through its steps, its ends labelled in ms; the dial stands out."""
    for evidence in frontier.EVIDENCE:
        figures = [settings[frontier.name_of(evidence, step)] for step in frontier.STEPS_MS]
        across, up = [each[LATE] for each in figures], [each[measure] for each in figures]
        axes.plot(across, up, marker="o", markersize=3, linewidth=1, label=evidence)
        for end in (0, -1):
            axes.annotate(f"{frontier.STEPS_MS[end]}", (across[end], up[end]), ABOVE, textcoords="offset points")
    dial = [(settings[name][LATE], settings[name][measure]) for name in LATENCIES]
    axes.plot(*zip(*dial, strict=True), "o", color="black", label="--latency")
    for name, place in zip(LATENCIES, dial, strict=True):
        axes.annotate(name, place, BELOW, textcoords="offset points", weight="bold")
    axes.set(
        xlabel="commit delay p50, seconds", ylabel={"WER stream": "word error rate of finals"}.get(measure, measure)
    )
