"""What a client has sent and nobody could work on yet: read all the same, for its pings stand behind it."""

from __future__ import annotations

import asyncio
from collections import deque

# Four minutes of 16-bit samples at 16 kHz. Behind them nothing more is read, and the client is held back.
MOST_BYTES = 2**23
MESSAGE_BYTES = 128  # that a message costs besides its own


class Ahead:
    """Messages in order, as many as there is room for.

    Clients that ping give up a connection whose pong is late, and a ping waits behind all the audio that was sent
    before it. So what comes faster than it can be worked on is read, and kept here.
    """

    def __init__(self) -> None:
        self._messages: deque[str | bytes] = deque()
        self._bytes = 0
        self._changed = asyncio.Event()
        self.wanted = False  # all that came was worked on, and somebody waits for the next message

    async def room(self) -> None:
        """Waits until one more message may be read, however long it is."""
        while self._bytes >= MOST_BYTES:
            await self._change()

    def append(self, message: str | bytes) -> None:
        """Takes a message."""
        self._messages.append(message)
        self._bytes += len(message) + MESSAGE_BYTES
        self._changed.set()

    async def next(self) -> str | bytes:
        """Gives the oldest message; waits for one."""
        while not self._messages:
            self.wanted = True
            await self._change()
        self.wanted = False
        message = self._messages.popleft()
        self._bytes -= len(message) + MESSAGE_BYTES
        self._changed.set()
        return message

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()
