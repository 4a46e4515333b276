"""The native dialogue of one connection, on `/v1/stream`: what comes is heard, what there is to say is told."""

from __future__ import annotations

import asyncio
from functools import partial

from websockets.exceptions import ConnectionClosed

from streamer import wire
from streamer.ahead import Ahead
from streamer.dialogue import await_news, converse, farewell_for, hear, part, read
from streamer.fields import WireError
from streamer.line import Line
from streamer.options import Options
from streamer.session import Farewell, Hold, Session
from streamer.sessions import Sessions
from streamer.watching import follow
from streamer.wire import Close, Finalize, Start, Stop, Watch

START_SECONDS = 10.0  # a connection may take to say what it wants
ACK_SECONDS = 0.5  # of audio between two acks: so at least one a second, however the audio is cut


async def speak(socket: Line, sessions: Sessions, address: str) -> None:
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
        await part(socket, sessions, farewell_for(refusal))
        return
    try:
        hold = sessions.attach(session, start.after)
    except WireError as refusal:  # the session stays as it is: its own client may still come
        await part(socket, sessions, farewell_for(refusal))
        return
    keep, outcome = False, "failed"
    try:
        hold.acknowledged = session.incoming.seconds
        farewell = await converse(
            socket,
            hold,
            _tell(socket, sessions.model, session, hold),
            read(socket, session, ahead := Ahead(), sessions.limits.idle_seconds),
            hear(session, hold, ahead, partial(_take, session)),
        )
        heard = await part(socket, sessions, farewell)
        # A client that did not answer the close frame may not have got what came before it.
        finished = session.over and heard and session.backlog.next() is None
        keep = (farewell.resumable or session.over) and not finished
        outcome = farewell.outcome
    finally:
        sessions.release(session, hold, keep, outcome)


async def _first_message(socket: Line, usual: Options) -> Start | Watch:
    try:
        async with asyncio.timeout(START_SECONDS):
            text = await socket.recv()
    except TimeoutError:
        raise Farewell(Close.POLICY, f"no start came within {START_SECONDS:.0f} s", "bad_message") from None
    if isinstance(text, bytes):
        raise Farewell(Close.UNSUPPORTED, "audio came before start; send a start message first", "bad_message")
    message = wire.parse(text, usual)
    if not isinstance(message, Start | Watch):
        raise WireError(f"{type(message).__name__.lower()} came before start; send a start message first")
    return message


def _take(session: Session, message: str | bytes) -> None:
    """Does what a message asks for."""
    if isinstance(message, bytes):
        session.hear(message)
        return
    match wire.parse(message):
        case Finalize(id=name):
            session.finalize(name)
        case Stop():
            session.end(Farewell(Close.DONE))
        case Start():
            raise WireError("start came twice; one connection is one stream")
        case Watch():
            raise WireError("watch came after start; open another connection to read along")


async def _tell(socket: Line, model: str, session: Session, hold: Hold) -> None:
    """Sends events in order, and acks between them. Sending waits while the client does not read."""
    incoming = session.incoming

    def ack() -> str:
        hold.acknowledged = incoming.seconds
        return wire.ack(hold.acknowledged)

    await socket.send(wire.ready(session.id, model, incoming.sample_rate, hold.acknowledged))
    while True:
        await await_news(socket, hold.news, ack)
        while said := session.backlog.next():
            if said.last:
                await socket.send(ack())
            await socket.send(said.text)
            if hold.farewell.done():
                return  # taken over while sending: the backlog already serves the other connection
            session.told()
        if session.over:  # nothing is left to tell
            assert session.farewell, "who ends a stream says how to part"
            hold.end(session.farewell)
            return
        seconds = incoming.seconds
        if seconds - hold.acknowledged >= ACK_SECONDS or (session.farewell and seconds > hold.acknowledged):
            await socket.send(ack())
