"""This run against the last one that was committed: what has become worse by more than the measure wanders."""

from __future__ import annotations

import json
import math
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.benchmarks.evaluation.corpus import JUDGING, TUNING


@dataclass(frozen=True, slots=True)
class Rule:
    """How a measure may change."""

    beginning: str  # of its name
    better: int  # 1: more is better, -1: less is
    absolute: float
    relative: float = 0.0


# Counts and rates of one model repeat exactly; what holds compute differs from run to run.
RULES = (
    Rule("retractions", -1, 0),
    Rule("words", -1, 0),
    Rule("WER", -1, 0.005),
    Rule("gap", -1, 0.005),
    Rule("finals equal", 1, 0.02),
    Rule("committed early", 1, 0.03),
    Rule("flicker", -1, 0.02),
    Rule("forwards", -1, 0.05),
    Rule("first partial", -1, 0.05, 0.1),
    Rule("commit ", -1, 0.05, 0.1),
    Rule("display", -1, 0.05, 0.1),
    Rule("final less", -1, 0.05, 0.1),
    Rule("word start", -1, 0.02),
    Rule("word end", -1, 0.02),
    Rule("error", -1, 0.02),
    Rule("tax", -1, 0.1, 0.15),
    Rule("RTF", -1, 0.005, 0.3),
)


def committed(path: Path) -> dict[str, Any] | None:
    """The results file as it was last committed; None if it never was."""
    command = ["git", "-C", str(path.parent), "show", f"HEAD:./{path.name}"]
    try:
        shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    return json.loads(shown)


def regressions(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """A line for each figure that has become worse. Parts whose audio is another are not compared."""
    heard = {name for name, part in now["corpus"].items() if before["corpus"].get(name) == part}
    lines = []
    old = dict(_figures(before, heard))
    for path, value in _figures(now, heard):
        rule = next((rule for rule in RULES if path[-1].startswith(rule.beginning)), None)
        if rule is None or (was := old.get(path)) is None or math.isnan(was) or math.isnan(value):
            continue
        if rule.better * (was - value) > max(rule.absolute, rule.relative * abs(was)):
            lines.append(f"{' / '.join(path)}: {was:.3g} -> {value:.3g}")
    return lines


def _figures(results: dict[str, Any], heard: set[str]) -> Iterator[tuple[tuple[str, ...], float]]:
    """Every figure of the parts that both runs heard, by its path."""
    for group, part_of in (("parts", None), ("dial", JUDGING), ("frontier", TUNING), ("nothing", None)):
        for name, figures in results.get(group, {}).items():
            part = part_of or name
            if part in heard or group == "nothing":
                for measure, value in figures.items():
                    if isinstance(value, int | float):
                        yield (group, name, measure), float(value)
