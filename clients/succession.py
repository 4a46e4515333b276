"""A daemon's streams one after the other, as one: where a stream cannot go on, the next one does.

A connection that is lost mends itself. A stream that cannot go on, as the daemon was restarted or away for too long, is
followed by another: it begins with the audio that the daemon had not taken, and its segments and times count on. What
was committed and not yet final when a daemon died is made final here; what it had only heard is lost with it.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from dataclasses import replace

import numpy as np

from clients.connection import Captions
from clients.errors import HOPELESS, CaptionsError, LoadingError
from clients.patience import STEADY_SECONDS, Persistence
from clients.promised import Promised
from streamer.events import Done, Event, Final, Finalized, Partial, SpeechStarted
from streamer.sound.incoming import SAMPLE_RATE, Samples

LOST, BACK = "the connection to the server was lost; what is said is kept", "the server is back"
FRAME_BYTES = 4  # of `asking.ENCODING`
OUTAGE_SECONDS = 120.0  # without a stream that lasts: of recordings, and of a microphone's last words

OpenStream = Callable[[], AbstractAsyncContextManager[Captions]]


class Succession:
    """Samples go in (`send`, `stop`), in one task; events come out (`events`), in another."""

    def __init__(
        self,
        captions: Captions,
        say: Callable[[str], None],
        again: OpenStream | None = None,
        patience_seconds: float = math.inf,
    ) -> None:
        """Takes an open stream.

        Args:
            captions: the first stream, of `asking.ENCODING`.
            say: is told what happens to the connection.
            again: opens another one of the same kind; without it the first one's failure is the end.
            patience_seconds: how long to try again when no stream lasts; once stopped, at most `OUTAGE_SECONDS`.
        """
        self.model = captions.model
        self._again, self._say, self._patience_seconds = again, say, patience_seconds
        self._captions: Captions | None = captions  # None: the last one cannot go on
        self._rest = b""  # what that one had not taken
        self._failure: CaptionsError | None = None
        self._opened = asyncio.Event()  # a stream, or there will be none
        self._opened.set()
        self._online, self._stopped = True, False
        self._sent_samples = 0
        self._promised = Promised()
        self._segments = self._first_segment = 0  # so many were opened; that of this stream which it calls 0
        self._first_second = 0.0  # of this stream

    @property
    def waiting_seconds(self) -> float:
        """Audio that was sent and that no daemon has taken for good."""
        if self._captions:
            return self._captions.waiting_seconds
        return len(self._rest) / FRAME_BYTES / SAMPLE_RATE

    async def send(self, samples: Samples) -> None:
        """Sends the next samples `[T]`, 16 kHz; waits while the daemon is behind or away.

        Raises:
            CaptionsError: no stream could go on.
        """
        while True:
            await self._opened.wait()
            if self._failure:
                raise self._failure
            captions = self._captions
            assert captions is not None, "opened"
            self._tell_of_connection(captions)
            try:
                await captions.send(samples)
            except CaptionsError:  # whoever reads learns it as well, and opens the next one
                if self._captions is captions:
                    self._opened.clear()
            else:
                self._sent_samples += len(samples)
                return

    async def stop(self) -> None:
        """No more samples will come: the last events follow."""
        self._stopped = True
        if self._captions:
            with suppress(CaptionsError):  # whoever reads learns it as well
                await self._captions.stop()

    async def events(self) -> AsyncGenerator[Event, None]:
        """What the streams say, counted on from one to the next; `Done` is the last.

        Raises:
            CaptionsError: no stream could go on, or another one would not help.
        """
        clock, persistence = asyncio.get_running_loop().time, Persistence()
        began = lasting_until = clock()
        try:
            async with AsyncExitStack() as open_streams:
                while True:
                    try:
                        captions = self._captions or await self._enter(open_streams)
                        async for event in self._read(captions):
                            yield event
                        return
                    except HOPELESS:
                        raise
                    except CaptionsError as error:
                        if self._again is None:
                            raise
                        lost = error
                    if final := self._leave():
                        yield final
                    if isinstance(lost, LoadingError) or clock() - began > STEADY_SECONDS:
                        lasting_until = clock()
                    patience_seconds = min(self._patience_seconds, OUTAGE_SECONDS if self._stopped else math.inf)
                    if clock() - lasting_until >= patience_seconds:
                        raise lost
                    if persistence.failed(lost, clock() - began):
                        self._say(persistence.message)
                    await asyncio.sleep(persistence.wait_seconds())
                    began = clock()
        except CaptionsError as error:
            self._failure = error
            raise
        finally:
            self._failure = self._failure or CaptionsError("the stream was left; connect again for another one")
            self._opened.set()

    async def _read(self, captions: Captions) -> AsyncGenerator[Event, None]:
        """The events of one stream."""
        last: Done | None = None
        async for event in captions:
            event = self._counted_on(event)
            if isinstance(event, Done):
                last = event  # the server says it also when it cannot go on: how the connection closes tells
            elif not isinstance(event, Finalized):
                self._promised.take(event)
                yield event
        if last:
            yield last

    async def _enter(self, open_streams: AsyncExitStack) -> Captions:
        """Opens another stream and goes on with it."""
        assert self._again is not None, "the first one's failure would have been the end"
        await open_streams.aclose()
        captions = await open_streams.enter_async_context(self._again())
        if self._rest:
            await captions.send(np.frombuffer(self._rest, "<f4"))
        if self._stopped:
            await captions.stop()
        self._first_segment = self._segments
        self._first_second = (self._sent_samples - len(self._rest) // FRAME_BYTES) / SAMPLE_RATE
        self._captions, self._rest, self._online = captions, b"", True
        self._opened.set()
        self._say(BACK)
        return captions

    def _leave(self) -> Final | None:
        """The stream cannot go on: what it has not taken is for the next one; what it committed is final."""
        self._opened.clear()
        if captions := self._captions:
            self._captions, self._rest = None, captions.rest
        return self._promised.final()

    def _tell_of_connection(self, captions: Captions) -> None:
        if captions.online != self._online:
            self._online = captions.online
            self._say(BACK if self._online else LOST)

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


def _later(seconds: float, more: float) -> float:
    """Rounded as the server rounds."""
    return round(seconds + more, 3)
