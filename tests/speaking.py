"""A daemon within the test's own process, people who speak to it, and what a run without sockets makes of the same."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest

from clients.connection import Captions, connect
from model import GraniteSpeech
from streamer.engine import Engine, Work
from streamer.events import Event, Final
from streamer.options import Options
from streamer.server import Server
from streamer.sessions import Limits
from streamer.worker import Worker
from tests.conftest import NAMES, read
from tests.servers import running, until

PIECE = 1600  # samples, 100 ms: what a local run reads live audio by


@dataclass(frozen=True)
class Service:
    """A daemon that is ready."""

    url: str
    server: Server
    worker: Worker
    engine: Engine

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    async def all_gone(self) -> None:
        """Waits until nothing is left of any session: no entry, no stream, no slot."""
        counts = self.server.sessions.counts
        await until(lambda: not (sum(counts().values()) or self.worker.load.streams or self.engine._streams))


@asynccontextmanager
async def service(model: GraniteSpeech, limits: Limits | None = None) -> AsyncIterator[Service]:
    """A daemon on a port of its own, which refuses nobody because the machine is busy with other tests."""
    engine = Engine(model)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Worker, "refusal", lambda _: None)
        async with Worker(engine) as worker, running(Server(limits=limits or Limits()), worker, "nano") as there:
            yield Service(f"ws://127.0.0.1:{there.port}", there.server, worker, engine)


@cache
def recording(index: int) -> np.ndarray:
    """One of tests/audio, `[T]`."""
    return read(NAMES[index]).numpy()


_local: dict[tuple[int, Options], list[Event]] = {}


def local(model: GraniteSpeech, index: int, options: Options) -> list[Event]:
    """What `granite-stream FILE --live --speed 0 --events` says of a recording."""
    if (index, options) not in _local:
        stream, samples = Engine(model).open(options), recording(index)
        pieces = [samples[start : start + PIECE] for start in range(0, len(samples), PIECE)]
        events = [event for piece in pieces for event in stream.feed(piece)]
        _local[index, options] = events + stream.finish()
    return _local[index, options]


FINALS_ONLY = Options(partials=False)  # with partials, what is committed depends on how busy the machine is


async def say(captions: Captions, samples: np.ndarray, pieces: Sequence[int] = (PIECE,)) -> list[Event]:
    """Sends it cut into pieces of these lengths, in turn, and stops; gives all events."""

    async def speak() -> None:
        start = turn = 0
        while start < len(samples):
            await captions.send(samples[start : start + pieces[turn % len(pieces)]])
            start, turn = start + pieces[turn % len(pieces)], turn + 1
        await captions.stop()

    async with asyncio.TaskGroup() as group:
        group.create_task(speak())
        return [event async for event in captions]


async def captions_of(url: str, index: int, **choices: Any) -> list[Event]:
    """What a daemon makes of a recording, finals only unless told otherwise."""
    async with connect(url, encoding="pcm_f32le", **{"partials": False, **choices}) as captions:
        return await say(captions, recording(index))


def finals(events: Sequence[Event]) -> list[Final]:
    """Of these events, the finals."""
    return [event for event in events if isinstance(event, Final)]


class Cutter:
    """A way to a daemon that is cut, each time after so many bytes of both directions together."""

    def __init__(self, port: int, budgets: Sequence[int]) -> None:
        """After the last budget connections hold."""
        self._port, self._budgets = port, list(budgets)
        self.cuts = 0

    @asynccontextmanager
    async def open(self) -> AsyncIterator[str]:
        """Listens; gives the address."""
        async with await asyncio.start_server(self._pass_on, "127.0.0.1", 0) as listener:
            yield f"ws://127.0.0.1:{listener.sockets[0].getsockname()[1]}"

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, to_there = await asyncio.open_connection("127.0.0.1", self._port)
        left = [self._budgets.pop(0) if self._budgets else 1 << 60]

        async def pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
            while left[0] > 0 and (data := await source.read(min(left[0], 4096))):
                left[0] -= len(data)
                target.write(data)
                await target.drain()

        ways = [asyncio.create_task(pump(reader, to_there)), asyncio.create_task(pump(there, writer))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.cuts += left[0] <= 0
            for way in ways:
                way.cancel()
            await asyncio.wait(ways)
            for end in (writer, to_there):
                end.transport.abort() if left[0] <= 0 else end.close()


def budgets(seed: int, count: int, least: int, most: int) -> list[int]:
    """Bytes until each cut; the first connection comes as far as its greeting."""
    chance = random.Random(seed)
    return [max(2000, chance.randint(least, most)), *(chance.randint(least, most) for _ in range(count - 1))]


class Lockstep:
    """Lets a test wait until the network has nothing left to do, so that updates are those of a local run."""

    def __init__(self, engine: Engine) -> None:
        self.idle = asyncio.Event()
        step, loop = engine.step, asyncio.get_running_loop()

        def watched(most_frames: int | None = None) -> Work:
            work = step(most_frames)
            if not work:
                loop.call_soon_threadsafe(self.idle.set)
            return work

        engine.step = watched
