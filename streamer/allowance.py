"""How much faster than speech a stream may be sent while others speak live. Pure: the caller has the clock.

Who sends a recording as fast as it is taken always has the most waiting and the most finals, and would have nearly all
of the machine. Alone it may; beside somebody who speaks, those who hurry share a part of it.
"""

from __future__ import annotations

import math

PACE = 1.2  # seconds of audio for each that passes, at least: a speaker whose connection was slow catches up
HURRIED = 0.5  # of the speakers whom the machine carries: the places of those who hurry and those who speak, together
FIRST_SECONDS = 2.0  # of audio that a new stream brings along
SAVED_SECONDS = 10.0  # of audio that are saved up at most, by who sends at the speed of speech or not at all
LIVE_SECONDS = 1.0  # of audio: who has so much left has not been hurrying
SILENT_SECONDS = 3.0  # after its last audio a stream is nobody to be careful of


class Allowance:
    """Of one stream. What is sent is paid for, also when it was more than there was."""

    def __init__(self, now: float) -> None:
        """Begins with what a new stream may bring along."""
        self._seconds, self._at, self._heard_at = FIRST_SECONDS, now, now

    def spend(self, seconds: float, now: float) -> None:
        """So much audio has come."""
        self._seconds, self._at, self._heard_at = self._left(now) - seconds, now, now

    def forgive(self, now: float) -> None:
        """Nobody was hindered by what was sent too early."""
        self._seconds, self._at = max(0.0, self._left(now)), now

    def owed_seconds(self, now: float) -> float:
        """Audio that was sent too early."""
        return max(0.0, -self._left(now))

    def is_live(self, now: float) -> bool:
        """Whether somebody speaks here, at the speed of speech."""
        return self._left(now) >= LIVE_SECONDS and now - self._heard_at < SILENT_SECONDS

    def _left(self, now: float) -> float:
        return min(SAVED_SECONDS, self._seconds + PACE * (now - self._at))


def pace(carried: float, live: int, hurrying: int) -> float:
    """Seconds of audio for each that passes that may be taken from each of those who hurry.

    Args:
        carried: so many speakers the machine can carry.
        live: so many speak at the speed of speech, besides.
        hurrying: so many do not.
    """
    return max(PACE, (HURRIED * carried - live) / hurrying) if live else math.inf
