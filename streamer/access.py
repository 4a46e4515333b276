"""Who may connect: tokens, origins, addresses. Knows headers as texts, and nothing of sockets."""

from __future__ import annotations

import hmac
import ipaddress
import re
from collections import Counter
from dataclasses import dataclass, field
from hashlib import sha256
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

# What browsers offer beside their token, as they cannot send headers, and what is chosen: ours, OpenAI's, Deepgram's.
SUBPROTOCOLS = ("granite-stream", "realtime", "token", "bearer")
TOKEN_PREFIXES = ("bearer.", "openai-insecure-api-key.")
SCHEMES = ("bearer", "token")  # of an Authorization header
TOKEN = re.compile(r"[A-Za-z0-9._~-]{16,256}")  # fits a header and a subprotocol as it is
MAKE_ONE = "python3 -c 'import secrets; print(secrets.token_urlsafe(32))'"
ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://(\[[0-9a-f:.]+\]|[^\s/:?#@*\[\]]+)(?::(\d{1,5}))?/?")
USUAL_PORTS = (("http", 80), ("https", 443))  # which no browser says
MOST_PORT = 65_535
IPV6_NETWORK_BITS = 64  # what one customer usually gets


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a handshake is not accepted; `kind` is for the metrics."""

    status: HTTPStatus
    kind: str
    message: str


@dataclass(frozen=True, slots=True)
class Request:
    """What a handshake says about who comes; no header is an empty text."""

    address: str
    host: str = ""
    origin: str = ""
    authorization: str = ""
    subprotocols: str = ""


@dataclass(slots=True)
class Access:
    """The rules of one service, and how many connections each address has."""

    tokens: frozenset[bytes] = frozenset()  # digests; empty: none is asked for
    origins: frozenset[str] = frozenset()  # of other sites' pages that may connect
    most_connections: int = 0  # of one address; 0: no limit
    _connections: Counter[str] = field(default_factory=Counter)

    def refusal(self, request: Request) -> Refusal | None:
        """Why this one may not connect; None: it may."""
        if not self._is_from_here(request):
            message = f"pages of {request.origin} may not connect; --allow-origin {request.origin} would let them"
            return Refusal(HTTPStatus.FORBIDDEN, "origin", message)
        if not self.knows(request):
            message = "a token is needed: Authorization: Bearer TOKEN, or the subprotocols granite-stream, bearer.TOKEN"
            return Refusal(HTTPStatus.UNAUTHORIZED, "token", message)
        if crowd := self.crowd(request.address):
            return Refusal(HTTPStatus.TOO_MANY_REQUESTS, "address", crowd)
        return None

    def crowd(self, address: str) -> str | None:
        """Why an address may have no more connections; None: it may."""
        if self.most_connections and self._connections[neighbourhood(address)] >= self.most_connections:
            return f"at most {self.most_connections} connections from one address"
        return None

    def knows(self, request: Request) -> bool:
        """Whether a token is given that is in the file, or none is needed."""
        if not self.tokens:
            return True
        given = digest(_token(request))
        # a sum, not the first that fits: every one is compared, so that time tells nothing
        return sum(hmac.compare_digest(given, known) for known in self.tokens) > 0

    def enter(self, address: str) -> None:
        """A connection begins."""
        self._connections[neighbourhood(address)] += 1

    def leave(self, address: str) -> None:
        """It has ended."""
        place = neighbourhood(address)
        self._connections[place] -= 1
        if not self._connections[place]:
            del self._connections[place]  # or every address that ever came would be remembered

    def _is_from_here(self, request: Request) -> bool:
        """No page of another site may use a visitor's browser to connect. Only browsers tell an origin."""
        if not request.origin or request.origin in self.origins:
            return True
        # A name can be made to point at this machine by anyone who owns it, and then origin and host agree. An address
        # or `localhost` cannot; and where a token is needed, such a page has none.
        same = bool(request.host) and request.origin.partition("://")[2] == request.host
        return same and (bool(self.tokens) or is_address(request.host))


def origin(text: str) -> str:
    """An origin as browsers say it, from what a user may have copied out of an address bar.

    Raises:
        ValueError: it is none.
    """
    if text.lower() in ("null", "file://"):  # of pages in files and in sandboxes
        return text.lower()
    found = ORIGIN.fullmatch(text.lower())
    if found is None or int(found[3] or 0) > MOST_PORT:
        raise ValueError(f"{text} is not an origin: https://HOST, http://HOST:PORT, or null, without a path")
    scheme, host, port = found[1], found[2], int(found[3] or 0)
    if not host.isascii():
        host = host.encode("idna").decode()  # as it goes over the wire
    return f"{scheme}://{host}" + (f":{port}" if port and (scheme, port) not in USUAL_PORTS else "")


def tokens_in(path: Path) -> list[str]:
    """The tokens in a file: one a line; empty lines and those that begin with # say nothing.

    Raises:
        ValueError: a line is no token, or there is none.
        OSError: the file cannot be read.
    """
    lines = map(str.strip, path.read_text(encoding="utf-8", errors="replace").splitlines())
    tokens = {number: line for number, line in enumerate(lines, start=1) if line and not line.startswith("#")}
    for number, token in tokens.items():
        if not TOKEN.fullmatch(token):
            raise ValueError(f"{path}, line {number}: no token of 16 or more of A-Z a-z 0-9 . _ ~ -")
    if not tokens:
        raise ValueError(f"{path}: holds no token")
    return list(tokens.values())


def read_tokens(path: Path) -> frozenset[bytes]:
    """The digests of the tokens in a file.

    Raises:
        ValueError: a line is no token, or there is none.
        OSError: the file cannot be read.
    """
    try:
        return frozenset(map(digest, tokens_in(path)))
    except ValueError as error:
        raise ValueError(f"{error}; make one: {MAKE_ONE}") from None


def digest(token: str) -> bytes:
    """What is kept and compared instead of the token: all have the same length."""
    return sha256(token.encode(errors="replace")).digest()


def is_loopback(host: str) -> bool:
    """Whether nobody but this machine can reach what listens there."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False  # a name may mean anything


def is_address(host: str) -> bool:
    """Whether a Host header names a numeric address or localhost, port aside."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or bool(ipaddress.ip_address(name))
    except ValueError:
        return False


def neighbourhood(address: str) -> str:
    """What counts as one address: an IPv4 address, or a whole network of IPv6."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped:
            return str(ip.ipv4_mapped)
        return str(ipaddress.ip_network((ip, IPV6_NETWORK_BITS), strict=False))
    return str(ip)


def _token(request: Request) -> str:
    scheme, _, token = request.authorization.partition(" ")
    if scheme.lower() in SCHEMES:
        return token.strip()
    offered = [each.strip() for each in request.subprotocols.split(",")]
    if offered[0] in SCHEMES and len(offered) > 1:  # Deepgram's; its own name for the session may follow
        return offered[1]
    return next(
        (each.removeprefix(start) for each in offered for start in TOKEN_PREFIXES if each.startswith(start)), ""
    )
