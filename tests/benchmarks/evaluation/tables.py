"""Results as tables in Markdown, ready for the README."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tests.benchmarks.evaluation import bars, frontier
from tests.benchmarks.evaluation.measures import Figures

PART_COLUMNS = (
    "WER offline",
    "WER stream",
    "finals equal to offline",
    "first partial p50",
    "commit p50",
    "commit p95",
    "display p50",
    "final less endpoint p95",
    "flicker normalised",
    "word end p50",
    "word end p95",
    "tax",
    "retractions",
)


def markdown(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """One table; floats with three significant digits."""
    cells = [[f"{cell:.3g}" if isinstance(cell, float) else str(cell) for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in [list(header), ["---"] * len(header), *cells])


def tables(results: dict[str, Any]) -> str:
    """All of them, each under its title."""
    found = {"How each part was heard": _some(results["parts"], PART_COLUMNS)}
    if results["dial"]:
        header = ("held-out voices", "goal", *results["dial"])
        found["The goals (bold: missed)"] = markdown(header, bars.rows(results["dial"]))
    if results["frontier"]:
        found["The frontier, voices to tune on"] = _some(results["frontier"], frontier.COLUMNS)
    found["Sounds without speech"] = _all(results["nothing"])
    if results.get("drafts"):
        found["Drafts by the CTC head, held-out voices"] = _all(results["drafts"])
    single = ("edges", "seams", "pauses", "confidence")
    found |= {title: _figures(results[title]) for title in single if results.get(title)}
    return "\n\n".join(f"### {title}\n\n{table}" for title, table in found.items())


def _some(figures: Mapping[str, Figures], columns: Sequence[str]) -> str:
    return markdown(("", *columns), [[name, *(each[key] for key in columns)] for name, each in figures.items()])


def _all(figures: Mapping[str, Figures]) -> str:
    return _some(figures, list(next(iter(figures.values()))))


def _figures(figures: Figures) -> str:
    return markdown(("", ""), [(key, value) for key, value in figures.items() if not isinstance(value, list)])
