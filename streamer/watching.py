"""The dialogue of a connection that only reads: it follows a channel until it leaves."""

from __future__ import annotations

import asyncio

from streamer import wire
from streamer.channels import MOST_WATCHERS, Watcher
from streamer.dialogue import await_news
from streamer.fields import WireError
from streamer.line import Line
from streamer.session import Farewell
from streamer.sessions import Sessions
from streamer.wire import Close, Stop


async def follow(socket: Line, sessions: Sessions, name: str) -> Farewell:
    """Tells what is said on a channel; gives how to part.

    Raises:
        WireError: a watcher has nothing to say but stop.
        ConnectionClosed: it has left.
    """
    channels = sessions.channels
    if channels.watchers >= MOST_WATCHERS:
        sessions.metrics.refuse("watchers")
        return Farewell(Close.TRY_LATER, f"try again later: {MOST_WATCHERS} connections read along already")
    watcher = channels.watch(name)
    sides = [asyncio.create_task(side) for side in (_hear(socket), _tell(socket, watcher, name), _fall_behind(watcher))]
    try:
        done, _ = await asyncio.wait(sides, return_when=asyncio.FIRST_COMPLETED)
        return done.pop().result()
    finally:
        channels.leave(name, watcher)
        for side in sides:
            side.cancel()  # lost: what it had not read, which is of no interest any more
        await asyncio.gather(*sides, return_exceptions=True)  # that the connection is lost, all of them may say


async def _hear(socket: Line) -> Farewell:
    message = await socket.recv()
    if isinstance(message, str) and isinstance(wire.parse(message), Stop):
        return Farewell(Close.DONE)
    raise WireError("this connection only reads; open another one to speak")


async def _tell(socket: Line, watcher: Watcher, name: str) -> Farewell:
    await socket.send(wire.watching(name))
    while True:
        await await_news(socket, watcher.news, lambda: wire.watching(name))
        while text := watcher.next():
            await socket.send(text)


async def _fall_behind(watcher: Watcher) -> Farewell:
    await watcher.behind.wait()
    return Farewell(Close.POLICY, "too far behind with reading")  # an error event would not be read either
