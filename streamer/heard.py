"""When a WebSocket connection last heard anything: the daemon's and its clients'. Decides nothing."""

from __future__ import annotations

import asyncio

from websockets.asyncio.connection import Connection


class LastHeard(Connection):
    """Keeps the time of the last sign of life, of whatever kind.

    websockets gives up whoever answers a ping too late. But a ping, and its answer, wait behind all the audio that was
    sent before them, and that may be much where a file is sent faster than it is transcribed.
    """

    heard_at: float  # by the loop's clock

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The TCP connection is there."""
        super().connection_made(transport)
        self.heard_at = self.loop.time()

    def data_received(self, data: bytes) -> None:
        """Something came."""
        self.heard_at = self.loop.time()
        super().data_received(data)
