"""A daemon's streams one after the other, as one: where a stream cannot go on, the next one does.

A connection that is lost mends itself. A stream that cannot go on, as the daemon was restarted or away for too long, is
followed by another, whose segments and times count on. What the open segment showed is final then, draft included, and
the next stream begins with the audio behind that. So nothing is said twice, and only at the seam something may be lost:
a word that is heard in two parts, or one that was too unlikely to be shown.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from dataclasses import replace

from clients.connection import Captions
from clients.errors import HOPELESS, CaptionsError, LoadingError
from clients.patience import STEADY_SECONDS, Persistence
from clients.promised import Promised
from streamer.events import Done, Event, Final, Finalized, Partial, SpeechStarted, retimed
from streamer.sound.incoming import SAMPLE_RATE, Samples

LOST, BACK = "the connection to the server was lost; what is said is kept", "the server is back"
OUTAGE_SECONDS = 120.0  # without a stream that lasts: of recordings, and of a microphone's last words
MOST_KEPT_SECONDS = 90.0  # of audio that may be said again: a segment, and what client and daemon may lag
UNSEEN_SECONDS = 12.0  # of audio that a daemon has taken and not looked at yet

OpenStream = Callable[[], AbstractAsyncContextManager[Captions]]


class Succession:
    """Samples go in (`send`, `stop`), in one task; events come out (`events`), in another."""

    def __init__(
        self,
        captions: Captions,
        say: Callable[[str], None],
        again: OpenStream | None = None,
        live: bool = True,
    ) -> None:
        """Takes an open stream.

        Args:
            captions: the first stream, of `asking.ENCODING`.
            say: is told what happens to the connection.
            again: opens another one of the same kind; without it the first one's failure is the end.
            live: somebody speaks, until it is stopped: it is tried again for ever. Else only for `OUTAGE_SECONDS`.
        """
        self.model = captions.model
        self._again, self._say, self._live = again, say, live
        self._captions: Captions | None = captions  # None: the last one cannot go on
        self._failure: CaptionsError | None = None
        self._open = asyncio.Event()  # a stream has all that was sent so far, or there will be none
        self._open.set()
        self._online, self._stopped = True, False
        self._kept: deque[Samples] = deque()  # sent, but nothing final was said of it
        self._kept_from = self._sent_samples = 0
        self._untold_samples = 0  # of them, that this stream has not been sent again
        self._starts: deque[int] = deque()  # samples, of segments that are not final
        self._promised = Promised()
        self._segments = self._first_segment = 0  # so many were opened; that of this stream which it calls 0
        self._first_sample = 0  # of this stream

    @property
    def waiting_seconds(self) -> float:
        """Audio that was sent and that no daemon has taken for good."""
        taking = self._captions.waiting_seconds if self._captions else 0.0
        return taking + self._untold_samples / SAMPLE_RATE

    async def send(self, samples: Samples) -> None:
        """Sends the next samples `[T]`, 16 kHz; waits while the daemon is behind or away.

        Raises:
            CaptionsError: no stream could go on.
        """
        while True:
            await self._open.wait()
            if self._failure:
                raise self._failure
            captions = self._captions
            assert captions is not None, "open"
            self._tell_of_connection(captions)
            try:
                await captions.send(samples)
            except CaptionsError:  # whoever reads learns it as well, and opens the next one
                if self._captions is captions:
                    self._open.clear()
            else:
                self._keep(samples)
                return

    async def stop(self) -> None:
        """No more samples will come: the last events follow."""
        self._stopped = True
        if self._captions and self._open.is_set():
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
            async with AsyncExitStack() as opened:
                while True:
                    try:
                        captions = self._captions or await self._enter(opened)
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
                    patience_seconds = math.inf if self._live and not self._stopped else OUTAGE_SECONDS
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
            self._open.set()

    # --- one stream after the other ---

    async def _read(self, captions: Captions) -> AsyncGenerator[Event, None]:
        """The events of one stream."""
        last: Done | None = None
        async for event in captions:
            event = self._counted_on(event)
            if isinstance(event, Done):
                last = event  # the server says it also when it cannot go on: how the connection closes tells
                self._forget(round(event.audio_seconds * SAMPLE_RATE))
            elif not isinstance(event, Finalized):
                self._take(event)
                yield event
        if last:
            yield last

    async def _enter(self, opened: AsyncExitStack) -> Captions:
        """Opens another stream, which gets what was kept before anything else is sent."""
        assert self._again is not None, "the first one's failure would have been the end"
        await opened.aclose()
        captions = await opened.enter_async_context(self._again())
        self._first_segment, self._first_sample = self._segments, self._kept_from
        self._captions, self._online = captions, True
        sending = asyncio.create_task(self._send_again(captions, list(self._kept)))
        opened.callback(sending.cancel)  # nothing is lost: it is still kept
        self._say(BACK)
        return captions

    async def _send_again(self, captions: Captions, kept: list[Samples]) -> None:
        with suppress(CaptionsError):  # whoever reads learns it as well
            for samples in kept:
                await captions.send(samples)
                self._untold_samples -= len(samples)
            if self._stopped:
                await captions.stop()
            self._open.set()

    def _leave(self) -> Final | None:
        """The stream cannot go on: what it was about to say is final as it was shown."""
        self._open.clear()
        self._captions = None
        self._starts.clear()
        if final := self._promised.keep(draft=True):
            self._forget(round(final.end * SAMPLE_RATE))
        self._untold_samples = self._sent_samples - self._kept_from
        return final

    def _tell_of_connection(self, captions: Captions) -> None:
        if captions.online != self._online:
            self._online = captions.online
            self._say(BACK if self._online else LOST)

    # --- audio that may have to be said again ---

    def _keep(self, samples: Samples) -> None:
        self._kept.append(samples)
        self._sent_samples += len(samples)
        # where nobody speaks, what was looked at holds nothing
        seconds = MOST_KEPT_SECONDS if self._starts else self.waiting_seconds + UNSEEN_SECONDS
        self._forget(self._sent_samples - round(seconds * SAMPLE_RATE))

    def _take(self, event: Event) -> None:
        self._promised.take(event)
        match event:
            case SpeechStarted(start=start):
                self._starts.append(round(start * SAMPLE_RATE))
                self._forget(self._starts[0])
            case Final(end=end):
                if self._starts:
                    self._starts.popleft()
                # the next segment may begin within the pause that ended this one
                self._forget(min([round(end * SAMPLE_RATE), *self._starts]))

    def _forget(self, before: int) -> None:
        """Audio before this sample will not be said again."""
        while self._kept and (extra := before - self._kept_from) > 0:
            piece = self._kept.popleft()
            self._kept_from += min(extra, len(piece))
            if len(piece) > extra:
                self._kept.appendleft(piece[extra:])

    def _counted_on(self, event: Event) -> Event:
        """The event of this stream as one of all of them."""
        event = retimed(event, lambda seconds: seconds + self._first_sample / SAMPLE_RATE)
        if isinstance(event, SpeechStarted | Partial | Final):
            event = replace(event, segment=self._first_segment + event.segment)
            self._segments = max(self._segments, event.segment + 1)
        return event
