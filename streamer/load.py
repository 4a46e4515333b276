"""How much of the machine its streams need, and whether one more would be too much. Knows no thread and no clock.

A machine that is behind makes longer updates, so it can be fully busy and still carry more speakers. What cannot be
made less is one update in `LONGEST_STEP_SECONDS` for everyone who speaks, and every final: that share is what counts.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from model.features import FRAME_SECONDS
from streamer.metrics import Load
from streamer.stream import Due

LONGEST_STEP_SECONDS = 1.2  # of new audio in an update; where they grow longer, captions are no longer live
MEMORY_SECONDS = 15.0  # time constant of all that is measured here: a few segments
FEWEST_UPDATES = 0.05  # faded: the last one was 45 s ago
MOST_BUSY = 0.85  # share of the time that may be promised; the rest is for moments when many end at once
GUESS_SECONDS = 20.0  # of one stream's life that count as much as the guess made before anything was measured


class LoadMeter:
    """Sums that fade away: each is worth what happened within about the last `MEMORY_SECONDS`."""

    def __init__(self, guess: float, now: float) -> None:
        """Starts with a guess of the share of the thread's time that one stream needs."""
        self._guess, self._now = guess, now
        self._streams = 0
        self._elapsed = self._stream_seconds = self._busy_seconds = self._audio_seconds = 0.0
        self._final_frames = self._partial_frames = 0.0
        self._updates = self._update_seconds = 0.0

    def pass_time(self, now: float, streams: int) -> None:
        """Time has gone by with so many streams open."""
        passed = max(0.0, now - self._now)
        self._now, self._streams = now, streams
        fading = math.exp(-passed / MEMORY_SECONDS)
        kept = MEMORY_SECONDS * (1 - fading)  # of the time that passed, for it fades from its first moment on
        self._elapsed = self._elapsed * fading + kept
        self._stream_seconds = self._stream_seconds * fading + kept * streams
        self._busy_seconds *= fading
        self._audio_seconds *= fading
        self._final_frames *= fading
        self._partial_frames *= fading
        self._updates *= fading
        self._update_seconds *= fading

    def add(self, busy_seconds: float, updates: Iterable[Due], audio_seconds: float = 0.0) -> None:
        """A step took so long and made these updates, of streams that have taken in so much audio since the last."""
        self._busy_seconds += busy_seconds
        self._audio_seconds += audio_seconds
        for update in updates:
            if update.final:
                self._final_frames += update.frames
            else:
                self._partial_frames += update.frames
                self._updates += 1
                self._update_seconds += update.new_frames * FRAME_SECONDS

    @property
    def busy(self) -> float:
        """Share of the time, 0 to 1."""
        return min(1.0, self._busy_seconds / self._elapsed) if self._elapsed else 0.0

    @property
    def update_seconds(self) -> float:
        """Of new audio in an update, on average; 0 if there was none lately."""
        return self._update_seconds / self._updates if self._updates > FEWEST_UPDATES else 0.0

    def load(self, streams: int, waiting_seconds: float) -> Load:
        """The figures together."""
        return Load(streams, self.busy, streams * self._share_of_one(), self.update_seconds, waiting_seconds)

    @property
    def carried(self) -> float:
        """How many speakers this machine can carry."""
        share = self._share_of_one()
        return MOST_BUSY / share if share else math.inf

    def refusal(self) -> str | None:
        """Why one more stream would be too much; None if it is welcome, as the first always is."""
        if not self._streams or self._streams + 1 <= self.carried:
            return None
        carried = max(self._streams, int(self.carried))
        return f"this machine carries about {carried} such streams with this model, and has {self._streams}"

    def _share_of_one(self) -> float:
        frames = self._final_frames + self._partial_frames
        # an update costs nearly the same however much new audio it brings, so longer ones save almost all of the others
        kept = min(1.0, self.update_seconds / LONGEST_STEP_SECONDS)
        spared = (1 - kept) * self._partial_frames / frames if frames else 0.0
        measured = self._busy_seconds * (1 - spared)
        # a recording that comes faster than speech is so many speakers as it is faster
        spoken_seconds = max(self._stream_seconds, self._audio_seconds)
        return (self._guess * GUESS_SECONDS + measured) / (GUESS_SECONDS + spoken_seconds)
