"""A daemon's streams as a feed: sound goes in without waiting, captions come out as of one stream.

A connection that is lost mends itself. A stream that cannot go on, as the daemon was restarted or away for too long, is
followed by another: it begins with the audio that the daemon had not taken, and its segments and times count on. What
was committed and not yet final when a daemon died is made final here; what it had only heard is lost with it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace

import numpy as np

from clients.connection import Captions
from clients.errors import HOPELESS, CaptionsError
from clients.live import Captioning
from clients.patience import Persistence
from clients.promised import Promised
from streamer.events import Done, Event, Final, Finalized, Partial, SpeechStarted
from streamer.incoming import SAMPLE_RATE, Samples

EXCUSE = "the server is too slow, or was away for too long"


class RemoteFeed:
    """What `Captioning` speaks to; see `Feed`. Made on the event loop."""

    def __init__(
        self,
        captions: Captions,
        captioning: Captioning,
        say: Callable[[str], None],
        again: Callable[[], AbstractAsyncContextManager[Captions]] | None = None,
    ) -> None:
        """Takes an open stream.

        Args:
            captions: the stream, of `asking.ENCODING`.
            captioning: gets the events.
            say: is told what happens to the connection.
            again: opens another stream of the same kind; without it the first one's failure ends the run.
        """
        self._captioning, self._say, self._again = captioning, say, again
        self._captions: Captions | None = captions
        self._online = True
        self._ended = False
        # What no stream has taken yet. Bounded by `Captioning`, which leaves sound out when too much is waiting.
        self._unsent: deque[Samples] = deque()
        self._unsent_samples = self._pushed_samples = 0
        self._news = asyncio.Event()
        self._promised = Promised()
        self._segments = self._first_segment = 0  # so many were opened; that of this stream which it calls 0
        self._first_second = 0.0  # of this stream
        self._task = asyncio.create_task(self._run(captions))

    @property
    def waiting_seconds(self) -> float:
        """Audio that the daemon has not taken for good."""
        sent = self._captions.waiting_seconds if self._captions else 0.0
        return sent + self._unsent_samples / SAMPLE_RATE

    def push(self, samples: Samples) -> None:
        """Takes the next samples `[T]`, 16 kHz."""
        self._put(samples)
        self._pushed_samples += len(samples)
        if self._captions and self._captions.online != self._online:
            self._online = self._captions.online
            lost = "the connection to the server was lost; what is said is kept"
            self._say("the server is back" if self._online else lost)

    def end(self) -> None:
        """No more samples will come."""
        self._ended = True
        self._news.set()

    def drop(self) -> None:
        """Nobody wants captions any more."""
        self._task.cancel()  # lost: what was not sent or read, which nobody wants

    async def _run(self, captions: Captions) -> None:
        clock, persistence = asyncio.get_running_loop().time, Persistence()
        began = clock()
        try:
            lost = await self._serve(captions)
            while lost:
                if self._again is None or self._ended:
                    raise lost
                if persistence.failed(lost, clock() - began):
                    self._say(persistence.message)
                await asyncio.sleep(persistence.wait_seconds())
                began = clock()
                try:
                    async with self._again() as captions:
                        self._say("the server is back")
                        lost = await self._serve(captions)
                except HOPELESS:
                    raise
                except CaptionsError as error:
                    lost = error
        except Exception as error:  # whatever it is: nobody else would end the run
            self._captioning.fail(error)

    async def _serve(self, captions: Captions) -> CaptionsError | None:
        """Sends to one stream and reads from it to its end, or until it cannot go on for a reason that may pass."""
        self._captions, self._online = captions, True
        self._first_segment = self._segments
        self._first_second = (self._pushed_samples - self._unsent_samples) / SAMPLE_RATE
        sending = asyncio.create_task(self._send(captions))
        try:
            last: list[Event] = []
            async for event in captions:
                event = self._counted_on(event)
                if isinstance(event, Done):
                    last = [event]  # the server says it also when it cannot go on: how the connection closes tells
                elif not isinstance(event, Finalized):
                    self._promised.take(event)
                    self._captioning.take([event])
            if last:
                self._captioning.take(last)
        except HOPELESS:
            raise
        except CaptionsError as error:
            if self._again and not self._ended:
                self._leave(captions)
            return error
        finally:
            sending.cancel()  # nothing is lost: what it has not sent is still there
            await asyncio.wait([sending])
        return None

    def _leave(self, captions: Captions) -> None:
        """The stream cannot go on: what it committed is said, what it has not taken is for the next one."""
        self._captions = None
        if final := self._promised.final():
            self._captioning.take([final])
        self._put(np.frombuffer(captions.rest, "<f4"), first=True)

    def _counted_on(self, event: Event) -> Event:
        """The event of this stream as one of all of them."""
        segments, seconds = self._first_segment, self._first_second
        if isinstance(event, SpeechStarted | Partial | Final):
            self._segments = max(self._segments, segments + event.segment + 1)
        match event:
            case SpeechStarted():
                return replace(event, segment=segments + event.segment, start=_later(event.start, seconds))
            case Partial():
                start, end = _later(event.start, seconds), _later(event.end, seconds)
                return replace(event, segment=segments + event.segment, start=start, end=end)
            case Final():
                start, end = _later(event.start, seconds), _later(event.end, seconds)
                words = tuple(
                    replace(word, start=_later(word.start, seconds), end=_later(word.end, seconds))
                    for word in event.words
                )
                return replace(event, segment=segments + event.segment, start=start, end=end, words=words)
            case Done():
                return replace(event, audio_seconds=_later(event.audio_seconds, seconds))
        return event

    def _put(self, samples: Samples, first: bool = False) -> None:
        self._unsent.insert(0 if first else len(self._unsent), samples)
        self._unsent_samples += len(samples)
        self._news.set()

    async def _send(self, captions: Captions) -> None:
        try:
            while self._unsent or not self._ended:
                while self._unsent:
                    await captions.send(self._unsent[0])
                    self._unsent_samples -= len(self._unsent.popleft())
                self._news.clear()
                if not self._ended:
                    await self._news.wait()
            await captions.stop()
        except Exception:
            pass  # whoever reads the captions learns it as well, and tells it


def _later(seconds: float, more: float) -> float:
    """Rounded as the server rounds."""
    return round(seconds + more, 3)
