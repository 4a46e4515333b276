"""When to try again, and when to give up. Pure: the caller has the clock."""

from __future__ import annotations

import random
from collections.abc import Callable

FIRST_SECONDS = 0.1
LONGEST_SECONDS = 5.0


class Patience:
    """Waits that double, each a random share of its bound: thousands of clients must not come back at one moment."""

    def __init__(self, total_seconds: float, now: float, chance: Callable[[], float] = random.random) -> None:
        """Lasts so long from now."""
        self.deadline = now + total_seconds
        self._chance = chance
        self._bound_seconds = 0.0  # nobody waits before the first attempt: most breaks are short

    def wait_seconds(self, now: float) -> float | None:
        """How long to wait before the next attempt; None: it is time to give up."""
        if now >= self.deadline:
            return None
        wait = self._bound_seconds * (1 + self._chance()) / 2
        self._bound_seconds = min(max(FIRST_SECONDS, 2 * self._bound_seconds), LONGEST_SECONDS)
        return min(wait, self.deadline - now)
