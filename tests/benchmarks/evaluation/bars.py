"""The goals of this project for the embedded model, and how far each setting is from them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tests.benchmarks.evaluation.measures import Figures


@dataclass(frozen=True, slots=True)
class Bar:
    """A goal for one measure."""

    title: str
    measure: str
    goal: float
    unit: str = ""
    more_is_better: bool = False

    def met(self, value: float) -> bool:
        """Never by a figure that is missing (NaN)."""
        return value >= self.goal if self.more_is_better else value <= self.goal

    def shown(self, value: float) -> str:
        """A figure as it stands in a table."""
        if self.unit == "%":
            return f"{100 * value:.1f} %"
        return f"{value:.2f} {self.unit}".strip() if isinstance(value, float) else str(value)


BARS = (
    Bar("retractions of committed text, finals included", "retractions", 0),
    Bar("finals equal to offline", "finals equal to offline", 0.98, "%", more_is_better=True),
    Bar("streaming gap, relative to the offline WER", "gap relative", 0.02, "%"),
    Bar("first partial after speech begins, p50", "first partial p50", 0.7, "s"),
    Bar("commit delay, p50", "commit p50", 1.2, "s"),
    Bar("commit delay, p95", "commit p95", 2.5, "s"),
    Bar("display delay, p50", "display p50", 0.7, "s"),
    Bar("final after speech ends, beyond the endpoint's silence, p50", "final less endpoint p50", 0.15, "s"),
    Bar("the same, p95", "final less endpoint p95", 0.4, "s"),
    Bar("flicker, normalised", "flicker normalised", 0.15),
    Bar("forwards per final word", "forwards per final word", 0.5),
    Bar("streaming tax", "tax", 2.0),
    Bar("word ends, distance from forced alignment, p50", "word end p50", 0.04, "s"),
    Bar("the same, p95", "word end p95", 0.12, "s"),
)


def rows(settings: Mapping[str, Figures]) -> list[Sequence[str]]:
    """One row for each bar: the goal, then each setting's figure, in bold if it misses."""
    return [
        (bar.title, f"{'>=' if bar.more_is_better else '<='} {bar.shown(bar.goal)}", *_cells(bar, settings.values()))
        for bar in BARS
    ]


def _cells(bar: Bar, figures: Iterable[Figures]) -> list[str]:
    values = [each[bar.measure] for each in figures]
    return [bar.shown(value) if bar.met(value) else f"**{bar.shown(value)}**" for value in values]
