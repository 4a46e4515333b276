"""The way in to a daemon: one connection, one greeting, and what can go wrong until then in words."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import ssl
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as dial
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidMessage,
    InvalidProxy,
    InvalidStatus,
    InvalidURI,
    ProxyError,
)
from websockets.proxy import get_proxy
from websockets.uri import parse_uri

from clients.errors import (
    AddressError,
    CaptionsError,
    UnauthorizedError,
    UnreachableError,
    of_close,
    of_event,
    of_status,
)
from streamer.access import is_loopback
from streamer.heard import LastHeard

DIAL_SECONDS = 10.0
LEAVE_SECONDS = 2.0  # for a goodbye; a daemon that does not answer it is left standing
PING_SECONDS = 10.0
SILENCE_SECONDS = 25.0  # though pings went out: the connection is dead, and nobody said so


class Line(LastHeard, ClientConnection):
    """A connection to a daemon. Its acks keep coming while it has not yet read all the audio before our ping."""

    async def abort_when_silent(self) -> None:
        """Cuts the connection once nothing has come for too long."""
        while True:
            left = self.heard_at + SILENCE_SECONDS - self.loop.time()
            if left <= 0:
                self.transport.abort()
            await asyncio.sleep(max(left, 0.1))


class Door:
    """Of one daemon, for one client."""

    def __init__(self, url: str, token: str | None, tls: ssl.SSLContext | None) -> None:
        """Takes where it is, and how to get in.

        Raises:
            UnauthorizedError: no server can have this token.
        """
        self.url, token = url, (token or "").strip()  # a file that holds one ends with a line
        if any(not "!" <= letter <= "~" for letter in token):
            raise UnauthorizedError(f"{url}: a token has letters, digits and -._~ only; pass one of its --token-file")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        # an address without TLS must not be given a context
        self._tls: dict[str, Any] = {"ssl": tls} if tls is not None and url.startswith("wss:") else {}

    async def enter(
        self, first: dict[str, Any], answer: tuple[str, ...] = ("session", "model", "audio_seconds")
    ) -> tuple[Line, dict[str, Any]]:
        """A connection, and what was answered to this first message: fields that it must have.

        Raises:
            CaptionsError: one of its kinds.
        """
        line = await self._dial()
        try:
            return line, await self._greet(line, first, answer)
        except BaseException:
            await line.close()
            raise

    async def _greet(self, line: Line, first: dict[str, Any], answer: tuple[str, ...]) -> dict[str, Any]:
        try:
            async with asyncio.timeout(DIAL_SECONDS):
                await line.send(json.dumps(first))
                values = json.loads(await line.recv())
            if values["type"] == "error":
                raise of_event(values["code"], values["message"])
            return {name: values[name] for name in answer}
        except ConnectionClosed:
            raise of_close(line.close_code, line.close_reason or "") or self._hung_up() from None
        except TimeoutError:
            raise UnreachableError(f"{self.url}: no greeting within {DIAL_SECONDS:g} s; try again later") from None
        except (ValueError, KeyError, TypeError):
            raise AddressError(f"{self.url}: answers, but serves no captions; check host, port and path") from None

    async def _dial(self) -> Line:
        proxy = None
        try:
            uri = parse_uri(self.url)
            # the environment speaks of the world outside: its proxy knows nothing of this machine
            proxy = None if is_loopback(uri.host) else get_proxy(uri)
            # Not compressed: sound does not shrink that way, and the daemon would pay for it.
            line = await dial(
                self.url,
                additional_headers=self._headers,
                compression=None,
                open_timeout=DIAL_SECONDS,
                close_timeout=LEAVE_SECONDS,
                ping_interval=PING_SECONDS,
                ping_timeout=None,  # see Line
                create_connection=Line,
                proxy=proxy,
                **self._tls,
            )
            assert isinstance(line, Line), "that is what was asked for"
            return line
        except (OSError, InvalidHandshake, InvalidURI, InvalidProxy, ImportError, UnicodeError) as error:
            raise self._explain(error, proxy) from None

    def _explain(self, error: Exception, proxy: str | None) -> CaptionsError:
        """What went wrong before anything was said. Only what may be well again in a moment is unreachable."""
        without_password = (proxy or "").rpartition("@")[2]
        where = f"{self.url}, through the proxy {without_password}" if proxy else self.url
        match error:
            case InvalidProxy() | ImportError():  # the latter: for SOCKS there is another library
                return AddressError(f"{where}: {error.msg}; correct https_proxy or http_proxy, or set no_proxy")
            case ProxyError():
                return UnreachableError(f"{where}: {error}; try again later, or set no_proxy")
            case InvalidStatus():
                told = (error.response.body or b"").decode(errors="replace")
                return of_status(where, error.response.status_code, told)
            case InvalidMessage(__cause__=EOFError()) | ConnectionResetError():
                return self._hung_up()
            case InvalidURI() | UnicodeError():  # the latter: a part of the host's name is empty, or too long
                return AddressError(f"{where}: is not a server's address; write ws://HOST:PORT")
            case InvalidHandshake():
                return AddressError(f"{where}: answers, but not as a server of captions; check host and port")
            case ssl.SSLCertVerificationError():
                cure = "set SSL_CERT_FILE to the certificate that signed it"
                return AddressError(f"{where}: its certificate is not trusted ({error.verify_message}); {cure}")
            case ssl.SSLError():
                return AddressError(f"{where}: does not speak TLS; try ws:// instead of wss://")
            case TimeoutError():
                return UnreachableError(f"{where}: no answer within {DIAL_SECONDS:g} s; check host and port")
            case socket.gaierror():  # also where the network is gone for a moment
                return UnreachableError(f"{where}: no such host; check its name, or your network")
        # asyncio's own text repeats the address; where it has tried several addresses, there is no number
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
        cure = "check the proxy, or set no_proxy" if proxy else "start it there: granite-stream serve"
        return UnreachableError(f"{where}: nobody listens ({reason}); {cure}")

    def _hung_up(self) -> UnreachableError:
        other = "ws://" if self.url.startswith("wss:") else "wss://"
        return UnreachableError(f"{self.url}: hung up before the stream began; try again, or with {other}")
