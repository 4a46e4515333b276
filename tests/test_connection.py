from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable
from http import HTTPStatus

import numpy as np
import pytest
from websockets.asyncio.server import Response
from websockets.datastructures import Headers

from clients import connection, dialing
from clients.connection import connect
from clients.errors import (
    AddressError,
    BadRequestError,
    CaptionsError,
    ExpiredError,
    RefusedError,
    UnauthorizedError,
    UnreachableError,
)
from streamer.events import Done, Event, Final, Finalized, Partial
from tests.actors import Actor, ack, done, final, partial, playing
from tests.servers import running

SECOND = bytes(32_000)  # of audio


async def first_event(url: str) -> Event:
    async with connect(url) as captions:
        return await anext(captions)


async def test_the_daemon_is_asked_for_what_was_wanted_and_events_are_typed() -> None:
    async def act(actor: Actor) -> None:
        await actor.greet()
        assert actor.start == {
            "type": "start",
            "sample_rate": 8000,
            "encoding": "mulaw",
            "channels": 2,
            "keywords": ["Granite"],
        }
        assert actor.socket.request.headers["Authorization"] == "Bearer secret"
        assert actor.socket.request.path == "/v1/stream"
        assert await actor.hear(3) == b"abc"
        assert await actor.request() == {"type": "finalize", "id": "x"}
        assert await actor.request() == {"type": "stop"}
        later = {"type": "a later version's", "seq": 3}
        answer = {"type": "finalized", "id": "x", "seq": 4}
        await actor.say(partial(1), final(2), later, answer, ack(1 / 8000), done(5))

    options = {"token": "secret", "sample_rate": 8000, "encoding": "mulaw", "channels": 2, "keywords": ["Granite"]}
    async with playing(act) as url, connect(url, **options) as captions:
        assert captions.model == "nano"
        await captions.send(b"abc")
        await captions.finalize("x")
        await captions.stop()
        assert [type(event) for event in [event async for event in captions]] == [Partial, Final, Finalized, Done]


async def test_a_lost_connection_goes_on_where_the_daemon_is() -> None:
    async def first(actor: Actor) -> None:
        await actor.greet()
        await actor.hear(3 * len(SECOND))
        await actor.say(ack(1.0), partial(1, "draft"))
        await actor.request()
        actor.break_down()

    async def second(actor: Actor) -> None:
        await actor.greet(audio_seconds=1.25)
        assert (actor.start["resume"], actor.start["after"]) == ("s", 1)
        assert await actor.hear(56_000) == sound[40_000:]
        assert (await actor.request())["id"] == "x"
        assert (await actor.request())["type"] == "stop"
        await actor.say(partial(1, "draft"), final(2), {"type": "finalized", "id": "x", "seq": 3}, ack(3.0), done(4))

    sound = np.random.default_rng(0).bytes(3 * len(SECOND))
    async with playing(first, second) as url, connect(url) as captions:
        await captions.send(sound)
        await captions.finalize("x")
        await captions.stop()
        assert [type(event) for event in [event async for event in captions]] == [Partial, Final, Finalized, Done]


async def test_a_daemon_that_ended_before_it_had_heard_everything_is_no_success() -> None:
    async def restarting(actor: Actor) -> None:
        await actor.greet()
        await actor.hear(3 * len(SECOND))
        assert (await actor.request())["type"] == "stop"
        await actor.say(ack(1.0), final(1), done(2))
        await actor.socket.close(1012)

    async with playing(restarting) as url, connect(url) as captions:
        await captions.send(bytes(3 * len(SECOND)))
        await captions.stop()
        assert [type(await anext(captions)) for _ in range(2)] == [Final, Done]
        with pytest.raises(RefusedError, match="is being restarted"):
            await anext(captions)


async def test_a_connection_that_went_dead_without_a_word_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    replaced = asyncio.Event()

    async def dead(actor: Actor) -> None:
        await actor.greet()
        actor.socket.transport.pause_reading()
        await replaced.wait()
        actor.break_down()

    async def alive(actor: Actor) -> None:
        await actor.greet()
        replaced.set()
        await actor.say(final(1))

    monkeypatch.setattr(dialing, "SILENCE_SECONDS", 0.2)
    monkeypatch.setattr(dialing, "PING_SECONDS", 0.05)
    async with playing(dead, alive) as url, connect(url) as captions:
        assert isinstance(await anext(captions), Final)


async def test_a_slow_daemon_that_shows_signs_of_life_is_not_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def slow(actor: Actor) -> None:
        await actor.greet()
        actor.socket.transport.pause_reading()  # no pong will be sent
        for step in range(10):
            await asyncio.sleep(0.12)
            await actor.say(partial(step + 1))
        await actor.say(final(11))
        actor.socket.transport.resume_reading()

    monkeypatch.setattr(dialing, "SILENCE_SECONDS", 1.0)
    monkeypatch.setattr(dialing, "PING_SECONDS", 0.05)
    async with playing(slow) as url, connect(url) as captions:
        while not isinstance(await anext(captions), Final):
            pass


async def test_a_full_buffer_makes_the_speaker_wait_until_the_daemon_has_more() -> None:
    heard = asyncio.Event()

    async def act(actor: Actor) -> None:
        await actor.greet()
        await actor.hear(2 * len(SECOND))
        await heard.wait()
        await actor.say(ack(0.5))
        await actor.hear(len(SECOND))

    async with playing(act) as url, connect(url, buffer_seconds=2.0) as captions:
        await captions.send(SECOND)
        await captions.send(SECOND)
        waiting = asyncio.create_task(captions.send(SECOND))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(waiting), 0.1)
        heard.set()
        await waiting


async def test_a_finalize_that_went_out_twice_is_answered_once() -> None:
    async def first(actor: Actor) -> None:
        await actor.greet()
        await actor.request()
        actor.break_down()

    async def second(actor: Actor) -> None:
        await actor.greet()
        assert (await actor.request())["type"] == "finalize"
        answers = [{"type": "finalized", "id": "x", "seq": seq} for seq in (1, 2)]
        assert (await actor.request())["type"] == "stop"
        await actor.say(*answers, done(3))

    async with playing(first, second) as url, connect(url) as captions:
        await captions.finalize("x")
        await captions.stop()
        assert [event async for event in captions] == [Finalized("x"), Done(1.0)]


async def test_many_unread_partials_leave_only_the_last_and_every_final() -> None:
    async def act(actor: Actor) -> None:
        await actor.greet()
        await actor.request()
        drafts = [partial(seq, str(seq)) for seq in range(1, 500)]
        await actor.say(*drafts, final(500), *[partial(seq, str(seq)) for seq in range(501, 600)], done(600))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connection, "MOST_UNREAD", 10)
        async with playing(act) as url, connect(url) as captions:
            await captions.stop()
            await captions._keeper
            events = [event async for event in captions]
    assert [event.draft for event in events if isinstance(event, Partial)] == [*map(str, range(1, 10)), "499", "599"]
    assert len([event for event in events if isinstance(event, Final)]) == 1


ENDS = [
    ({"type": "error", "code": "bad_message", "message": "step_ms is 0"}, 1008, BadRequestError, "step_ms is 0"),
    ({"type": "error", "code": "unknown_session", "message": "gone"}, 1008, ExpiredError, "gone"),
    ({"type": "error", "code": "internal", "message": "it broke"}, 1011, CaptionsError, "it broke"),
    (None, 1013, RefusedError, "this reason"),
    (None, 1012, RefusedError, "connect again in a moment"),
    (None, 1001, CaptionsError, "this reason"),
    (None, 1009, BadRequestError, "this reason"),
    ({"type": "error", "code": "internal", "message": "a\x1b]0;b\x07\x9bc"}, 1011, CaptionsError, "a ]0;b c$"),
    (None, 4001, CaptionsError, "another connection"),
]


@pytest.mark.parametrize(("error", "code", "kind", "cure"), ENDS)
@pytest.mark.parametrize("greeted", [False, True])
async def test_an_end_that_the_daemon_wants_is_an_exception_that_says_what_to_do(
    greeted: bool, error: dict[str, object] | None, code: int, kind: type[CaptionsError], cure: str
) -> None:
    async def act(actor: Actor) -> None:
        await (actor.greet() if greeted else actor.request())
        if error:
            await actor.say(error)
        await actor.socket.close(code, "this reason")

    async with playing(act) as url:
        with pytest.raises(kind, match=cure) as caught:
            await first_event(url)
        assert type(caught.value) is kind
        assert "\n" not in str(caught.value)


async def test_after_an_end_sending_says_why() -> None:
    async def act(actor: Actor) -> None:
        await actor.greet()
        await actor.say({"type": "error", "code": "bad_audio", "message": "not so"})

    async with playing(act) as url, connect(url, buffer_seconds=1.0) as captions:
        await captions.send(SECOND)
        with pytest.raises(BadRequestError, match="not so"):
            await captions.send(SECOND)  # there is no room, and never will be


@pytest.mark.parametrize(
    ("status", "kind", "cure"),
    [
        (HTTPStatus.UNAUTHORIZED, UnauthorizedError, "token"),
        (HTTPStatus.FORBIDDEN, UnauthorizedError, "another place"),
        (HTTPStatus.NOT_FOUND, AddressError, "try /v1/stream"),
        (HTTPStatus.SERVICE_UNAVAILABLE, RefusedError, "try again later"),
        (HTTPStatus.BAD_GATEWAY, RefusedError, "try again later"),
        (HTTPStatus.OK, AddressError, "another program"),
    ],
)
async def test_a_door_that_stays_shut_says_why(status: HTTPStatus, kind: type[CaptionsError], cure: str) -> None:
    answer = Response(status, "", Headers())
    async with playing(answer=answer) as url:
        with pytest.raises(kind, match=cure):
            await first_event(url)


@pytest.mark.parametrize(("state", "reason"), [("loading", "still loading its model"), ("draining", "being stopped")])
async def test_a_daemon_that_takes_nobody_yet_or_any_more_says_which(state: str, reason: str) -> None:
    async with running() as here:
        setattr(here.server.health, state, True)
        with pytest.raises(RefusedError, match=reason):
            await first_event(here.url)


NONSENSE: list[Callable[[Actor], Awaitable[None]]] = [
    lambda actor: actor.socket.send("hello"),
    lambda actor: actor.socket.send(b"\xff\xfe"),
    lambda actor: actor.say({"no": "type"}),
    lambda actor: actor.say(ack(5.0)),
    lambda actor: actor.say({"type": "ack", "audio_seconds": "x"}),
    lambda actor: actor.say(final(2)),
    lambda actor: actor.say({"type": "final", "seq": 1}),
]


@pytest.mark.parametrize("say", NONSENSE)
async def test_a_server_that_talks_nonsense_is_left_with_a_word(say: Callable[[Actor], Awaitable[None]]) -> None:
    async def act(actor: Actor) -> None:
        await actor.greet()
        await say(actor)
        await actor.socket.wait_closed()

    async with playing(act) as url:
        with pytest.raises(CaptionsError, match="breaks the protocol"):
            await first_event(url)


@pytest.mark.parametrize("seconds", [5.0, -1.0, "x", None, float("inf"), float("nan")])
@pytest.mark.parametrize("resumed", [False, True])
async def test_a_greeting_that_is_nonsense_is_left_with_a_word(seconds: object, resumed: bool) -> None:
    async def first(actor: Actor) -> None:
        await actor.greet()
        actor.break_down()

    async def act(actor: Actor) -> None:
        await actor.greet(seconds)
        await actor.socket.wait_closed()
        assert actor.socket.close_code == 1000, "it was closed, not just left"

    async with playing(*([first] if resumed else []), act) as url:
        with pytest.raises(CaptionsError, match="breaks the protocol"):
            await first_event(url)


async def test_a_daemon_that_stays_away_is_given_up() -> None:
    async def act(actor: Actor) -> None:
        await actor.greet()
        actor.break_down()

    async def gone(actor: Actor) -> None:
        actor.break_down()

    async with playing(act, spare=gone) as url, connect(url, patience_seconds=0.5) as captions:
        with pytest.raises(ExpiredError, match=r"given up after 0\.5 s"):
            await anext(captions)


async def test_connections_that_bring_nothing_are_given_up_as_well() -> None:
    async def act(actor: Actor) -> None:
        await actor.greet()
        actor.break_down()

    async with playing(spare=act) as url, connect(url, patience_seconds=0.5) as captions:
        with pytest.raises(ExpiredError, match="given up"):
            await anext(captions)


async def test_nobody_there_says_how_to_start_it() -> None:
    with pytest.raises(UnreachableError, match=r"nobody listens.*granite-stream serve"):
        await first_event("127.0.0.1:9")


async def test_a_daemon_of_this_machine_is_not_sought_behind_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    async def act(actor: Actor) -> None:
        await actor.greet()
        await actor.say(final(1))

    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    async with playing(act) as url:
        assert isinstance(await first_event(url), Final)


@pytest.mark.parametrize(
    ("proxy", "kind", "message"),
    [
        ("http://me:secret@127.0.0.1:9", UnreachableError, r"the proxy 127\.0\.0\.1:9: nobody listens .*no_proxy"),
        ("127.0.0.1:9", AddressError, r"the proxy 127\.0\.0\.1:9: .*; correct https_proxy or http_proxy"),
        (
            "socks5://127.0.0.1:9",
            AddressError,
            r"the proxy socks5://127\.0\.0\.1:9: .*python-socks; correct https_proxy",
        ),
        ("http://{server}", UnreachableError, "proxy rejected connection: HTTP 4"),
    ],
)
async def test_a_proxy_that_is_of_no_use_is_named(
    monkeypatch: pytest.MonkeyPatch, proxy: str, kind: type[CaptionsError], message: str
) -> None:
    async with await asyncio.start_server(no_proxy, "127.0.0.1", 0) as server:
        address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        monkeypatch.setenv("https_proxy", proxy.format(server=address))
        monkeypatch.delenv("no_proxy", raising=False)
        with pytest.raises(kind, match=message) as caught:
            await first_event("wss://captions.example")
    assert "secret" not in str(caught.value)


async def no_proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n")
    writer.close()
    await writer.wait_closed()


async def test_leaving_says_goodbye_and_leaves_no_task() -> None:
    code = 0

    async def act(actor: Actor) -> None:
        nonlocal code
        await actor.greet()
        await actor.socket.wait_closed()
        code = actor.socket.close_code

    before = asyncio.all_tasks()
    async with playing(act) as url, connect(url) as captions:
        await captions.send(b"")
    assert code == 1000
    while left := asyncio.all_tasks() - before:  # those of websockets say goodbye, too
        await asyncio.wait(left, timeout=1)
        assert not any("clients" in str(task.get_coro()) for task in left)


async def test_after_stop_nothing_can_be_said() -> None:
    async def act(actor: Actor) -> None:
        await actor.greet()
        await actor.socket.wait_closed()

    async with playing(act) as url, connect(url) as captions:
        await captions.stop()
        with pytest.raises(ValueError, match="was stopped; connect again"):
            await captions.send(b"")


async def test_after_leaving_nothing_can_be_said_and_nobody_waits_to() -> None:
    async def act(actor: Actor) -> None:
        await actor.greet()
        await actor.socket.wait_closed()

    async with playing(act) as url:
        async with connect(url, buffer_seconds=1.0) as captions:
            await captions.send(bytes(32_000))
            waiting = asyncio.create_task(captions.send(b"\0\0"))
            await asyncio.sleep(0)
        for late in (waiting, captions.send(b"\0\0")):
            with pytest.raises(CaptionsError, match="was left; connect again"):
                await asyncio.wait_for(late, 10)


def test_neither_torch_nor_numpy_is_loaded() -> None:
    program = "import sys; import clients.connection; sys.exit(bool({'torch', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


async def test_what_was_misspelt_is_refused() -> None:
    with pytest.raises(TypeError, match="knows no latncy; there are latency"):
        async with connect("localhost", latncy="low"):  # type: ignore[call-arg]
            pass
    with pytest.raises(UnauthorizedError, match="a token has letters, digits"):
        async with connect("localhost", token="a token of some words"):
            pass


async def test_a_buffer_that_is_full_between_two_acks_is_refused() -> None:
    with pytest.raises(ValueError, match=r"buffer_seconds is 0\.3"):
        async with connect("localhost", buffer_seconds=0.3):
            pass
