"""The native dialogue of one connection, on `/v1/stream`: what comes is heard, what there is to say is told."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

from websockets.asyncio.server import broadcast
from websockets.exceptions import ConnectionClosed

from streamer import wire
from streamer.line import Line
from streamer.options import Options
from streamer.session import Farewell, Hold, Session
from streamer.sessions import Sessions
from streamer.watching import follow
from streamer.wire import Close, Finalize, Start, Stop, Watch, WireError

START_SECONDS = 10.0  # a connection may take to say what it wants
ACK_SECONDS = 0.5  # of audio between two acks: so at least one a second, however the audio is cut
CLIENTS_FAULT = {1002, 1003, 1007, 1009}  # close codes of websockets for what a client must not send


async def converse(socket: Line, sessions: Sessions, address: str) -> None:
    """Everything from the first message to the close frame."""
    try:
        start = await _first_message(socket, sessions.limits.options)
        if isinstance(start, Watch):
            await part(socket, sessions, await follow(socket, sessions, start.channel))
            return
        session = sessions.open(start, address) if start.resume is None else sessions.resume(start)
    except ConnectionClosed:
        return  # it left before it said what it wanted
    except (Farewell, WireError) as refusal:
        await part(socket, sessions, _farewell(refusal))
        return
    try:
        hold = sessions.attach(session, start.after)
    except WireError as refusal:  # the session stays as it is: its own client may still come
        await part(socket, sessions, _farewell(refusal))
        return
    keep, outcome = False, "failed"
    try:
        hold.acknowledged = session.incoming.seconds
        farewell = await _dialogue(socket, sessions, session, hold)
        heard = await part(socket, sessions, farewell)
        # A client that did not answer the close frame may not have got what came before it.
        finished = session.over and heard and session.backlog.next() is None
        keep = (farewell.resumable or session.over) and not finished
        outcome = farewell.error or farewell.code.name.lower()
    finally:
        sessions.release(session, hold, keep, outcome)


async def part(socket: Line, sessions: Sessions, farewell: Farewell) -> bool:
    """Says why, and closes; true if the other side answered."""
    if farewell.error or farewell.code is Close.INTERNAL:  # without an error of its own: the stream's was an event
        sessions.metrics.count_error(farewell.error or "internal")
    if farewell.error:
        broadcast([socket], wire.error(farewell.error, farewell.reason))  # `send` would wait for who does not read
    await socket.part(farewell.code, wire.reason(farewell.reason))
    return socket.close_code not in (None, Close.LOST)


def _farewell(error: Farewell | WireError) -> Farewell:
    if isinstance(error, Farewell):
        return error
    return Farewell(Close.TOO_BIG if error.code == "too_big" else Close.POLICY, str(error), error.code)


async def _first_message(socket: Line, plain: Options) -> Start | Watch:
    try:
        async with asyncio.timeout(START_SECONDS):
            text = await socket.recv()
    except TimeoutError:
        raise Farewell(Close.POLICY, f"no start came within {START_SECONDS:.0f} s", "bad_message") from None
    if isinstance(text, bytes):
        raise Farewell(Close.UNSUPPORTED, "audio came before start; send a start message first", "bad_message")
    message = wire.parse(text, plain)
    if not isinstance(message, Start | Watch):
        raise WireError(f"{type(message).__name__.lower()} came before start; send a start message first")
    return message


async def _dialogue(socket: Line, sessions: Sessions, session: Session, hold: Hold) -> Farewell:
    """Hears and tells until one of them, or the session, knows how this ends."""
    async with asyncio.TaskGroup() as tasks:
        sides = [
            tasks.create_task(_until_parting(_tell(socket, sessions.model, session, hold), hold)),
            tasks.create_task(_until_parting(_hear(socket, session, hold, sessions.limits.idle_seconds), hold)),
            tasks.create_task(_until_parting(_notice(socket), hold)),
        ]
        farewell = await hold.farewell
        for side in sides:
            side.cancel()  # lost: a message that was read, or sent in part; neither was acknowledged
    return farewell


async def _until_parting(side: Coroutine[None, None, None], hold: Hold) -> None:
    """Runs one side of the dialogue; how it ends is how the connection ends."""
    try:
        await side
    except (Farewell, WireError) as error:
        hold.end(_farewell(error))
    except ConnectionClosed as closed:
        ours = closed.sent is not None and not closed.rcvd_then_sent
        fault = ours and closed.sent is not None and closed.sent.code in CLIENTS_FAULT
        # on purpose: nobody will be back
        left = not ours and closed.rcvd is not None and closed.rcvd.code == Close.DONE
        hold.end(Farewell(Close.LOST, "connection lost", resumable=not (fault or left)))


async def _notice(socket: Line) -> None:
    """Ends with the connection, also while the others wait for something else."""
    await socket.wait_closed()
    raise socket.protocol.close_exc


async def _hear(socket: Line, session: Session, hold: Hold, idle_seconds: float) -> None:
    """Takes what the client sends, and no more than can be worked on: a full queue stops reading the socket."""
    while True:
        await asyncio.sleep(0)  # a flood of tiny messages, all here already, must not keep the loop from the others
        await session.room()
        try:
            async with asyncio.timeout(idle_seconds if idle_seconds and not session.farewell else None):
                message = await socket.recv()
        except TimeoutError:
            session.end(Farewell(Close.GOING_AWAY, f"nothing came for {idle_seconds:g} s"))
            continue
        if hold.farewell.done():
            return  # taken over just now: the other connection has been told from where to replay
        if isinstance(message, bytes):
            session.hear(message)
            continue
        match wire.parse(message):
            case Finalize(id=name):
                session.finalize(name)
            case Stop():
                session.end(Farewell(Close.DONE))
            case Start() | Watch():
                raise WireError("start came twice; one connection is one stream")


async def _tell(socket: Line, model: str, session: Session, hold: Hold) -> None:
    """Sends events in order, and acks between them. Sending waits while the client does not read."""
    incoming = session.incoming
    await socket.send(wire.ready(session.id, model, incoming.sample_rate, hold.acknowledged))
    while True:
        await hold.news.wait()
        hold.news.clear()
        while said := session.backlog.next():
            if said.last:
                await socket.send(wire.ack(incoming.seconds))
            await socket.send(said.text)
            if hold.farewell.done():
                return  # taken over while sending: the backlog already serves the other connection
            session.told()
            if said.last:
                assert session.farewell, "who ends a stream says how to part"
                hold.end(session.farewell)
                return
        seconds = incoming.seconds
        if seconds - hold.acknowledged >= ACK_SECONDS or (session.farewell and seconds > hold.acknowledged):
            hold.acknowledged = seconds
            await socket.send(wire.ack(seconds))
