"""A daemon as a feed: sound goes in without waiting, captions come out."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import aclosing, suppress

from clients.errors import CaptionsError
from clients.live import Captioning
from clients.succession import Succession
from streamer.sound.incoming import SAMPLE_RATE, Samples

EXCUSE = "the server is too slow, or was away for too long"


class RemoteFeed:
    """What `Captioning` speaks to; see `Feed`. Made on the event loop."""

    def __init__(self, streams: Succession, captioning: Captioning) -> None:
        """Takes where sound goes, and what gets the events."""
        self._streams, self._captioning = streams, captioning
        self._ended = False
        # What no stream has taken yet. Bounded by `Captioning`, which leaves sound out when too much is waiting.
        self._unsent: deque[Samples] = deque()
        self._unsent_samples = 0
        self._news = asyncio.Event()
        self._task = asyncio.create_task(self._run())

    @property
    def waiting_seconds(self) -> float:
        """Audio that the daemon has not taken for good."""
        return self._streams.waiting_seconds + self._unsent_samples / SAMPLE_RATE

    def push(self, samples: Samples) -> None:
        """Takes the next samples `[T]`, 16 kHz."""
        self._unsent.append(samples)
        self._unsent_samples += len(samples)
        self._news.set()

    def end(self) -> None:
        """No more samples will come."""
        self._ended = True
        self._news.set()

    def drop(self) -> None:
        """Nobody wants captions any more."""
        self._task.cancel()  # lost: what was not sent or read, which nobody wants

    async def _run(self) -> None:
        sending = asyncio.create_task(self._send())
        try:
            async with aclosing(self._streams.events()) as events:
                async for event in events:
                    self._captioning.take([event])
        except Exception as error:  # whatever it is: nobody else would end the run
            self._captioning.fail(error)
        finally:
            sending.cancel()
            await asyncio.wait([sending])

    async def _send(self) -> None:
        with suppress(CaptionsError):  # whoever reads the captions learns it as well, and tells it
            while self._unsent or not self._ended:
                while self._unsent:
                    await self._streams.send(self._unsent[0])
                    self._unsent_samples -= len(self._unsent.popleft())
                self._news.clear()
                if not self._ended:
                    await self._news.wait()
            await self._streams.stop()
