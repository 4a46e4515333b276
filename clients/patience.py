"""When to try again, and when to give up. Pure: the caller has the clock."""

from __future__ import annotations

import random
from collections.abc import Callable

FIRST_SECONDS = 0.1
LONGEST_SECONDS = 5.0
FIRST_WAIT_SECONDS = 1.0  # of who never gives up
LONGEST_WAIT_SECONDS = 8.0
STEADY_SECONDS = 30.0  # what lasted so long was well: an attempt to connect that fails may take 22


class Patience:
    """For a while: waits double."""

    def __init__(self, total_seconds: float, now: float, chance: Callable[[], float] = random.random) -> None:
        """Lasts so long from now."""
        self.deadline = now + total_seconds
        self._chance = chance
        self._bound_seconds = 0.0  # nobody waits before the first attempt: most breaks are short

    def wait_seconds(self, now: float) -> float | None:
        """How long to wait before the next attempt; None: it is time to give up."""
        if now >= self.deadline:
            return None
        wait = _apart(self._bound_seconds, self._chance)
        self._bound_seconds = min(max(FIRST_SECONDS, 2 * self._bound_seconds), LONGEST_SECONDS)
        return min(wait, self.deadline - now)


class Persistence:
    """Never gives up: waits double, begin anew after what lasted, and the same fault is news only once."""

    def __init__(self, chance: Callable[[], float] = random.random) -> None:
        self.message = ""  # about the last fault
        self._chance = chance
        self._bound_seconds = FIRST_WAIT_SECONDS

    def failed(self, error: Exception, lasted_seconds: float) -> bool:
        """What was tried has failed after so long; whether that is news."""
        before = self.message
        if lasted_seconds > STEADY_SECONDS:
            before, self._bound_seconds = "", FIRST_WAIT_SECONDS
        self.message = f"{error}. Trying again …"
        return self.message != before

    def wait_seconds(self) -> float:
        """How long to wait before the next attempt."""
        wait = _apart(self._bound_seconds, self._chance)
        self._bound_seconds = min(2 * self._bound_seconds, LONGEST_WAIT_SECONDS)
        return wait


def _apart(bound_seconds: float, chance: Callable[[], float]) -> float:
    """Half of a bound and a random share of the other half: thousands of clients must not come back at one moment."""
    return bound_seconds * (1 + chance()) / 2
