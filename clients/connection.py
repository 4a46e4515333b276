"""Live captions from a daemon: audio in, typed events out, through a connection that mends itself.

```
async with connect("ws://127.0.0.1:8765", token=…) as captions:
    await captions.send(samples)        # or bytes; from one task
    async for event in captions: …      # in another
```
Knows the wire but not what the audio or the words are for. Loads neither torch nor, for bytes, numpy.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from websockets.exceptions import ConnectionClosed

from clients.address import whole
from clients.dialing import Door, Line
from clients.errors import (
    NONSENSE,
    CaptionsError,
    ExpiredError,
    LoadingError,
    RefusedError,
    UnreachableError,
    of_close,
    of_event,
    of_nonsense,
)
from clients.outgoing import WIDTHS, to_bytes
from clients.patience import STEADY_SECONDS, Patience
from clients.replay import Replay
from streamer.events import KINDS, Done, Error, Event, Finalized, Partial, from_dict

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

LEAST_BUFFER_SECONDS = 1.0  # or it is full before an ack makes room: one comes after half a second of audio
BUFFER_SECONDS = 30.0  # of audio kept for a replay
PATIENCE_SECONDS = 30.0  # for which a daemon keeps a broken session, unless it was told otherwise
LOOK_SECONDS = 0.5  # between looks whether a daemon has its model
ROOM_SECONDS = 2.0  # the same whether it has room
MOST_UNREAD = 10_000  # events
KNOWN = KINDS.keys() - {Error.type}


class Choices(TypedDict, total=False):
    """What may be asked of the daemon; what is left out is its default."""

    latency: str  # low, balanced or accurate
    step_ms: int
    endpoint_ms: int
    max_segment_seconds: float
    partials: bool
    words: bool
    task: str  # transcribe or translate
    language: str  # that is spoken
    target_language: str  # to translate into
    punctuate: bool
    keywords: Sequence[str]
    speakers: bool
    prompt: str  # in words of one's own, instead of all that but keywords
    channel: str  # whoever watches it reads along; without one nobody can


@asynccontextmanager
async def connect(
    url: str,
    *,
    token: str | None = None,
    sample_rate: int = 16_000,
    encoding: str = "pcm_s16le",
    channels: int = 1,
    buffer_seconds: float = BUFFER_SECONDS,
    patience_seconds: float = PATIENCE_SECONDS,
    tls: ssl.SSLContext | None = None,
    **choices: Unpack[Choices],
) -> AsyncIterator[Captions]:
    """Opens a stream at a daemon; leaving the context forgets it, so `stop` first and read what still comes.

    Raises:
        CaptionsError: one of `clients.errors`; the first connection is tried only once.
        ValueError: there is no such encoding, or the buffer is too small.
        TypeError: there is no such choice.
    """
    if unknown := choices.keys() - Choices.__annotations__.keys():
        known = ", ".join(Choices.__annotations__)
        raise TypeError(f"connect() knows no {', '.join(sorted(unknown))}; there are {known}")
    if buffer_seconds < LEAST_BUFFER_SECONDS:
        raise ValueError(f"buffer_seconds is {buffer_seconds:g}; it must be at least {LEAST_BUFFER_SECONDS:g}")
    if encoding not in WIDTHS:
        raise ValueError(f"encoding is {encoding!r}; it must be one of {', '.join(WIDTHS)}")
    start = {"type": "start", "sample_rate": sample_rate, "encoding": encoding, "channels": channels, **choices}
    captions = Captions(Door(whole(url), token, tls), start, buffer_seconds, patience_seconds)
    try:
        await captions._open()
        yield captions
    finally:
        await captions._close()


@asynccontextmanager
async def once_loaded(
    stream: Callable[[], AbstractAsyncContextManager[Captions]], say: Callable[[str], None], live: bool = True
) -> AsyncIterator[Captions]:
    """Opens a stream. Whoever has just started the daemon waits for its model, as long as it is being loaded.

    What is not live can wait, too, until the daemon has room.
    """
    async with AsyncExitStack() as stack:
        captions, told = None, False
        while captions is None:
            try:
                captions = await stack.enter_async_context(stream())
            except RefusedError as refusal:
                loading = isinstance(refusal, LoadingError)
                if live and not loading:
                    raise
                if not told:
                    waiting = f"{refusal} (waiting until there is room)"
                    say("the server is still loading its model; waiting for it" if loading else waiting)
                told = True
                await asyncio.sleep(LOOK_SECONDS if loading else ROOM_SECONDS)
        yield captions


class Captions:
    """One stream. Made by `connect`."""

    def __init__(self, door: Door, start: dict[str, Any], buffer_seconds: float, patience_seconds: float) -> None:
        self.session = ""  # its name at the daemon
        self.model = ""  # what the daemon writes with
        self.online = False  # there is a connection just now
        self._door, self._start = door, start
        self._buffer_seconds, self._patience_seconds = buffer_seconds, patience_seconds
        self._replay = Replay(WIDTHS[start["encoding"]] * start["channels"], start["sample_rate"])
        self._unread: deque[Event] = deque()
        self._seq = 0  # of the last event that came
        self._stopped = self._done = False
        self._progressed = False  # whether this connection brought anything
        self._failure: BaseException | None = None
        self._left = False
        self._socket: Line | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._more, self._room, self._news = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def send(self, sound: bytes | bytearray | memoryview | ArrayLike) -> None:
        """Sends the next audio: bytes of the encoding, or samples `[T, channels]` (`[T]` if one), float or int16.

        Audio is kept until the daemon has it for good, so that a lost connection loses nothing. When `buffer_seconds`
        of it are kept this waits: the daemon is behind or away, and whoever speaks must hold back or drop audio
        knowingly.

        Raises:
            CaptionsError: the stream cannot go on.
            ValueError: the samples do not fit the encoding, or the stream was stopped.
        """
        data = to_bytes(sound, self._start["encoding"], self._start["channels"])
        self._check()
        while self._replay.waiting_seconds >= self._buffer_seconds:
            self._room.clear()
            await self._room.wait()
            self._check()
        self._replay.put_audio(data)
        self._more.set()

    async def finalize(self, id: str) -> None:
        """Ends the open segment here. Its final comes, then `Finalized(id)`."""
        self._check()
        self._replay.put_finalize(id)
        self._more.set()

    async def stop(self) -> None:
        """Ends the stream. The last events come, then `Done`, and the iteration ends."""
        self._check()
        self._stopped = True
        self._replay.put_stop()
        self._more.set()

    @property
    def waiting_seconds(self) -> float:
        """Audio that was sent and that the daemon has not taken for good."""
        return self._replay.waiting_seconds

    def __aiter__(self) -> Captions:
        """Events, as they come."""
        return self

    async def __anext__(self) -> Event:
        """The next event.

        Raises:
            CaptionsError: the stream cannot go on; everything that came before it has been read.
        """
        while not self._unread:
            if self._failure is not None:
                raise self._failure
            if self._keeper is None or self._keeper.done():
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        return self._unread.popleft()

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._left:
            raise CaptionsError("the stream was left; connect again for another one")
        if self._stopped:
            raise ValueError("the stream was stopped; connect again for another one")

    # --- connections, one after the other ---

    async def _open(self) -> None:
        self._socket = await self._enter()
        self.online = True
        self._keeper = asyncio.create_task(self._keep(self._socket))

    async def _close(self) -> None:
        self._left = True
        if self._keeper is not None:
            self._keeper.cancel()  # what it had not sent or read is of no interest any more
            await asyncio.wait([self._keeper])
        if self._socket is not None:
            await self._socket.close()

    async def _keep(self, socket: Line) -> None:
        clock = asyncio.get_running_loop().time
        patience = Patience(self._patience_seconds, clock())
        try:
            while True:
                entered, self.online = clock(), True
                await self._serve(socket)
                self.online = False
                if self._done:
                    return
                if self._progressed or clock() - entered > STEADY_SECONDS:
                    patience = Patience(self._patience_seconds, clock())
                self._socket = socket = await self._enter_again(patience)
        except Exception as error:  # whatever it is, the caller has to know: nobody else serves this stream
            self._failure = error
        finally:
            self._room.set()
            self._news.set()

    async def _enter(self) -> Line:
        """A connection that the daemon has greeted: the stream begins, or goes on where the daemon is."""
        resume = {"resume": self.session, "after": self._seq} if self.session else {}
        socket, ready = await self._door.enter({**self._start, **resume})
        self.session, self.model = ready["session"], ready["model"]
        kept = self._replay.waiting_seconds
        try:
            self._replay.rewind(ready["audio_seconds"])
        except NONSENSE as error:
            await socket.close()
            raise of_nonsense(error) from error
        self._progressed = self._replay.waiting_seconds < kept  # thanks to the connection before this one
        return socket

    async def _enter_again(self, patience: Patience) -> Line:
        clock = asyncio.get_running_loop().time
        reason = "the connection was lost"
        while (wait := patience.wait_seconds(clock())) is not None:
            await asyncio.sleep(wait)
            try:
                return await self._enter()
            except (UnreachableError, RefusedError) as error:  # a daemon that starts again, or is full for a moment
                reason = str(error)
        raise ExpiredError(f"{reason}; given up after {self._patience_seconds:g} s, connect again for a new stream")

    async def _serve(self, socket: Line) -> None:
        """Sends and takes until the stream ends or the connection is lost."""
        helpers = [asyncio.create_task(self._write(socket)), asyncio.create_task(socket.abort_when_silent())]
        try:
            # a daemon that ends by itself, to restart for example, also says `done`: it has not taken all that was said
            while not (self._done and self._stopped and self._replay.all_taken):
                self._take(json.loads(await socket.recv()))
        except ConnectionClosed:
            if error := of_close(socket.close_code, socket.close_reason or ""):
                raise error from None
            if self._done:
                raise CaptionsError("the server has ended the stream; connect again for another one") from None
        except NONSENSE as error:
            raise of_nonsense(error) from error
        finally:
            for helper in helpers:
                helper.cancel()  # nothing is lost: what went out is kept until the daemon has it for good
            await asyncio.wait(helpers)

    async def _write(self, socket: Line) -> None:
        try:
            while True:
                while (message := self._replay.next()) is not None:
                    await socket.send(message)
                self._more.clear()
                await self._more.wait()
        except ConnectionClosed:
            pass  # whoever reads learns it as well, and knows what to do

    def _take(self, values: dict[str, Any]) -> None:
        match values["type"]:
            case "ack":
                self._replay.taken(values["audio_seconds"])
                self._progressed = True
                self._room.set()
            case "error" if values["code"] == "slow_reader":
                pass  # this process was held up; the close that follows is as good as a lost connection
            case "error":
                raise of_event(values["code"], values["message"])
            case _ if "seq" in values:
                self._take_event(values)

    def _take_event(self, values: dict[str, Any]) -> None:
        if values["seq"] <= self._seq:
            return  # repeated at a resume
        if values["seq"] > self._seq + 1:
            raise ValueError(f"event {values['seq']} came after event {self._seq}")
        self._seq, self._progressed = values["seq"], True
        if values["type"] not in KNOWN:
            return  # of a later version
        event = from_dict(values)
        if isinstance(event, Finalized) and not self._replay.answered(event.id):
            return
        self._done = self._done or isinstance(event, Done)
        self._keep_for_reader(event)
        self._news.set()

    def _keep_for_reader(self, event: Event) -> None:
        # Bounded for readers that only collect at the end: when much is unread, a partial takes the place of the one
        # that it replaces anyway. Finals are what the caller asked for; they are few and stay.
        last = self._unread[-1] if self._unread else None
        replaces = isinstance(event, Partial) and isinstance(last, Partial) and event.segment == last.segment
        if replaces and len(self._unread) >= MOST_UNREAD:
            self._unread.pop()
        self._unread.append(event)
