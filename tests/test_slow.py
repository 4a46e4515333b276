"""Clients that are slow, silent, or gone without a word: they cost a bounded time, and nobody else anything."""

from __future__ import annotations

import asyncio

import pytest

from streamer import session as sessions
from streamer.server import Server
from streamer.sessions import Limits
from tests.servers import (
    Running,
    dialing,
    hear,
    hear_all,
    hear_until,
    running,
    say,
    send_audio,
    speech,
    until,
    whole,
    words_of,
)


async def all_gone(there: Running) -> None:
    await until(lambda: not sum(there.server.sessions.counts().values()) and not there.server.access._connections)


async def test_who_does_not_read_is_cut_off_with_a_reason_and_may_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "SLOW_SECONDS", 0.3)
    said = speech(4000)
    async with running() as there, dialing(there.url, max_queue=1) as socket:
        await say(socket, "start", words=False)
        session = (await hear(socket))["session"]
        socket.transport.pause_reading()
        sending = asyncio.create_task(send_audio(socket, said, piece_bytes=512_000))
        await until(lambda: there.server.sessions.counts()["waiting"] or sending.done())
        other = speech(3, seed=1)
        assert (await whole(there.url, other)).texts == words_of(other)
        socket.transport.resume_reading()
        talk = await hear_all(socket)
        sending.cancel()
        assert (talk.code, talk.of("error")[0]["code"]) == (1008, "slow_reader")
        async with dialing(there.url) as again:
            await say(again, "start", resume=session, after=talk.seqs[-1])
            ready = await hear(again)
            heard = said[: round(ready["audio_seconds"] * 32_000)]
            await say(again, "stop")
            rest = await hear_all(again)
    assert talk.seqs + rest.seqs == list(range(1, talk.seqs[-1] + len(rest.seqs) + 1))
    assert talk.texts + rest.texts == words_of(heard)


async def test_who_writes_slowly_is_waited_for_and_who_writes_nothing_is_not() -> None:
    audio = speech(1)
    async with running(Server(limits=Limits(idle_seconds=1.5))) as there:
        async with dialing(there.url) as socket:
            await say(socket, "start")
            for at in range(0, len(audio), 4000):
                await socket.send(audio[at : at + 4000])
                await asyncio.sleep(0.2)  # all of it takes longer than one may be idle
            talk = await hear_all(socket)
        assert (talk.code, talk.reason) == (1001, "nothing came for 1.5 s")
        assert talk.texts == words_of(audio)
        assert talk.messages[-1]["type"] == "done"
        await all_gone(there)


async def test_a_connection_that_is_half_open_is_found_out_and_its_session_waits_for_another() -> None:
    audio = speech(4)
    async with running(Server(limits=Limits(resume_seconds=1.0), ping_seconds=0.2)) as there:
        async with dialing(there.url, ping_interval=None) as dead:
            await say(dead, "start")
            session = (await hear(dead))["session"]
            await dead.send(audio[: len(audio) // 2])
            await hear_until(dead, "ack")
            dead.transport.pause_reading()  # no pong will go out
            await until(lambda: there.server.sessions.counts()["waiting"])
            async with dialing(there.url) as alive:
                await say(alive, "start", resume=session)
                ready = await hear(alive)
                await alive.send(audio[round(ready["audio_seconds"] * 32_000) :])
                await say(alive, "stop")
                assert (await hear_all(alive)).texts == words_of(audio)
            dead.transport.abort()
        await all_gone(there)


async def test_a_thousand_connections_that_come_and_go_leave_nothing() -> None:
    async with running(Server(limits=Limits(resume_seconds=0.1, most_sessions=1000))) as there:

        async def visit(number: int) -> None:
            async with dialing(there.url) as socket:
                if number % 3:
                    await say(socket, "start")
                if number % 3 == 2:
                    await socket.send(speech(0.1))
                    await say(socket, "stop")
                    assert (await hear_all(socket)).code == 1000
                else:
                    socket.transport.abort()

        before = asyncio.all_tasks()
        for first in range(0, 1000, 50):
            await asyncio.gather(*map(visit, range(first, first + 50)))
        await all_gone(there)
        await until(lambda: not asyncio.all_tasks() - before)
        assert not there.server.sessions._entries
