from __future__ import annotations

import pytest

from clients.address import whole
from clients.errors import AddressError


@pytest.mark.parametrize(
    ("typed", "address"),
    [
        ("localhost", "ws://localhost:8765/v1/stream"),
        ("localhost:99", "ws://localhost:99/v1/stream"),
        (" 127.0.0.1:99/ ", "ws://127.0.0.1:99/v1/stream"),
        ("[::1]:99", "ws://[::1]:99/v1/stream"),
        ("[::1]", "ws://[::1]:8765/v1/stream"),
        ("ws://host:99/other/path?a=b", "ws://host:99/other/path?a=b"),
        ("wss://captions.example", "wss://captions.example/v1/stream"),
        ("https://captions.example/", "wss://captions.example/v1/stream"),
        ("http://host:99", "ws://host:99/v1/stream"),
        ("WS://Host:99", "ws://Host:99/v1/stream"),
    ],
)
def test_what_is_missing_is_filled_in_and_what_is_given_stays(typed: str, address: str) -> None:
    assert whole(typed) == address
    assert whole(address) == address


@pytest.mark.parametrize(
    "typed", ["", "ws://", "ftp://host", "host:port", "ws://host:99999", "[::1", "two words", ":99"]
)
def test_what_is_no_address_says_how_one_looks(typed: str) -> None:
    with pytest.raises(AddressError, match="write ws://HOST:PORT, wss://HOST:PORT or HOST:PORT"):
        whole(typed)
