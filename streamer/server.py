"""The port: sockets to dialogues, by path, for those who may come in; pages for everyone else. Knows no network."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus

from websockets.asyncio.server import Server as Listener
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from clients.address import PATH
from streamer import access, native
from streamer.access import SUBPROTOCOLS, Access, Refusal
from streamer.dialects import deepgram, realtime, vosk
from streamer.health import Health
from streamer.line import Line
from streamer.metrics import Metrics
from streamer.pages import TEXT, Page, files, pages
from streamer.sessions import Limits, Sessions
from streamer.wire import Close

log = logging.getLogger("granite_stream")

MESSAGE_BYTES = 2**20  # the longest message; websockets closes with 1009 before it is all there
OPEN_SECONDS = 10.0  # for a handshake
CLOSE_SECONDS = 5.0  # for the answer to a close frame
MOST_TOLD = 300  # characters of what a stranger has sent
MOST_KEPT_OUT = 100  # origins whose refusal is logged
WITH_TOKEN = {"/metrics"}  # what tells something; other pages tell nothing, or must be seen by other machines

Dialogue = Callable[[Line, Sessions, str], Awaitable[None]]
DIALOGUES: dict[str, Dialogue] = {  # path: what is spoken there
    PATH: native.speak,
    "/v1/realtime": realtime.speak,  # OpenAI's
    "/v1/listen": deepgram.speak,
    "/vosk": vosk.speak,
}


@dataclass(slots=True)
class Server:
    """Everything that the connections of one port share."""

    access: Access = field(default_factory=Access)
    limits: Limits = field(default_factory=Limits)
    metrics: Metrics = field(default_factory=Metrics)
    health: Health = field(default_factory=Health)
    ping_seconds: float = 20.0  # between two pings; who is silent for two of them is gone
    sessions: Sessions = field(init=False)
    _pages: dict[str, Callable[[], Page]] = field(init=False)
    _kept_out: set[str] = field(default_factory=set)  # origins whose refusal was logged

    def __post_init__(self) -> None:
        """Puts the parts together."""
        self.sessions = Sessions(self.limits, self.metrics, self.health)
        self._pages = pages(self.health, self.metrics) | files()

    @asynccontextmanager
    async def listening(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> AsyncIterator[Listener]:
        """Takes connections; at the end, those that are still there are closed with 1012."""
        listener = await serve(
            self._handle,
            host,
            port,
            ssl=tls,
            process_request=self._answer,
            select_subprotocol=_select_subprotocol,
            create_connection=Line,
            compression=None,  # audio does not shrink, and its windows would cost more memory than all of a session
            open_timeout=OPEN_SECONDS,
            close_timeout=CLOSE_SECONDS,
            ping_interval=self.ping_seconds,
            ping_timeout=None,  # see Line
            max_size=MESSAGE_BYTES,
            server_header=None,
        )
        watch = asyncio.create_task(self._watch(listener))
        try:
            yield listener
        finally:
            watch.cancel()
            await _close(listener)

    def _answer(self, connection: ServerConnection, request: Request) -> Response | None:
        """A page or a refusal; None lets the handshake go on, which asks everything else of it."""
        path = request.path.partition("?")[0]
        asked = _asked(connection, request)
        if path in self._pages:
            if request.method not in ("GET", "HEAD"):
                return _refuse(connection, HTTPStatus.METHOD_NOT_ALLOWED, "only GET")
            if path in WITH_TOKEN and not self.access.knows(asked):
                return _refuse(connection, HTTPStatus.UNAUTHORIZED, "a token is needed")
            return _respond(connection, self._pages[path](), head=request.method == "HEAD")
        if path not in DIALOGUES:
            return _refuse(connection, HTTPStatus.NOT_FOUND, f"no such path; there are {', '.join(DIALOGUES)}")
        refusal = self.access.refusal(asked) or self._hindrance()
        if refusal is None:
            return None
        self.metrics.refuse(refusal.kind)
        if refusal.kind == "origin" and asked.origin not in self._kept_out and len(self._kept_out) < MOST_KEPT_OUT:
            self._kept_out.add(asked.origin)  # its browser tells the page nothing: here somebody may find out
            log.warning(refusal.message[:MOST_TOLD])
        return _refuse(connection, refusal.status, refusal.message)

    def _hindrance(self) -> Refusal | None:
        kind = self.health.hindrance
        return Refusal(HTTPStatus.SERVICE_UNAVAILABLE, kind, f"{kind}; try again later") if kind else None

    async def _handle(self, connection: ServerConnection) -> None:
        """One connection. Whatever goes wrong in it ends here."""
        assert isinstance(connection, Line), "we told websockets to make these"
        assert connection.request is not None, "the handshake is over"
        address = _address(connection)
        self.access.enter(address)
        try:
            await DIALOGUES[connection.request.path.partition("?")[0]](connection, self.sessions, address)
        except Exception as error:  # a mistake of ours: it must not reach the others, nor be lost
            log.error("connection failed", exc_info=error)
            self.metrics.count_error("internal")
            await connection.part(Close.INTERNAL, "internal error")
        finally:
            self.access.leave(address)

    async def _watch(self, listener: Listener) -> None:
        """Cuts connections whose other end has gone without a word, such as a laptop that was closed."""
        while True:
            await asyncio.sleep(self.ping_seconds / 4)
            for connection in listener.connections:
                assert isinstance(connection, Line), "we told websockets to make these"
                if connection.silent_seconds() > 2 * self.ping_seconds:
                    connection.transport.abort()


async def _close(listener: Listener) -> None:
    listener.close(code=Close.RESTART, reason="the service is restarting")
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await listener.wait_closed()
    except TimeoutError:  # a close frame waits behind everything that a client does not read
        for connection in listener.all_connections:
            connection.transport.abort()
        await listener.wait_closed()


def _select_subprotocol(_: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    # never the one with the token in it; who offers none, or another one, gets none
    return next((Subprotocol(known) for known in SUBPROTOCOLS if known in offered), None)


def _asked(connection: ServerConnection, request: Request) -> access.Request:
    def header(name: str) -> str:
        return ", ".join(request.headers.get_all(name))

    names = ("Host", "Origin", "Authorization", "Sec-WebSocket-Protocol")
    return access.Request(_address(connection), *map(header, names))


def _address(connection: ServerConnection) -> str:
    peer = connection.remote_address
    return str(peer[0]) if isinstance(peer, tuple) else ""


def _refuse(connection: ServerConnection, status: HTTPStatus, message: str) -> Response:
    response = _respond(connection, Page(status, f"{message}\n".encode(), TEXT))
    if status is HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def _respond(connection: ServerConnection, page: Page, head: bool = False) -> Response:
    response = connection.respond(page.status, "")
    if not head:
        response.body = page.body
    del response.headers["Content-Length"], response.headers["Content-Type"]
    response.headers["Content-Length"] = str(len(page.body))
    response.headers["Content-Type"] = page.content_type
    response.headers["Cache-Control"] = "no-store"
    response.headers.update(page.headers)
    return response
