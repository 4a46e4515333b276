"""What dialogues in all protocols have in common: one side hears, one tells, and either knows how it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from websockets.asyncio.server import broadcast
from websockets.exceptions import ConnectionClosed

from streamer import wire
from streamer.ahead import Ahead
from streamer.fields import WireError
from streamer.line import Line
from streamer.session import SLOW_SECONDS, Farewell, Hold, Session
from streamer.sessions import Sessions
from streamer.wire import Close


class Sender(Protocol):
    """What messages are told through."""

    async def send(self, message: str) -> None:
        """Sends one; waits while the client does not read."""


Obey = Callable[[str | bytes], None]  # does what a message asks for
BEAT_SECONDS = 5.0  # of silence, then a sign of life: a page in a browser sees no pings, only messages
CLIENTS_FAULT = {1002, 1003, 1007, 1009}  # close codes of websockets for what a client must not send


def farewell_for(error: Farewell | WireError) -> Farewell:
    """How a connection ends that was refused, or told something wrong."""
    if isinstance(error, Farewell):
        return error
    return Farewell(Close.TOO_BIG if error.code == "too_big" else Close.POLICY, str(error), error.code)


async def part(
    socket: Line, sessions: Sessions, farewell: Farewell, error: Callable[[str, str], str] = wire.error
) -> bool:
    """Says why, by a message that `error` makes of code and text, and closes; true if the other side answered."""
    if farewell.error or farewell.code is Close.INTERNAL:  # without an error of its own: the stream's was an event
        sessions.metrics.count_error(farewell.error or "internal")
    if farewell.error:
        broadcast([socket], error(farewell.error, farewell.reason))  # `send` would wait for who does not read
    if farewell.code is not Close.LOST:  # nobody is there any more, and somebody may wait for the place
        await socket.part(farewell.code, wire.reason(farewell.reason))
    return socket.close_code not in (None, Close.LOST)


async def converse(socket: Line, hold: Hold, *sides: Coroutine[None, None, None]) -> Farewell:
    """Runs the sides of a dialogue until one of them, or the session, knows how this ends."""
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(_until_parting(side, hold)) for side in (*sides, _notice(socket))]
        farewell = await hold.farewell
        for side in running:
            side.cancel()  # lost: a message that was read, or sent in part; neither was acknowledged
    return farewell


@dataclass(frozen=True, slots=True)
class Opened:
    """What a client of a protocol without resuming has opened."""

    session: Session
    obey: Obey
    begin: Callable[[], None] = lambda: None  # takes what was read already


async def attend(
    socket: Line, sessions: Sessions, opening: Awaitable[Opened], error: Callable[[str, str], str]
) -> None:
    """A whole connection of such a protocol: what it opens, hears and is told; the session ends with it."""
    try:
        opened = await opening
    except ConnectionClosed:
        return  # it left before it said what it wanted
    except (Farewell, WireError) as refusal:
        await part(socket, sessions, farewell_for(refusal), error)
        return
    session, outcome = opened.session, "failed"
    hold = sessions.attach(session, 0)
    try:
        ahead, idle_seconds = Ahead(), sessions.limits.idle_seconds

        async def begin_and_hear() -> None:
            opened.begin()
            await hear(session, hold, ahead, opened.obey)

        sides = tell(socket, session, hold), read(socket, session, ahead, idle_seconds), begin_and_hear()
        farewell = await converse(socket, hold, *sides)
        await part(socket, sessions, farewell, error)
        outcome = farewell.outcome
    finally:
        sessions.release(session, hold, keep=False, outcome=outcome)


async def receive(socket: Line, idle_seconds: float) -> str | bytes:
    """The next message of a client whose stream is not open yet.

    Raises:
        Farewell: nothing came for long.
    """
    await asyncio.sleep(0)  # see `read`
    try:
        async with asyncio.timeout(idle_seconds or None):
            return await socket.recv()
    except TimeoutError:
        raise Farewell.idle(idle_seconds) from None


@asynccontextmanager
async def sending() -> AsyncIterator[None]:
    """Within it something is sent to a client.

    Raises:
        Farewell: it does not read for long.
    """
    try:
        async with asyncio.timeout(SLOW_SECONDS):
            yield
    except TimeoutError:
        raise Farewell(Close.POLICY, f"nothing was read for {SLOW_SECONDS:.0f} s", "slow_reader") from None


async def await_news(socket: Sender, news: asyncio.Event, sign: Callable[[], str]) -> None:
    """Waits until there is something to tell; while there is nothing, the client gets a sign of life."""
    while True:
        try:
            async with asyncio.timeout(BEAT_SECONDS):
                await news.wait()
        except TimeoutError:
            await socket.send(sign())
        else:
            news.clear()
            return


async def read(socket: Line, session: Session, ahead: Ahead, idle_seconds: float) -> None:
    """Reads what the client sends; no further ahead of what can be worked on than there is room for."""
    while True:
        await asyncio.sleep(0)  # a flood of tiny messages, all here already, must not keep the loop from the others
        await ahead.room()
        try:
            async with asyncio.timeout(idle_seconds if idle_seconds and not session.farewell else None):
                ahead.append(await socket.recv())
        except TimeoutError:
            if ahead.wanted:  # else it may have said all, and waits for us
                session.end(Farewell.idle(idle_seconds))


async def hear(session: Session, hold: Hold, ahead: Ahead, obey: Obey) -> None:
    """Does what the client's messages ask for, as fast as there is room."""
    while True:
        await asyncio.sleep(0)  # see `read`
        await session.room()
        message = await ahead.next()
        if hold.farewell.done():
            return  # taken over just now: the other connection has been told from where to replay
        obey(message)


async def tell(socket: Sender, session: Session, hold: Hold) -> None:
    """Sends what there is to say, in order. Sending waits while the client does not read."""
    while True:
        await hold.news.wait()
        hold.news.clear()
        while said := session.backlog.next():
            await socket.send(said.text)
            session.told()
        if session.over:
            assert session.farewell, "who ends a stream says how to part"
            hold.end(session.farewell)
            return


async def _until_parting(side: Coroutine[None, None, None], hold: Hold) -> None:
    """Runs one side of the dialogue; how it ends is how the connection ends."""
    try:
        await side
    except (Farewell, WireError) as error:
        hold.end(farewell_for(error))
    except ConnectionClosed as closed:
        ours = closed.sent is not None and not closed.rcvd_then_sent
        fault = ours and closed.sent is not None and closed.sent.code in CLIENTS_FAULT
        # on purpose, or as a page that is closed or loaded anew: nobody will be back
        left = not ours and closed.rcvd is not None and closed.rcvd.code in (Close.DONE, Close.GOING_AWAY)
        hold.end(Farewell.left() if left else Farewell(Close.LOST, "connection lost", resumable=not fault))


async def _notice(socket: Line) -> None:
    """Ends with the connection, also while the others wait for something else."""
    await socket.wait_closed()
    raise socket.protocol.close_exc
