from http import HTTPStatus

import pytest

from streamer.access import Access, Request, digest, is_loopback, neighbourhood, read_tokens

TOKEN = "a-token-of-many-letters"
GUARDED = Access(tokens=frozenset({digest(TOKEN), digest("another-token-of-somebody")}))


def status(access, **asked):
    refusal = access.refusal(Request(**{"address": "192.0.2.1", "host": "captions.example:8765", **asked}))
    return refusal and refusal.status


@pytest.mark.parametrize(
    "shown",
    [
        {"authorization": f"Bearer {TOKEN}"},
        {"authorization": f"bearer  {TOKEN} "},
        {"authorization": "Bearer another-token-of-somebody"},
        {"subprotocols": f"granite-stream, bearer.{TOKEN}"},
    ],
)
def test_who_shows_a_token_comes_in(shown):
    assert status(GUARDED, **shown) is None


@pytest.mark.parametrize(
    "shown",
    [
        {},
        {"authorization": "Bearer "},
        {"authorization": TOKEN},
        {"authorization": f"Basic {TOKEN}"},
        {"authorization": f"Bearer {TOKEN}x"},
        {"authorization": f"Bearer {TOKEN[:-1]}"},
        {"authorization": "Bearer \udcff"},
        {"subprotocols": TOKEN},
        {"subprotocols": "granite-stream"},
    ],
)
def test_who_shows_none_does_not(shown):
    assert status(GUARDED, **shown) == HTTPStatus.UNAUTHORIZED


def test_every_token_is_compared_whichever_fits(monkeypatch):
    compared = []
    monkeypatch.setattr("hmac.compare_digest", lambda given, known: compared.append(known) or given == known)
    assert GUARDED.knows(Request("", authorization=f"Bearer {TOKEN}"))
    assert set(compared) == GUARDED.tokens


def test_tokens_are_not_kept_as_they_are():
    assert TOKEN.encode() not in repr(GUARDED).encode()


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("127.0.0.1:8765", "http://127.0.0.1:8765"),
        ("localhost:8765", "http://localhost:8765"),
        ("[::1]:8765", "https://[::1]:8765"),
        ("192.0.2.7", "http://192.0.2.7"),
        ("anything", ""),
    ],
)
def test_own_pages_and_programs_may_connect(host, origin):
    assert status(Access(), host=host, origin=origin) is None


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("127.0.0.1:8765", "https://elsewhere.example"),
        ("127.0.0.1:8765", "http://127.0.0.1:9999"),
        ("127.0.0.1:8765", "null"),
        ("127.0.0.1:8765", "127.0.0.1:8765"),
        ("", "http://"),
        ("[broken", "http://[broken"),
        ("", "https://elsewhere.example"),
    ],
)
def test_pages_of_other_sites_may_not(host, origin):
    assert status(Access(), host=host, origin=origin) == HTTPStatus.FORBIDDEN


def test_a_name_that_somebody_pointed_at_this_machine_is_no_own_page():
    asked = {"host": "rebound.example:8765", "origin": "http://rebound.example:8765"}
    assert status(Access(), **asked) == HTTPStatus.FORBIDDEN
    assert status(GUARDED, **asked, authorization=f"Bearer {TOKEN}") is None  # such a page would have no token


def test_other_sites_can_be_allowed_one_by_one():
    access = Access(origins=frozenset({"https://overlay.example", "null"}))
    assert status(access, origin="https://overlay.example") is None
    assert status(access, origin="null") is None
    assert status(access, origin="https://overlay.example.evil.example") == HTTPStatus.FORBIDDEN


def test_an_address_has_only_so_many_connections():
    access = Access(most_connections=2)
    for _ in range(2):
        access.enter("192.0.2.1")
    assert status(access) == HTTPStatus.TOO_MANY_REQUESTS
    assert status(access, address="192.0.2.2") is None
    access.leave("192.0.2.1")
    assert status(access) is None
    access.leave("192.0.2.1")
    assert access._connections == {}


def test_an_address_of_ipv6_is_a_whole_network():
    assert neighbourhood("2001:db8::1") == neighbourhood("2001:db8::ffff:1") == "2001:db8::/64"
    assert neighbourhood("2001:db8:0:1::1") != neighbourhood("2001:db8::1")
    assert neighbourhood("::ffff:192.0.2.1") == neighbourhood("192.0.2.1") == "192.0.2.1"
    assert neighbourhood("fe80::1%eth0") == "fe80::/64"
    assert neighbourhood("") == ""


def test_loopback_is_only_what_surely_is():
    assert all(map(is_loopback, ["127.0.0.1", "127.9.9.9", "::1", "localhost"]))
    assert not any(map(is_loopback, ["0.0.0.0", "::", "", "192.0.2.1", "my-laptop"]))


def test_a_token_file_has_one_a_line(tmp_path):
    path = tmp_path / "tokens"
    path.write_text(f"# of the meeting rooms\n\n{TOKEN}\n  another-token-of-somebody\n")
    assert read_tokens(path) == GUARDED.tokens


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no token"),
        ("# nothing\n", "no token"),
        (f"{TOKEN}\nshort\n", "line 2"),
        ("with a space in it", "line 1"),
    ],
)
def test_a_token_file_that_protects_nothing_is_refused_without_showing_it(tmp_path, text, said):
    path = tmp_path / "tokens"
    path.write_text(text)
    with pytest.raises(ValueError, match=said) as caught:
        read_tokens(path)
    assert "short" not in str(caught.value)


def test_what_is_compared_has_one_length_whatever_was_given():
    assert {len(digest(each)) for each in ("", "a", TOKEN, "x" * 10_000)} == {32}
