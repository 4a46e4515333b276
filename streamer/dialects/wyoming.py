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
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from model.tasks import Wish
from streamer.access import Access
from streamer.dialects.growing import Growing
from streamer.dialogue import tell
from streamer.events import Done, Error, Event, Final, Partial
from streamer.fields import WireError, a_text, a_whole, an_object, parse_object, shown, some_texts
from streamer.fields import field as value_of
from streamer.options import Options
from streamer.pages import Health
from streamer.session import Farewell, Session
from streamer.sessions import Sessions
from streamer.wire import Close, Start

log = logging.getLogger("granite_stream")

LINE_BYTES = 2**16  # the longest line, and the most data behind it
PAYLOAD_BYTES = 2**20
CLOSE_SECONDS = 5.0  # for a client to read what there is
WIDTHS = {2: "pcm_s16le"}  # bytes of a sample: its encoding
NAME = "granite-stream"
ADDRESS = "https://huggingface.co/ibm-granite"


@dataclass(frozen=True, slots=True)
class Message:
    """An event of the protocol."""

    type: str
    data: dict[str, Any] = field(default_factory=dict)
    payload: bytes = b""

    def __str__(self) -> str:
        """The line that it is on the wire, without its end; we send no payload."""
        return json.dumps({"type": self.type, "data": self.data}, ensure_ascii=False)


class Transcripts:
    """A stream in Wyoming's words: one transcript, growing."""

    def __init__(self) -> None:
        self._growing = Growing()
        self._begun = False

    def tell(self, event: Event) -> list[str]:
        """The messages for an event."""
        match event:
            case Partial(committed=committed):
                return self._chunk(self._growing.grow(committed))
            case Final(text=text):
                return self._chunk(self._growing.close(text))
            case Done():
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
        """Sends an event; waits while the client does not read."""
        self._writer.write(message.encode() + b"\n")
        await self._writer.drain()

    async def receive(self, idle_seconds: float) -> Message | None:
        """The next event; None: the client has left.

        Raises:
            WireError: it is too long, or none.
            Farewell: nothing came for long.
        """
        try:
            async with asyncio.timeout(idle_seconds or None):
                line = await self._reader.readline()
                return await self._message(line) if line else None
        except TimeoutError:
            raise Farewell(Close.GOING_AWAY, f"nothing came for {idle_seconds:g} s") from None
        except ValueError as wrong:  # of readline; a WireError is one, too
            raise wrong if isinstance(wrong, WireError) else WireError("the line is too long", "too_big") from None
        except (asyncio.IncompleteReadError, ConnectionError):
            return None

    async def _message(self, line: bytes) -> Message:
        values = parse_object(line.decode(errors="replace"))
        kind = value_of(values, "type", a_text, "")
        data = value_of(values, "data", an_object, {})
        if behind := await self._behind(values, "data_length", LINE_BYTES):
            data = {**data, **parse_object(behind.decode(errors="replace"), LINE_BYTES)}
        return Message(kind, data, await self._behind(values, "payload_length", PAYLOAD_BYTES))

    async def _behind(self, values: dict[str, Any], name: str, most: int) -> bytes:
        size = value_of(values, name, a_whole) or 0
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
    _session: Session | None = None
    _teller: asyncio.Task[None] | None = None

    async def converse(self) -> None:
        """Everything until one side has enough.

        Raises:
            Farewell, WireError: why it ends.
        """
        try:
            while message := await self.pipe.receive(self.sessions.limits.idle_seconds):
                await self._take(message)
                if self._session:
                    await self._session.room()
        finally:
            self._release("lost")

    async def _take(self, message: Message) -> None:
        match message.type:
            case "describe":
                await self.pipe.send(str(Message("info", _info(self.sessions))))
            case "ping":
                await self.pipe.send(str(Message("pong", message.data)))
            case "transcribe":
                self.options = _wanted(self.sessions.limits.options, message.data)
            case "audio-start":
                if self._session:
                    raise WireError("audio-start came twice; audio-stop ends a transcript")
                self._open(message.data)
            case "audio-chunk":
                if self._session is None:
                    self._open(message.data)  # each chunk says what it is
                assert self._session is not None, "it has just been opened"
                self._session.hear(message.payload)
            case "audio-stop" if self._session and self._teller:
                self._session.end(Farewell(Close.DONE))
                await self._teller
                self._release("done")
                self.options = self.sessions.limits.options
            case _:
                pass  # other events are of other services; the protocol wants them left alone

    def _open(self, data: dict[str, Any]) -> None:
        width, within = value_of(data, "width", a_whole, 2), "the audio's "
        if width not in WIDTHS:
            raise WireError(f"{within}width is {shown(width)}; it must be 2 bytes a sample", "bad_audio")
        start = Start(
            value_of(data, "rate", a_whole, 16_000, within),
            WIDTHS[width],
            value_of(data, "channels", a_whole, 1, within),
            options=self.options,
        )
        self._session = session = self.sessions.open(start, self.address, Transcripts())
        self._teller = asyncio.create_task(tell(self.pipe, session, self.sessions.attach(session, 0)))

    def _release(self, outcome: str) -> None:
        if self._session and self._session.hold:
            self.sessions.release(self._session, self._session.hold, keep=False, outcome=outcome)
        if self._teller:
            self._teller.cancel()
        self._session = self._teller = None


@asynccontextmanager
async def listening(
    host: str, port: int, sessions: Sessions, access: Access, health: Health
) -> AsyncIterator[asyncio.Server]:
    """Takes connections on a port of its own; at the end, those that are still there are closed."""
    writers: set[asyncio.StreamWriter] = set()
    handle = partial(_handle, sessions, access, health, writers)
    server = await asyncio.start_server(handle, host, port, limit=LINE_BYTES)
    try:
        yield server
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()


async def _handle(
    sessions: Sessions,
    access: Access,
    health: Health,
    writers: set[asyncio.StreamWriter],
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> None:
    """One connection. Whatever goes wrong in it ends here."""
    address = str(writer.get_extra_info("peername", ("",))[0])
    writers.add(writer)
    pipe = Pipe(reader, writer)
    try:
        crowd = access.crowd(address)
        access.enter(address)
        if crowd:
            raise Farewell(Close.TRY_LATER, crowd, "address")
        if hindrance := health.hindrance:
            raise Farewell(Close.TRY_LATER, f"{hindrance}; try again later", hindrance)
        await Client(pipe, sessions, address, sessions.limits.options).converse()
    except (Farewell, WireError) as end:
        code = end.error if isinstance(end, Farewell) else end.code
        sessions.metrics.count_error(code or "ended")
        with contextlib.suppress(ConnectionError):
            await pipe.send(error(code or "ended", str(end)))
    except ConnectionError:
        pass  # it has left
    except Exception as wrong:  # a mistake of ours: it must not reach the others, nor be lost
        log.error("connection failed", exc_info=wrong)
        sessions.metrics.count_error("internal")
    finally:
        access.leave(address)
        writers.discard(writer)
        await _close(writer)


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await writer.wait_closed()
    except (TimeoutError, ConnectionError):
        writer.transport.abort()


def error(code: str, message: str) -> str:
    """What went wrong."""
    return str(Message("error", {"text": message, "code": code}))


def _wanted(plain: Options, data: dict[str, Any]) -> Options:
    terms: Sequence[str] = value_of(data, "transcript_names", some_texts, [])
    terms = [*terms, *value_of(data, "transcript_terms", some_texts, [])]
    language = (value_of(data, "language", a_text) or "").partition("-")[0]
    try:
        wish: Wish = replace(plain.wish, keywords=tuple(terms) or plain.wish.keywords)
        return replace(plain, wish=replace(wish, language=language or wish.language))
    except ValueError as wrong:
        raise WireError(str(wrong)) from None


def _info(sessions: Sessions) -> dict[str, Any]:
    """What Home Assistant shows of this service."""
    about = {"attribution": {"name": NAME, "url": ADDRESS}, "installed": True, "version": None}
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
