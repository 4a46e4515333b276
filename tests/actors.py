"""A server that follows a script: what a good one rarely does, at the moment that a test wants it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from websockets.asyncio.server import Request, Response, ServerConnection, serve

Act = Callable[["Actor"], Awaitable[None]]


class Actor:
    """The server's side of one connection."""

    def __init__(self, socket: ServerConnection) -> None:
        self.socket = socket
        self.start: dict[str, object] = {}

    async def greet(self, audio_seconds: object = 0.0) -> None:
        self.start = json.loads(await self.socket.recv())
        await self.say({"type": "ready", "session": "s", "model": "nano", "audio_seconds": audio_seconds})

    async def say(self, *messages: dict[str, object]) -> None:
        for message in messages:
            await self.socket.send(json.dumps(message))

    async def hear(self, count: int) -> bytes:
        """So many bytes of audio."""
        heard = b""
        while len(heard) < count:
            message = await self.socket.recv()
            assert isinstance(message, bytes), message
            heard += message
        assert len(heard) == count
        return heard

    async def request(self) -> dict[str, object]:
        return json.loads(await self.socket.recv())

    def break_down(self) -> None:
        """As if a cable were pulled."""
        self.socket.transport.abort()


def ack(seconds: float) -> dict[str, object]:
    return {"type": "ack", "audio_seconds": seconds}


def final(seq: int, segment: int = 0) -> dict[str, object]:
    return {
        "type": "final",
        "segment": segment,
        "start": 0.0,
        "end": 1.0,
        "text": f"{segment}",
        "words": [],
        "seq": seq,
    }


def partial(seq: int, draft: str = "") -> dict[str, object]:
    return {"type": "partial", "segment": 0, "start": 0.0, "end": 1.0, "committed": "", "draft": draft, "seq": seq}


def done(seq: int) -> dict[str, object]:
    return {"type": "done", "audio_seconds": 1.0, "seq": seq}


@asynccontextmanager
async def playing(*acts: Act, spare: Act | None = None, answer: Response | None = None) -> AsyncIterator[str]:
    """A server whose connections follow these acts, one each; gives its address. What an act asserts counts.

    Connections behind the last act follow `spare`; `answer` shuts the door to all.
    """
    left, failures = list(acts), []

    async def play(socket: ServerConnection) -> None:
        try:
            act = left.pop(0) if left else spare
            assert act is not None, "one connection too many"
            await act(Actor(socket))
        except Exception as error:
            failures.append(error)
            raise

    async def process(_: ServerConnection, __: Request) -> Response | None:
        return answer

    async with serve(play, "127.0.0.1", 0, process_request=process) as server, asyncio.timeout(20):
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    assert not failures
    assert not left, "not all connections were made"
