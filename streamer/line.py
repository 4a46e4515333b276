"""One WebSocket connection, as websockets makes it, with what months of strange clients ask for besides."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from http import HTTPStatus

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed, InvalidMessage
from websockets.frames import Frame, Opcode
from websockets.protocol import Event

from streamer.heard import LastHeard

KERNEL_BYTES = 2**16  # asked of the kernel for each direction of a connection: more would only make answers late
READ_BYTES = 2**14  # taken from a connection at once, in place of asyncio's 256 KiB
MOST_CONTROLS = 100  # pings and pongs in a second; who sends more is cut off
PART_SECONDS = 5.0  # a client may take to read what there is, and to answer the close frame
UNREADABLE = "this is no request without a body; captions come over WebSockets while somebody speaks: see /v1/stream\n"


class Line(LastHeard, ServerConnection):
    """A connection of a client. It can give no sign of life while it is us who do not read."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The TCP connection is there."""
        self._counted_from, self._controls, self._told = self.loop.time(), 0, False
        super().connection_made(transport)
        kernel = transport.get_extra_info("socket")
        kernel.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL_BYTES)
        kernel.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, KERNEL_BYTES)
        # what is read at once is also answered at once, before anybody else is served
        transport.max_size = READ_BYTES  # type: ignore[attr-defined]  # asyncio's own; others ignore it

    def send_data(self) -> None:
        """Sends what is due; who sent no request that websockets can read is told so before the end."""
        if isinstance(self.protocol.handshake_exc, InvalidMessage) and not self._told:
            self._told = True
            self.transport.write(self.protocol.reject(HTTPStatus.BAD_REQUEST, UNREADABLE).serialize())
        super().send_data()

    def process_event(self, event: Event) -> None:
        """Takes a frame. Pings and pongs fill no queue that would stop reading, so somebody may flood us with them."""
        if isinstance(event, Frame) and event.opcode in (Opcode.PING, Opcode.PONG):
            now = self.loop.time()
            if now >= self._counted_from + 1:
                self._counted_from, self._controls = now, 0
            self._controls += 1
            if self._controls > MOST_CONTROLS:
                self.transport.abort()
                return
        super().process_event(event)

    def connection_lost(self, exc: Exception | None) -> None:
        """The TCP connection is gone."""
        peer = self.remote_address
        super().connection_lost(exc)
        self.transport = Gone({"peername": peer})

    async def part(self, code: int, reason: str) -> None:
        """Closes, also where nobody reads what is sent; `close` would wait for that without end."""
        try:
            async with asyncio.timeout(PART_SECONDS), asyncio.TaskGroup() as tasks:
                tasks.create_task(self._ignore())
                await self.close(code, reason)
        except TimeoutError:
            self.transport.abort()

    async def _ignore(self) -> None:
        """Reads what still comes: the answer to the close frame stands behind it."""
        # AssertionError: behind a message in too many fragments websockets meets one of them first
        with contextlib.suppress(ConnectionClosed, AssertionError):
            while True:
                await self.recv()

    def silent_seconds(self) -> float:
        """Since something could have come and did not."""
        if self.recv_messages.paused:
            self.heard_at = self.loop.time()
        return self.loop.time() - self.heard_at


class Gone(asyncio.Transport):
    """Stands where a transport was that has been closed. It can be ended again, as often as anyone likes.

    websockets aborts the transport when something is to be sent behind the end; asyncio's own, if the end came while
    bytes were waiting and these could still be sent, then fails with an AttributeError.
    """

    def abort(self) -> None:
        """It has ended."""

    def close(self) -> None:
        """It has ended."""

    def is_closing(self) -> bool:
        """It has."""
        return True

    def resume_reading(self) -> None:
        """Nothing will come."""
