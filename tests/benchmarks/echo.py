"""A network that answers at once: clicks go in, a caption comes out for each. What is late then, is the way there."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import numpy as np

from streamer.events import Done, Event, Partial
from tests.benchmarks.common import SAMPLE_RATE
from tests.servers import FakeWorker

RATE = 48_000  # of the microphone
CLICKS = 60
LOUD = 0.2  # amplitude that only a click has
APART_SECONDS = 0.15  # what is loud after less than that belongs to the same click


class Echo(FakeWorker):
    """Answers each click at once."""

    def open(self, options: Any, take: Any) -> Any:
        return EchoFeed(self, options, take)


class EchoFeed:
    """One stream of it."""

    def __init__(self, worker: Echo, _: Any, take: Any) -> None:
        self.worker, self.take = worker, take
        self.heard, self.last, self.count = 0, -SAMPLE_RATE, 0

    def push(self, samples: np.ndarray) -> None:
        """Says how many clicks there were when there is one more."""
        loud = np.flatnonzero(np.abs(samples) > LOUD)
        if len(loud):
            if self.heard + loud[0] - self.last > APART_SECONDS * SAMPLE_RATE:
                self.count += 1
                self.tell(Partial(0, 0.0, 1.0, "", f"{self.count}"))
            self.last = self.heard + loud[-1]
        self.heard += len(samples)

    def tell(self, event: Event) -> None:
        """Hands it on when the loop runs next, as a thread's events are."""
        asyncio.get_running_loop().call_soon(self.take, [event])

    def end(self) -> None:
        """The last event."""
        self.tell(Done(self.heard / SAMPLE_RATE))

    def drop(self) -> None:
        """There is nothing to forget."""

    async def room(self) -> None:
        """There always is some."""


def clicks(seed: int) -> np.ndarray:
    """Short tones at odd times, `[T]` at the microphone's rate."""
    chance = random.Random(seed)
    tone = (0.6 * np.sin(2 * np.pi * 1000 * np.arange(RATE // 50) / RATE)).astype(np.float32)
    silences = [np.zeros(int(RATE * chance.uniform(0.25, 0.45)), np.float32) for _ in range(CLICKS)]
    return np.concatenate([np.zeros(RATE, np.float32), *(part for silence in silences for part in (silence, tone))])


def differences(heard: list[float], shown: list[float]) -> list[float]:
    """Of each click: captions are painted in order, one a click."""
    assert len(heard) == len(shown) == CLICKS, (len(heard), len(shown))
    return [painted - click for click, painted in zip(heard, shown, strict=True)]
