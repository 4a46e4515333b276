"""The two pictures of a run: the frontier, one dot for each setting, and how far confidence can be trusted."""

from __future__ import annotations

from typing import Any

from streamer.latency import LATENCIES
from tests.benchmarks.evaluation import frontier
from tests.benchmarks.evaluation.measures import Figures
from tests.benchmarks.evaluation.plots import Dot, Line, Panel
from tests.benchmarks.evaluation.plots import draw as write

LATE = "commit delay p50, seconds"


def draw(results: dict[str, Any]) -> None:
    """Writes frontier.svg and confidence.svg."""
    if settings := results["frontier"]:
        equal = Panel(LATE, "finals equal to offline", _lines(settings, "finals equal to offline"))
        write("frontier.svg", [equal, Panel(LATE, "word error rate of finals", _lines(settings, "WER stream"))])
    if bins := results["confidence"].get("bins"):
        dots = [Dot(confidence, right) for confidence, right, _ in bins]
        write("confidence.svg", [Panel("confidence", "share of words right", [Line("", dots)], diagonal=True)])


def _lines(settings: dict[str, Figures], measure: str) -> list[Line]:
    """A line for each kind of evidence through its steps, its ends labelled in ms; the dial stands out."""

    def dot(name: str, label: str = "") -> Dot:
        return Dot(settings[name]["commit p50"], settings[name][measure], label)

    ends, lines = (frontier.STEPS_MS[0], frontier.STEPS_MS[-1]), []
    for evidence in frontier.EVIDENCE:
        names = {step: frontier.name_of(evidence, step) for step in frontier.STEPS_MS}
        lines.append(Line(evidence, [dot(name, f"{step}" if step in ends else "") for step, name in names.items()]))
    return [*lines, Line("--latency", [dot(name, name) for name in LATENCIES], strong=True)]
