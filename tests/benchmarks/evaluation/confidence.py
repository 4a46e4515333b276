"""Does a confidence of 0.8 mean that four words in five are right? Reliability, and the simplest map that would help.

error: expected calibration error, the mean distance between confidence and share of right words over ten bins of
    equally many words, of voices that nothing was tuned on. power: confidence ** power is the map of one number that
    fits the voices to tune on best (cross-entropy). It multiplies the `confidence_power` in the checkpoint's
    config.json, and is true of that checkpoint alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

BINS = 10
POWERS = [2 ** (step / 8) for step in range(-24, 25)]  # 1/8 to 8
LEAST = 1e-3


@dataclass(frozen=True, slots=True)
class Judged:
    """A word of a final."""

    confidence: float
    right: bool


def report(tuned: Sequence[Judged], words: Sequence[Judged]) -> dict[str, Any]:
    """Reliability of words as it is, and with the power that is best for those that were tuned on."""
    if len(tuned) < BINS or len(words) < BINS:
        return {"words": len(words)}
    power = best_power(tuned)
    return {
        "words": len(words),
        "right": sum(word.right for word in words) / len(words),
        "error": calibration_error(words),
        "power": power,
        "error with power": calibration_error([Judged(word.confidence**power, word.right) for word in words]),
        "bins": reliability(words),
    }


def reliability(words: Sequence[Judged]) -> list[tuple[float, float, int]]:
    """Mean confidence, share of right words, words; of each bin."""
    ranked, rows = sorted(words, key=lambda word: word.confidence), []
    for index in range(BINS):
        some = ranked[index * len(ranked) // BINS : (index + 1) * len(ranked) // BINS]
        if some:
            mean = sum(word.confidence for word in some) / len(some)
            rows.append((mean, sum(word.right for word in some) / len(some), len(some)))
    return rows


def calibration_error(words: Sequence[Judged]) -> float:
    """Mean distance between confidence and share of right words."""
    return sum(count * abs(mean - right) for mean, right, count in reliability(words)) / len(words)


def best_power(words: Sequence[Judged]) -> float:
    """The power under which the words are least surprising."""

    def surprise(power: float) -> float:
        bounded = ((min(max(word.confidence**power, LEAST), 1 - LEAST), word.right) for word in words)
        return -sum(math.log(value if right else 1 - value) for value, right in bounded)

    return min(POWERS, key=surprise)
