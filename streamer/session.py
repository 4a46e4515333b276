"""One speaker's stream, which outlives its connections. Knows no socket and no network: bytes in, a backlog out."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from streamer.backlog import Backlog
from streamer.channels import Speaker
from streamer.delays import Delay, Delays
from streamer.events import Done, Error, Event, Final, Take
from streamer.fields import WireError, refusing
from streamer.options import Options
from streamer.sound.incoming import Incoming
from streamer.wire import Close, Numbered, Start

LEAST_SECONDS = 0.02  # of audio handed on at once, so that a flood of single samples costs the memory of samples
MOST_SECONDS = 1.0  # of it: one message may hold minutes, which must wait for room as many messages would
SLOW_SECONDS = 10.0  # a client may take to read once it is a whole backlog behind


class Feed(Protocol):
    """What a session asks of the thread that owns the network."""

    attended: bool  # somebody is there who may speak

    def push(self, samples: np.ndarray) -> None:
        """Takes samples."""

    def finalize(self, name: str) -> None:
        """Ends the open segment."""

    def end(self) -> None:
        """No more samples will come."""

    def drop(self) -> None:
        """Forgets the stream."""

    async def room(self) -> None:
        """Waits until more samples may be pushed."""


class Dialect(Protocol):
    """How a stream's events are put into messages."""

    def render(self, event: Event) -> Sequence[str]:
        """The messages for an event; none, where a protocol has none."""


class Farewell(Exception):  # noqa: N818 - most are none, but a way to end
    """How a connection ends: what its close frame says, and whether its session stays for another one."""

    def __init__(self, code: Close, reason: str = "", error: str = "", resumable: bool = False) -> None:
        """`error` is the code of an error event that is sent before, with the reason as its message."""
        super().__init__(reason)
        self.code, self.reason, self.error, self.resumable = code, reason, error, resumable
        self.outcome = error or code.name.lower()  # in a word, for the log

    @classmethod
    def left(cls) -> Farewell:
        """Of a client that has closed its connection in order."""
        farewell = cls(Close.LOST, "closed by the client")
        farewell.outcome = "left"
        return farewell

    @classmethod
    def idle(cls, seconds: float) -> Farewell:
        """To a client that sent nothing for so long."""
        return cls(Close.GOING_AWAY, f"nothing came for {seconds:g} s")


class Hold:
    """One connection's hold on a session, until the connection ends or another one takes it over."""

    def __init__(self) -> None:
        self.news = asyncio.Event()  # there may be something to tell
        self.news.set()
        self.acknowledged = 0.0  # seconds of audio that the client knows to be safe
        self.farewell: asyncio.Future[Farewell] = asyncio.get_running_loop().create_future()

    def end(self, farewell: Farewell) -> None:
        """The connection is to end like this, unless it is ending already."""
        if not self.farewell.done():
            self.farewell.set_result(farewell)


class Session:
    """A stream, what was said in it, and the hold of the connection that it has just now, if it has one."""

    def __init__(
        self,
        start: Start,
        open_feed: Callable[[Options, Take], Feed],
        observe: Callable[[Delay], None],
        dialect: Dialect | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Opens the stream that the client asks for, to be told of in a dialect: the native one if none is given.

        Raises:
            WireError: there is no such audio format, or the model cannot do what is asked for.
        """
        self.incoming = incoming_for(start)
        self.id = secrets.token_urlsafe(24)  # whoever knows it may take the session over
        self.start = start
        self.backlog = Backlog()
        self.hold: Hold | None = None
        self.farewell: Farewell | None = None  # set when no more audio is taken: how to part once all is said
        self.over = False  # nothing more will be said
        self.finals = 0
        self.speaker: Speaker | None = None  # on a channel, if the client named one
        self._dialect = dialect or Numbered(lambda: self.backlog.count + 1, start.words)
        self._observe, self._clock = observe, clock
        self._delays = Delays()
        self._held = bytearray()  # not handed on yet, nor acknowledged
        self._least_bytes = int(LEAST_SECONDS * start.sample_rate) * self.incoming.frame_bytes
        self._most_bytes = int(MOST_SECONDS * start.sample_rate) * self.incoming.frame_bytes
        self._told = asyncio.Event()
        with refusing():
            self._feed = open_feed(start.options, self._take)

    # --- connections ---

    def attach(self, after: int) -> Hold:
        """Gives a connection its hold, and takes it from the one that had it. It is told what came after that event.

        Raises:
            WireError: what came after that event can no longer be told, or there never was such an event.
        """
        if after > self.backlog.count:
            raise WireError(f"after is {after}; the last event so far is {self.backlog.count}")
        if after < self.backlog.forgotten:
            missing = self.backlog.forgotten
            raise WireError(f"after is {after}; events up to {missing} are no longer kept", "unknown_session")
        if self.hold:
            self.hold.end(Farewell(Close.TAKEN_OVER, "resumed elsewhere", resumable=True))
        # What came from the connection before and was not acknowledged will come again, from a whole frame on.
        self._held.clear()
        self.incoming.drop_rest()
        self.backlog.rewind(after)
        self.hold, self._feed.attended = Hold(), True
        return self.hold

    def detach(self, hold: Hold) -> bool:
        """Takes a connection's hold back; false if another connection has it already."""
        if self.hold is not hold:
            return False
        self.hold, self._feed.attended = None, False
        return True

    # --- from the client ---

    async def room(self) -> None:
        """Waits until one more message may be worked on: what came is handed on, what it will say has a place to go.

        Raises:
            Farewell: the client does not read what it is told.
        """
        await self._feed.room()
        while len(self._held) >= self._least_bytes:
            self._push(self._most_bytes)
            await self._feed.room()
        try:
            async with asyncio.timeout(SLOW_SECONDS):
                while self.backlog.full:
                    self._told.clear()
                    await self._told.wait()
        except TimeoutError:
            reason = f"{SLOW_SECONDS:.0f} s behind with reading events"
            raise Farewell(Close.POLICY, reason, "slow_reader", resumable=True) from None

    def hear(self, data: bytes) -> None:
        """Takes audio, cut anywhere; behind the end none, as the last ack tells."""
        if self.farewell:
            return  # a microphone may send one more piece before it knows, and what was said must not be lost for it
        self._held += data
        if len(self._held) >= self._least_bytes:
            self._push(self._most_bytes)

    def finalize(self, name: str) -> None:
        """Ends the open segment; behind the end there is none."""
        if not self.farewell:
            self._push()
            if len(samples := self.incoming.flush()):
                self._feed.push(samples)
            self._feed.finalize(name)

    def end(self, farewell: Farewell) -> None:
        """Takes no more audio; once all is said, the connection ends like this."""
        if self.farewell is None:
            self.farewell = farewell
            self._push()
            self._feed.push(self.incoming.finish())
            self._feed.end()

    def drop(self) -> None:
        """Forgets the stream, whatever it is doing."""
        self._feed.drop()

    def _push(self, most_bytes: int | None = None) -> None:
        samples = self.incoming.feed(bytes(self._held[:most_bytes]))
        del self._held[:most_bytes]
        self._delays.arrivals.add(self.incoming.seconds, self._clock())
        if len(samples):
            self._feed.push(samples)
        if self.hold:
            self.hold.news.set()

    # --- to the client ---

    def say(self, message: str) -> None:
        """Has something told that is no event of the stream, in its place behind all that has happened so far."""
        self.backlog.append(message)
        if self.hold:
            self.hold.news.set()

    def told(self) -> None:
        """The backlog's next event has been sent."""
        self.backlog.told()
        self._told.set()

    def _take(self, events: Sequence[Event]) -> None:
        try:
            self._store(events)
        except Exception:  # a fault of ours: the client must not wait for what will never be said
            self.farewell = Farewell(Close.INTERNAL, "what was said cannot be told; start another session")
            self.over = True
            self._feed.drop()
            if self.hold:
                self.hold.end(self.farewell)
            raise

    def _store(self, events: Sequence[Event]) -> None:
        for event in events:
            self.finals += isinstance(event, Final)
            if isinstance(event, Error):  # of the stream itself: it can neither go on nor be resumed
                self.farewell = Farewell(Close.INTERNAL, event.message)
            self.over = isinstance(event, Done | Error)
            messages = self._dialect.render(event)
            for number, message in enumerate(messages, start=1):
                self.backlog.append(message, self.over and number == len(messages))
        if self.speaker:
            self.speaker.say(events)
        for delay in self._delays.take(events, self._clock()):
            self._observe(delay)
        if self.hold:
            self.hold.news.set()


def incoming_for(start: Start) -> Incoming:
    """What turns a client's audio into samples.

    Raises:
        WireError: there is no such audio format.
    """
    with refusing("bad_audio"):
        return Incoming(start.encoding, start.sample_rate, start.channels)
