"""What a user types for a server, made whole: scheme, port and path may be missing."""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

from clients.errors import AddressError

PORT = 8765  # of a daemon that was not told another one
PATH = "/v1/stream"
SCHEMES = {"ws": "ws", "wss": "wss", "http": "ws", "https": "wss"}


def whole(address: str) -> str:
    """`ws://127.0.0.1:8765/v1/stream` for `127.0.0.1`, and what is given of it stays.

    Raises:
        AddressError: no server can have this address.
    """
    given = address.strip()
    bare = "://" not in given
    try:
        parts = urlsplit(f"ws://{given}" if bare else given)
        host, port = parts.hostname, parts.port
    except ValueError:  # a port that is none, brackets that do not match
        host = port = None
        parts = urlsplit("")
    if not host or parts.scheme not in SCHEMES or any(letter.isspace() for letter in given):
        raise AddressError(f"{address!r} is not a server's address; write ws://HOST:PORT, wss://HOST:PORT or HOST:PORT")
    place = parts.netloc if port or not bare else f"{parts.netloc.removesuffix(':')}:{PORT}"
    path = parts.path if parts.path.strip("/") else PATH
    return urlunsplit((SCHEMES[parts.scheme], place, path, parts.query, ""))
