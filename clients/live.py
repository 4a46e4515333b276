"""One run with a microphone: sound to a feed, captions to a screen. Knows not where they are written down."""

from __future__ import annotations

import asyncio
import math
import os
import signal
import time
from typing import Protocol

import numpy as np

from clients.errors import CaptionsError
from clients.keys import Keys
from clients.status import Status
from streamer.events import Done, Error, Event, retimed
from streamer.sound.incoming import SAMPLE_RATE, Samples
from streamer.sound.microphone import Microphone
from streamer.sound.saving import SavedSound

REFRESH_SECONDS = 0.1  # between two looks of the status line
FALL_DB = 3.0  # at a look, of the meter, when it gets quiet
BEHIND_SECONDS = 3.0  # of waiting sound are worth a word
MOST_BEHIND_SECONDS = 30.0  # of it; then sound is left out, until only `ROOM_SECONDS` wait
ROOM_SECONDS = 5.0
GAP_SECONDS = 5.0  # of silence at most stand for what is left out: it ends a segment, whatever the endpoint
TOO_SLOW = "this machine is too slow for this model"
STILL_SECONDS = 5.0  # of digital silence are worth a word: real rooms are never that quiet


class Feed(Protocol):
    """Who writes down what is said. Its events go to `Captioning.take`, its failure to `Captioning.fail`."""

    @property
    def waiting_seconds(self) -> float:
        """Audio that was pushed and that nobody has looked at."""

    def push(self, samples: Samples) -> None:
        """Takes the next samples `[T]`, 16 kHz, and never waits."""

    def end(self) -> None:
        """No more samples will come: the last events follow."""

    def drop(self) -> None:
        """Nobody wants its events any more. Once it has ended this does no harm."""


class Screen(Protocol):
    """Where captions are seen."""

    def show(self, event: Event) -> None:
        """Shows what was said."""

    def say(self, notice: str) -> None:
        """Tells what happened."""

    def mark(self, number: int) -> None:
        """Marks this moment."""

    def refresh(self) -> None:
        """Shows the status as it is now."""

    def leave(self) -> None:
        """Makes room for another program for a while."""


class Captioning:
    """One run, from the first sound to the last final."""

    def __init__(self, microphone: Microphone, screen: Screen, status: Status, sound: SavedSound | None = None) -> None:
        """Takes where sound comes from, where captions go, and what keeps the sound."""
        self.abandoned = False  # the user did not want to wait for the last words
        self.keys: Keys | None = None  # that work while it runs
        self._microphone, self._screen, self._status, self._sound = microphone, screen, status, sound
        self._feed: Feed
        self._excuse = TOO_SLOW
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._stopping = False
        self._heard_samples = 0
        self._skipped_samples = 0  # since the feed had no room for them
        self._pushed_samples = 0
        self._gaps: list[tuple[float, float]] = []  # the feed's time of each, and seconds that lie in it unheard
        self._still_samples = 0  # of digital silence at the end
        self._loudest = -math.inf  # dB since the last look of the status line
        self._refreshed_at = 0.0  # by the monotonic clock
        self._marks = 0

    # --- what the user and the system want; called on the event loop ---

    def press(self, key: str) -> None:
        """A key was typed."""
        match key.lower():
            case "q":
                self.stop()
            case "m":
                self._microphone.muted = not self._microphone.muted
            case "k":
                self._marks += 1
                try:
                    self._screen.mark(self._marks)
                except OSError as error:  # the disk is full
                    self.fail(error)

    def stop(self) -> None:
        """Ends it when the last words are written down; the second time at once."""
        if self._stopping and not self._over.done():
            self.abandoned = True
            self._over.set_result(None)
        self.hang_up()

    def hang_up(self) -> None:
        """The window was closed, and perhaps both it and the shell say so: ends it when the last words are written."""
        self._stopping = True

    def suspend(self) -> None:
        """Ctrl-Z: the terminal belongs to the shell until it is our turn again. What is said meanwhile is not heard."""
        self._screen.leave()
        if self.keys:
            self.keys.give_back()
        os.kill(os.getpid(), signal.SIGSTOP)
        if self.keys:
            self.keys.take()
        self._microphone.restart()

    def take(self, events: list[Event]) -> None:
        """Shows what the feed has to say; `Done` or `Error` are its last words."""
        try:
            for event in events:
                self._screen.show(retimed(event, self._true_seconds) if self._gaps else event)
        except Exception as error:  # nobody reads any more, the disk is full: it belongs to whoever waits for the end
            self.fail(error)
        if self._over.done():
            return
        match events[-1]:
            case Done():
                self._over.set_result(None)
            case Error(message=message):
                self.fail(CaptionsError(message))

    def fail(self, error: Exception) -> None:
        """Ends it: nothing more can be written down."""
        if not self._over.done():
            self._over.set_exception(error)

    # --- the run ---

    async def run(self, feed: Feed, excuse: str = TOO_SLOW) -> None:
        """Listens until it is time to stop, and waits for the last words.

        Args:
            feed: whose events and failure come to this object.
            excuse: why sound may have to be left out.

        Raises:
            CaptionsError: the feed has given up.
            OSError: captions or sound cannot be written any more.
        """
        self._feed, self._excuse = feed, excuse
        try:
            while not (self._stopping or self._over.done()):
                self._hear(await self._microphone.next())
            self._hear(await self._microphone.stop())
            self._make_up()
            feed.end()
            while not self._over.done():
                self._refresh("writing down the last words")
                await asyncio.wait([self._over], timeout=REFRESH_SECONDS)
        finally:
            feed.drop()
            await self._microphone.stop()  # while there is a screen to say on what was lost
        await self._over

    def _hear(self, samples: Samples) -> None:
        if self._sound:
            self._sound.write(samples)
        self._heard_samples += len(samples)
        self._push(samples)
        self._loudest = max(self._loudest, level_db(samples))
        self._still_samples = self._still_samples + len(samples) if self._loudest == -math.inf else 0
        if time.monotonic() - self._refreshed_at > REFRESH_SECONDS:
            # Falling slowly, so that the eye can follow.
            self._status.level_db, self._loudest = max(self._loudest, self._status.level_db - FALL_DB), -math.inf
            self._refresh(self._notice())

    def _push(self, samples: Samples) -> None:
        """Hands on what the feed can still take; what it cannot is skipped."""
        waiting_seconds = self._feed.waiting_seconds
        if waiting_seconds > (ROOM_SECONDS if self._skipped_samples else MOST_BEHIND_SECONDS):
            if len(samples) and not self._skipped_samples:
                self._screen.say(f"from now on nothing is written down: {self._excuse}")
            self._skipped_samples += len(samples)
            return
        self._make_up()
        self._hand_on(samples)

    def _make_up(self) -> None:
        """Puts silence where sound was skipped, and says how much."""
        if self._skipped_samples:
            seconds, self._skipped_samples = self._skipped_samples / SAMPLE_RATE, 0
            self._screen.say(f"{seconds:.0f} s are not written down: {self._excuse}")
            silence_seconds = min(seconds, GAP_SECONDS)
            # late in the silence: the segment before it ends in its first seconds
            at_seconds = self._pushed_samples / SAMPLE_RATE + 0.9 * silence_seconds
            self._hand_on(np.zeros(round(silence_seconds * SAMPLE_RATE), np.float32))
            if seconds > silence_seconds:
                self._gaps.append((at_seconds, seconds - silence_seconds))

    def _hand_on(self, samples: Samples) -> None:
        self._feed.push(samples)
        self._pushed_samples += len(samples)

    def _true_seconds(self, seconds: float) -> float:
        """The microphone's time of a moment in what was pushed."""
        return seconds + sum(unheard for at, unheard in self._gaps if at <= seconds)

    def _notice(self) -> str:
        microphone = self._microphone
        if microphone.gone:
            return f"waiting for {microphone.device.name}"
        if microphone.muted:
            return "muted"
        if (behind_seconds := self._feed.waiting_seconds) > BEHIND_SECONDS:
            return f"{behind_seconds:.0f} s behind"
        still = self._still_samples > STILL_SECONDS * SAMPLE_RATE and not microphone.device.is_loopback
        return "no sound: muted elsewhere, or forbidden?" if still else ""

    def _refresh(self, notice: str) -> None:
        self._refreshed_at = time.monotonic()
        if self.keys:
            self.keys.take()  # the terminal may be ours again: after Ctrl-Z, `bg` and `fg` nobody else says so
        self._status.notice, self._status.keys = notice, self.keys is not None and self.keys.work
        self._status.seconds = self._heard_samples / SAMPLE_RATE
        self._status.source = self._microphone.device.name
        self._screen.refresh()


def level_db(samples: Samples) -> float:
    """How loud samples `[T]` are, below full scale; digital silence is minus infinity."""
    power = float(np.mean(samples**2)) if len(samples) else 0.0
    return 10 * math.log10(power) if power else -math.inf
