"""A running server on a free port, and a worker whose words tell exactly which audio it heard."""

from __future__ import annotations

import asyncio
import json
import socket as sockets
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from model.tasks import LANGUAGES
from streamer.events import Done, Error, Event, Final, Finalized, Partial, SpeechStarted, Word
from streamer.line import Gone
from streamer.metrics import Load
from streamer.server import Server

SECOND = 16_000  # samples
WAIT_SECONDS = 20  # for anything that a test waits for; far longer than it takes


class FakeWorker:
    """Says, of each second of a stream's audio, its checksum: audio lost, doubled or mixed up changes the words.

    The last second of a segment may be shorter. Events come when the loop runs next, as a thread's would.
    """

    def __init__(self) -> None:
        self.feeds: list[FakeFeed] = []
        self.refuses: str | None = None
        self.plain = False  # it only transcribes plain English, as nano does
        self.roomy = asyncio.Event()
        self.roomy.set()
        self.lost: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
        self.audio_seconds = self.compute_seconds = 0.0

    def check(self, options) -> None:
        options.wish.instruction(only_transcribes=self.plain, languages=["en"] if self.plain else list(LANGUAGES))

    def open(self, options, take) -> FakeFeed:
        self.check(options)
        self.feeds.append(FakeFeed(self, options, take))
        return self.feeds[-1]

    def refusal(self) -> str | None:
        return self.refuses

    @property
    def load(self) -> Load:
        return Load(streams=len(self.feeds), busy=0.5, needed=0.25, update_seconds=0.3, waiting_seconds=1.5)


class FakeFeed:
    def __init__(self, worker: FakeWorker, options, take) -> None:
        self.worker, self.options, self.take = worker, options, take
        self.pieces = 0  # pushed so far
        self.samples = np.empty(0, np.float32)  # of the open segment
        self.heard_seconds = 0.0  # before it
        self.segments = 0
        self.ended = self.dropped = False

    def push(self, samples: np.ndarray) -> None:
        assert not self.ended, "audio behind the end"
        self.pieces += 1
        self.worker.audio_seconds += len(samples) / SECOND
        self.samples = np.concatenate([self.samples, samples])
        while len(self.samples) >= SECOND:
            self._say(self.samples[:SECOND])
            self.samples = self.samples[SECOND:]

    def finalize(self, name: str) -> None:
        if len(self.samples):
            self._say(self.samples)
            self.samples = self.samples[:0]
        self.tell(Finalized(name))

    def end(self) -> None:
        assert not self.ended, "the end twice"
        if len(self.samples):
            self._say(self.samples)
        self.ended = True
        self.tell(Done(round(self.heard_seconds, 3)))

    def drop(self) -> None:
        self.dropped = True

    async def room(self) -> None:
        await self.worker.roomy.wait()

    def tell(self, *events: Event) -> None:
        asyncio.get_running_loop().call_soon(lambda: None if self.dropped else self.take(list(events)))

    def breaks(self) -> None:
        self.tell(Error("internal", "this stream broke"))

    def _say(self, samples: np.ndarray) -> None:
        start, self.heard_seconds = self.heard_seconds, self.heard_seconds + len(samples) / SECOND
        at = {"segment": self.segments, "start": round(start, 3)}
        text, end = checksum(samples), round(self.heard_seconds, 3)
        self.segments += 1
        partial = Partial(**at, end=end, committed=text[:4], draft=text[4:])
        self.tell(
            SpeechStarted(**at),
            *([partial] if self.options.partials else []),
            Final(**at, end=end, text=text, words=(Word(text, at["start"], end, 1.0),)),
        )


def checksum(samples: np.ndarray) -> str:
    return f"{zlib.crc32((samples * 32768).round().astype('<i2').tobytes()):08x}"


def speech(seconds: float, seed: int = 0) -> bytes:
    """Noise as 16 kHz pcm_s16le, different for each seed."""
    values = np.random.default_rng(seed).integers(-32768, 32768, round(seconds * SECOND), dtype=np.int16)
    return values.astype("<i2").tobytes()


def words_of(audio: bytes) -> list[str]:
    """What a `FakeWorker` says of this audio."""
    return [
        checksum(np.frombuffer(audio[at : at + 2 * SECOND], "<i2") / np.float32(32768))
        for at in range(0, len(audio), 2 * SECOND)
    ]


@dataclass
class Running:
    """A server that listens."""

    server: Server
    worker: Any
    listener: Any

    @property
    def port(self) -> int:
        return self.listener.sockets[0].getsockname()[1]

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/v1/stream"

    @property
    def sessions(self) -> dict[str, int]:
        return self.server.sessions.counts()

    async def emptied(self) -> None:
        """Nothing is left of any session; a client sees its close frame a moment before."""
        async with asyncio.timeout(WAIT_SECONDS):
            await self.server.sessions.empty.wait()


@asynccontextmanager
async def running(
    server: Server | None = None, worker: Any = None, model: str = "fake", port: int = 0, **how: Any
) -> AsyncIterator[Running]:
    """A server on a free port of this machine or this one, with a fake worker unless another one is given."""
    server = server or Server()
    worker = worker or FakeWorker()
    server.metrics.watch(worker)
    server.sessions.begin(worker, model)
    async with server.listening("127.0.0.1", port, **how) as listener:
        yield Running(server, worker, listener)


@dataclass
class Talk:
    """What a client was told on one connection."""

    messages: list[dict[str, Any]] = field(default_factory=list)
    code: int | None = None
    reason: str | None = None

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.messages if message["type"] == kind]

    @property
    def texts(self) -> list[str]:
        return [final["text"] for final in self.of("final")]

    @property
    def seqs(self) -> list[int]:
        return [message["seq"] for message in self.messages if "seq" in message]


class ClientLine(ClientConnection):
    """Like the server's connections: one that is gone can be closed."""

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.transport = Gone()


@asynccontextmanager
async def dialing(url: str, seconds: float = WAIT_SECONDS, **how: Any) -> AsyncIterator[ClientConnection]:
    """A client that knows nothing but the protocol, for so long at most."""
    how = {"compression": None, "close_timeout": 1, "create_connection": ClientLine, **how}
    async with asyncio.timeout(seconds), connect(url, **how) as socket:
        yield socket


def little_room(socket: ClientConnection) -> None:
    """Lets the kernel take only little of what is sent, so that sending waits as soon as nobody reads."""
    socket.transport.get_extra_info("socket").setsockopt(sockets.SOL_SOCKET, sockets.SO_SNDBUF, 4096)


async def say(socket: ClientConnection, kind: str, **fields: Any) -> None:
    await socket.send(json.dumps({"type": kind, **fields}))


async def hear(socket: ClientConnection) -> dict[str, Any]:
    return json.loads(await socket.recv())


async def hear_until(socket: ClientConnection, kind: str) -> Talk:
    """Everything up to the first message of this type."""
    talk = Talk()
    while not talk.of(kind):
        talk.messages.append(await hear(socket))
    return talk


async def hear_all(socket: ClientConnection) -> Talk:
    """Everything until the server closes, and how it closed."""
    talk = Talk()
    try:
        while True:
            talk.messages.append(await hear(socket))
    except ConnectionClosed:
        talk.code, talk.reason = socket.close_code, socket.close_reason
    return talk


async def send_audio(socket: ClientConnection, audio: bytes, piece_bytes: int = 3200) -> None:
    for at in range(0, len(audio), piece_bytes):
        await socket.send(audio[at : at + piece_bytes])


async def whole(url: str, audio: bytes, **start: Any) -> Talk:
    """A stream from start to end, written and read at the same time."""
    async with dialing(url) as socket, asyncio.TaskGroup() as tasks:
        listening = tasks.create_task(hear_all(socket))
        await say(socket, "start", **start)
        await send_audio(socket, audio)
        await say(socket, "stop")
        return await listening


async def until(true: Any) -> None:
    """Waits until something becomes true that nothing announces."""
    async with asyncio.timeout(WAIT_SECONDS):
        while not true():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.005)


async def get(port: int, path: str, method: str = "GET", **headers: str) -> tuple[int, str]:
    """Status and body of a plain HTTP request."""
    async with asyncio.timeout(WAIT_SECONDS):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{port}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        answer = (await reader.read()).decode()
        writer.close()
        await writer.wait_closed()
    head, _, body = answer.partition("\r\n\r\n")
    return int(head.split()[1]), body


class Way:
    """A way to a server on which connections can be left for dead: they stay open, and nothing comes through."""

    def __init__(self, port: int) -> None:
        self._to, self.port = port, 0
        self.blocked = False  # new connections are dead from the first
        self.connections = 0
        self._pumps: list[asyncio.Task[None]] = []
        self._writers: list[asyncio.StreamWriter] = []

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Way]:
        """Listens."""
        async with await asyncio.start_server(self._pass_on, "127.0.0.1", 0) as listener:
            self.port = listener.sockets[0].getsockname()[1]
            try:
                yield self
            finally:
                self.kill()
                for writer in self._writers:
                    writer.transport.abort()

    def kill(self) -> None:
        """Leaves the connections for dead that there are."""
        for pump in self._pumps:
            pump.cancel()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.append(writer)
        if not self.blocked:
            there, to_there = await asyncio.open_connection("127.0.0.1", self._to)
            self._writers.append(to_there)
            self._pumps += [asyncio.create_task(_pump(*way)) for way in ((reader, to_there), (there, writer))]


async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await source.read(65536):
            target.write(data)
            await target.drain()
    target.close()
