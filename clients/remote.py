"""A daemon's stream as a feed: sound goes in without waiting, captions come out, and a lost connection is said."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from clients.connection import Captions
from clients.live import Captioning
from streamer.events import Done, Event, Finalized
from streamer.incoming import SAMPLE_RATE, Samples

ENCODING = "pcm_f32le"  # what a microphone gives: the daemon hears exactly what a local run would
EXCUSE = "the server is too slow, or was away for too long"


class RemoteFeed:
    """What `Captioning` speaks to; see `Feed`. Made on the event loop."""

    def __init__(self, captions: Captions, captioning: Captioning, say: Callable[[str], None]) -> None:
        """Takes an open stream of `ENCODING`, and what to tell of its connection."""
        self._captions, self._captioning, self._say = captions, captioning, say
        self._online = True
        self._ended = False
        # What the stream has not taken yet. Bounded by `Captioning`, which leaves sound out when too much is waiting.
        self._unsent: deque[Samples] = deque()
        self._unsent_samples = 0
        self._news = asyncio.Event()
        self._tasks = [asyncio.create_task(self._send()), asyncio.create_task(self._read())]

    @property
    def waiting_seconds(self) -> float:
        """Audio that the daemon has not taken for good."""
        return self._captions.waiting_seconds + self._unsent_samples / SAMPLE_RATE

    def push(self, samples: Samples) -> None:
        """Takes the next samples `[T]`, 16 kHz."""
        self._unsent.append(samples)
        self._unsent_samples += len(samples)
        self._news.set()
        if self._captions.online != self._online:
            self._online = self._captions.online
            lost = "the connection to the server was lost; what is said is kept"
            self._say("the server is back" if self._online else lost)

    def end(self) -> None:
        """No more samples will come."""
        self._ended = True
        self._news.set()

    def drop(self) -> None:
        """Nobody wants captions any more."""
        for task in self._tasks:
            task.cancel()  # lost: what was not sent or read, which nobody wants

    async def _send(self) -> None:
        try:
            while self._unsent or not self._ended:
                while self._unsent:
                    samples = self._unsent.popleft()
                    await self._captions.send(samples)
                    self._unsent_samples -= len(samples)
                self._news.clear()
                if not self._ended:
                    await self._news.wait()
            await self._captions.stop()
        except Exception:
            pass  # whoever reads the captions learns it as well, and tells it

    async def _read(self) -> None:
        try:
            last: list[Event] = []
            async for event in self._captions:
                if isinstance(event, Done):
                    last = [event]  # the server says it also when it cannot go on: how the connection closes tells
                elif not isinstance(event, Finalized):
                    self._captioning.take([event])
            if last:
                self._captioning.take(last)
        except Exception as error:  # whatever it is: nobody else would end the run
            self._captioning.fail(error)
