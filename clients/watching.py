"""What somebody says on a channel of a daemon, read along. One connection: whoever calls decides when to try again."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncGenerator

from websockets.exceptions import ConnectionClosed

from clients.address import whole
from clients.connection import KNOWN
from clients.dialing import Door
from clients.errors import NONSENSE, UnreachableError, of_close, of_event, of_nonsense
from streamer.events import Event, from_dict


async def watch(
    url: str, channel: str, *, token: str | None = None, tls: ssl.SSLContext | None = None
) -> AsyncGenerator[Event | None, None]:
    """The events of a channel, for as long as the connection holds; the first is None: it is open.

    Several speak on a channel one after the other, so `Done` may come more than once.

    Raises:
        CaptionsError: one of `clients.errors`; a lost connection is `UnreachableError`.
    """
    line, _ = await Door(whole(url), token, tls).enter({"type": "watch", "channel": channel}, ("channel",))
    guard = asyncio.create_task(line.abort_when_silent())
    try:
        yield None
        while True:
            values = json.loads(await line.recv())
            if values["type"] == "error":
                raise of_event(values["code"], values["message"])
            if values["type"] in KNOWN:
                yield from_dict(values)
    except ConnectionClosed:
        lost = UnreachableError(f"{url}: the connection was lost")
        raise of_close(line.close_code, line.close_reason or "") or lost from None
    except NONSENSE as error:
        raise of_nonsense(error) from error
    finally:
        guard.cancel()
        await line.close()
