"""The Wyoming protocol, by which Home Assistant speaks to its voices and ears, on a port of its own.

```
(describe | ping | transcribe? audio-start audio-chunk* audio-stop)*
    ->  (info | pong | transcript-start transcript-chunk* transcript transcript-stop)* error?
```

Each event is a line of JSON, its data and payload behind it, over TCP. It knows no tokens. One connection may ask for
many transcripts, one after another; chunks are what is committed, so together they are the transcript.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any, TypeVar

from streamer.access import Access
from streamer.dialects.growing import Growing
from streamer.dialogue import farewell_for, sending, tell
from streamer.events import Done, Error, Event, Final, Partial
from streamer.fields import OBJECT, SHORT_TEXT, TEXTS, WHOLE, WireError, parse_object, quoted, refusing, value_of
from streamer.options import Options
from streamer.session import Farewell, Hold, Session
from streamer.sessions import Sessions
from streamer.wire import Close, Start

log = logging.getLogger("granite_stream")
T = TypeVar("T")

LINE_BYTES = 2**16  # the longest line, and the most data behind it
PAYLOAD_BYTES = 2**20
CLOSE_SECONDS = 5.0  # for a client to read what there is
WIDTH, ENCODING = 2, "pcm_s16le"  # bytes of a sample, and what they mean
NAME = "granite-stream"
ADDRESS = "https://huggingface.co/ibm-granite"


@dataclass(frozen=True, slots=True)
class Message:
    """An event of the protocol."""

    type: str
    data: dict[str, Any] = field(default_factory=dict)
    payload: bytes = b""

    def __str__(self) -> str:
        """As it is on the wire: a line, and the data behind it, which may be long. We send no payload."""
        data = json.dumps(self.data) if self.data else ""  # in ASCII: a character is a byte
        return json.dumps({"type": self.type, **({"data_length": len(data)} if data else {})}) + f"\n{data}"


class Chunks:
    """A stream in Wyoming's words: one transcript, growing."""

    def __init__(self) -> None:
        self.asked = False  # the client has said all of it: half a command is nothing to act on
        self._growing = Growing()
        self._begun = False

    def render(self, event: Event) -> list[str]:
        """The messages for an event."""
        match event:
            case Partial() | Final():
                return self._chunk(self._growing.add(event))
            case Done() if self.asked:
                whole = Message("transcript", {"text": self._growing.text})
                return [*self._start(), str(whole), str(Message("transcript-stop"))]
            case Error(message=message):
                return [error("internal", message)]
        return []

    def _chunk(self, new: str) -> list[str]:
        return [*self._start(), str(Message("transcript-chunk", {"text": new}))] if new else []

    def _start(self) -> list[str]:
        begun, self._begun = self._begun, True
        return [] if begun else [str(Message("transcript-start"))]


class Pipe:
    """A connection, one event at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def send(self, message: str) -> None:
        """Sends an event; waits while the client does not read.

        Raises:
            Farewell: it does not read for long.
        """
        self.leave(message)
        async with sending():
            await self._writer.drain()

    def leave(self, message: str) -> None:
        """Leaves an event to be read, if there is somebody to read it."""
        self._writer.write(message.encode())

    async def receive(self, idle_seconds: float) -> Message | None:
        """The next event; None: the client has left.

        Raises:
            WireError: it is too long, or none.
            Farewell: nothing came for long.
        """
        await asyncio.sleep(0)  # a flood of tiny events, all here already, must not keep the loop from the others
        try:
            async with asyncio.timeout(idle_seconds or None):
                line = await self._reader.readline()
                return await self._message(line) if line else None
        except TimeoutError:
            raise Farewell.idle(idle_seconds) from None
        except ValueError as wrong:  # of readline; a WireError is one, too
            raise wrong if isinstance(wrong, WireError) else WireError("the line is too long", "too_big") from None
        except (asyncio.IncompleteReadError, OSError):
            return None

    async def _message(self, line: bytes) -> Message:
        values = parse_object(line.decode(errors="replace"))
        kind = value_of(values, "type", SHORT_TEXT, "")
        data = value_of(values, "data", OBJECT, {})
        if behind := await self._behind(values, "data_length", LINE_BYTES):
            data = {**data, **parse_object(behind.decode(errors="replace"), LINE_BYTES)}
        return Message(kind, data, await self._behind(values, "payload_length", PAYLOAD_BYTES))

    async def _behind(self, values: dict[str, Any], name: str, most: int) -> bytes:
        size = value_of(values, name, WHOLE) or 0
        if not 0 <= size <= most:
            raise WireError(f"{name} is {size}; at most {most} bytes are read", "too_big")
        return await self._reader.readexactly(size)


@dataclass(slots=True)
class Client:
    """One connection: what it wants, and the stream of the transcript that it gets just now."""

    pipe: Pipe
    sessions: Sessions
    address: str
    options: Options
    _stream: Transcript | None = None

    async def converse(self) -> None:
        """Everything until the client has left.

        Raises:
            Farewell, WireError: it is we who end it.
        """
        try:
            while message := await self._unless_over(self.pipe.receive(self.sessions.limits.idle_seconds)):
                await self._take(message)
                if self._stream:
                    await self._unless_over(self._stream.session.room())
        finally:
            self._release("lost")

    async def _unless_over(self, waiting: Coroutine[None, None, T]) -> T:
        """What is waited for, unless the stream ends meanwhile, which nobody has asked for."""
        if self._stream is None:
            return await waiting
        over = self._stream.hold.farewell
        if over.done():
            waiting.close()
            raise over.result()
        task = asyncio.create_task(waiting)
        try:
            await asyncio.wait((task, over), return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            raise over.result()
        finally:
            task.cancel()
            await asyncio.wait((task,))  # only one at a time may read

    async def _take(self, message: Message) -> None:
        match message.type:
            case "describe":
                await self.pipe.send(str(Message("info", _info(self.sessions))))
            case "ping":
                await self.pipe.send(str(Message("pong", {"text": value_of(message.data, "text", SHORT_TEXT)})))
            case "transcribe":
                self.options = _wanted(self.sessions.limits.options, message.data)
            case "audio-start":
                if self._stream:
                    raise WireError("audio-start came twice; audio-stop ends a transcript")
                self._open(message.data)
            case "audio-chunk":
                stream = self._stream or self._open(message.data)  # each chunk says what it is
                if wrong := stream.contradiction(message.data):
                    raise WireError(wrong, "bad_audio")
                stream.session.hear(message.payload)
            case "audio-stop":
                await self._finish(self._stream or self._open(message.data))
            case _:
                pass  # other events are of other services; the protocol wants them left alone

    def _open(self, data: dict[str, Any]) -> Transcript:
        width, within = value_of(data, "width", WHOLE, WIDTH), "the audio's "
        if width != WIDTH:
            raise WireError(f"{within}width is {quoted(width)}; it must be {WIDTH} bytes a sample", "bad_audio")
        start = Start(
            value_of(data, "rate", WHOLE, 16_000, within),
            ENCODING,
            value_of(data, "channels", WHOLE, 1, within),
            options=self.options,
        )
        chunks = Chunks()
        session = self.sessions.open(start, self.address, chunks)
        hold = self.sessions.attach(session, 0)
        self._stream = Transcript(session, hold, chunks, asyncio.create_task(_tell(self.pipe, session, hold)))
        return self._stream

    async def _finish(self, stream: Transcript) -> None:
        """Waits for the transcript; the next one may be of other audio, with other wishes."""
        stream.chunks.asked = True
        stream.session.end(Farewell(Close.DONE))
        farewell = await stream.hold.farewell
        if farewell.code is not Close.DONE:
            raise farewell
        self._release("done")
        self.options = self.sessions.limits.options

    def _release(self, outcome: str) -> None:
        if self._stream:
            self._stream.teller.cancel()
            self.sessions.release(self._stream.session, self._stream.hold, keep=False, outcome=outcome)
            self._stream = None


@dataclass(frozen=True, slots=True)
class Transcript:
    """A transcript that is being made."""

    session: Session
    hold: Hold
    chunks: Chunks
    teller: asyncio.Task[None]

    def contradiction(self, data: dict[str, Any]) -> str | None:
        """What a chunk says about its audio that the stream's start does not; None if nothing."""
        incoming = self.session.incoming
        for name, first in (("rate", incoming.sample_rate), ("channels", incoming.channels), ("width", WIDTH)):
            if (now := data.get(name, first)) != first:
                return f"the audio's {name} is {quoted(now)}; it began with {first}"
        return None


async def _tell(pipe: Pipe, session: Session, hold: Hold) -> None:
    try:
        await tell(pipe, session, hold)
    except Farewell as end:
        hold.end(end)
    except OSError:
        hold.end(Farewell(Close.LOST, "connection lost"))
    finally:
        hold.end(Farewell(Close.INTERNAL, "internal error"))  # if nothing else was known: nobody may wait for more


@asynccontextmanager
async def listening(host: str, port: int, sessions: Sessions, access: Access) -> AsyncIterator[asyncio.Server]:
    """Takes connections on a port of its own; at the end, those that are still there are closed."""
    conversing: set[asyncio.Task[None]] = set()
    parting: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        conversing.add(task)
        with suppress(asyncio.CancelledError):
            await _handle(sessions, access, reader, writer)
        conversing.discard(task)
        parting.add(task)
        await _part(reader, writer)
        parting.discard(task)

    server = await asyncio.start_server(connected, host, port, limit=LINE_BYTES)
    try:
        yield server
    finally:
        server.close()
        for task in conversing:
            task.cancel()
        await asyncio.gather(*conversing, *parting)


async def _handle(
    sessions: Sessions,
    access: Access,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> None:
    """What one connection wants and gets. Whatever goes wrong in it ends here."""
    address = str(writer.get_extra_info("peername", ("",))[0])
    pipe = Pipe(reader, writer)
    try:
        crowd = access.crowd(address)
        access.enter(address)
        if crowd:
            raise Farewell(Close.TRY_LATER, crowd, "address")
        if hindrance := sessions.health.hindrance:
            raise Farewell(Close.TRY_LATER, f"{hindrance}; try again later", hindrance)
        await Client(pipe, sessions, address, sessions.limits.options).converse()
    except (Farewell, WireError) as end:
        farewell = farewell_for(end)
        if farewell.code is Close.TRY_LATER:
            if farewell.error:  # the sessions have counted whom they refused
                sessions.metrics.refuse(farewell.error)
        elif farewell.code is not Close.LOST:  # it has left: nothing was sent
            sessions.metrics.count_error(farewell.error or farewell.code.name.lower())
        if farewell.code is not Close.INTERNAL:  # of that the stream has told
            pipe.leave(error(farewell.error or "ended", farewell.reason))
    except OSError:
        pass  # it has left
    except Exception as wrong:  # a mistake of ours: it must not reach the others, nor be lost
        log.error("connection failed", exc_info=wrong)
        sessions.metrics.count_error("internal")
        pipe.leave(error("internal", "internal error"))
    finally:
        access.leave(address)


async def _part(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Closes once the client has: what it has not read would be lost if we did so before."""
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            writer.write_eof()
            while await reader.read(LINE_BYTES):
                pass
            writer.close()
            await writer.wait_closed()
    except OSError:
        writer.transport.abort()


def error(code: str, message: str) -> str:
    """What went wrong."""
    return str(Message("error", {"text": message, "code": code}))


def _wanted(usual: Options, data: dict[str, Any]) -> Options:
    names, terms = (value_of(data, name, TEXTS, []) for name in ("transcript_names", "transcript_terms"))
    language = value_of(data, "language", SHORT_TEXT, "").partition("-")[0]
    with refusing():
        return usual.hinted([*names, *terms], language)


def _info(sessions: Sessions) -> dict[str, Any]:
    """What Home Assistant shows of this service."""
    about = {"attribution": {"name": NAME, "url": ADDRESS}, "installed": True, "version": version(NAME)}
    heard = {
        "name": sessions.model,
        "description": "Granite Speech, live",
        "languages": list(sessions.languages),
        **about,
    }
    program = {
        "name": NAME,
        "description": "Writes down speech while it is being spoken",
        "models": [heard],
        "supports_transcript_streaming": True,
        "requires_external_vad": True,  # it is the client that says when a command has ended
        **about,
    }
    kinds = ("tts", "handle", "intent", "wake", "mic", "snd")
    return {"asr": [program], **{kind: [] for kind in kinds}}
