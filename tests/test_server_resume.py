import asyncio
import random

import pytest

from streamer.server import Server
from streamer.session import Farewell
from streamer.sessions import Limits
from streamer.wire import Close
from tests.servers import (
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

PATIENT = Limits(resume_seconds=30)


def cut(socket):
    """As if a cable were pulled: no close frame."""
    socket.transport.abort()


@pytest.mark.parametrize("seed", range(12))
async def test_however_often_it_is_cut_no_word_is_lost_or_doubled(seed):
    chance = random.Random(seed)
    audio = speech(8, seed)
    events, sent_seconds, session = [], 0.0, {}
    async with running(Server(limits=PATIENT)) as here:
        for attempt in range(30):
            async with dialing(here.url) as socket:
                await say(socket, "start", **session)
                ready = await hear(socket)
                session = {"resume": ready["session"], "after": events[-1]["seq"] if events else 0}
                assert ready["audio_seconds"] <= sent_seconds
                start = round(ready["audio_seconds"] * 16_000) * 2
                pieces = 10_000 if attempt > 8 else chance.randint(0, 20)
                end = min(start + pieces * 3201, len(audio))  # odd: pieces end within a sample
                await send_audio(socket, audio[start:end], 3201)
                sent_seconds = max(sent_seconds, end / 32_000)
                if end == len(audio):
                    await say(socket, "stop")
                for _ in range(10_000 if attempt > 8 else chance.randint(0, 12)):
                    try:
                        async with asyncio.timeout(0.05):
                            message = await hear(socket)
                    except TimeoutError:
                        break
                    if "seq" in message:
                        events.append(message)
                    if message["type"] == "done":
                        break
                cut(socket)
            session["after"] = events[-1]["seq"] if events else 0
            if events and events[-1]["type"] == "done":
                break
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert [event["text"] for event in events if event["type"] == "final"] == words_of(audio)
    assert events[-1]["audio_seconds"] == 8.0


async def test_events_are_repeated_exactly_from_where_the_client_says():
    async with running() as here:
        async with dialing(here.url) as socket:
            await say(socket, "start")
            session = (await hear(socket))["session"]
            await send_audio(socket, speech(2))
            first = [message for message in (await hear_until(socket, "final")).messages if "seq" in message]
            cut(socket)
        for after in (0, 2):
            async with dialing(here.url) as socket:
                await say(socket, "start", resume=session, after=after)
                repeated = await hear_until(socket, "final")
                assert [message for message in repeated.messages if "seq" in message] == first[after:]
                cut(socket)


async def test_a_resume_continues_from_a_whole_frame_of_the_client_s_format():
    audio = speech(1.5)
    async with running() as here:
        async with dialing(here.url) as socket:
            await say(socket, "start", channels=2, sample_rate=8000)
            session = (await hear(socket))["session"]
            await socket.send(audio[:16_003])
            await hear_until(socket, "ack")
            cut(socket)
        async with dialing(here.url) as socket:
            await say(socket, "start", resume=session)
            ready = await hear(socket)
            assert ready["audio_seconds"] * 8000 == 4000  # of the 4000.75 that came
            assert (ready["sample_rate"], ready["session"]) == (8000, session)
            await socket.send(audio[16_000:])
            await say(socket, "stop")
            assert (await hear_all(socket)).messages[-1]["audio_seconds"] == pytest.approx(1.5)


async def test_a_resumed_session_closes_its_old_connection_and_hears_it_no_more():
    audio = speech(2)
    async with running() as here, dialing(here.url) as old, dialing(here.url) as new:
        await say(old, "start")
        session = (await hear(old))["session"]
        await send_audio(old, audio[:32_000])
        await hear_until(old, "final")
        await say(new, "start", resume=session, after=3)
        await hear(new)
        talk = await hear_all(old)
        assert (talk.code, talk.reason) == (4001, "resumed elsewhere")
        await send_audio(new, audio[32_000:])
        await say(new, "stop")
        talk = await hear_all(new)
        assert talk.texts == words_of(audio[32_000:])
        assert (talk.seqs[0], talk.code) == (4, 1000)
        await here.emptied()


async def test_a_stop_that_was_answered_into_the_void_can_be_resumed():
    async with running() as here:
        async with dialing(here.url) as socket:
            await say(socket, "start")
            session = (await hear(socket))["session"]
            await say(socket, "stop")
            cut(socket)
        await until(lambda: here.sessions == {"connected": 0, "waiting": 1})
        async with dialing(here.url) as socket:
            await say(socket, "start", resume=session)
            await say(socket, "stop")
            talk = await hear_all(socket)
            assert (talk.messages[-1]["type"], talk.code) == ("done", 1000)
        await here.emptied()


async def test_a_session_that_nobody_resumes_is_forgotten():
    async with running(Server(limits=Limits(resume_seconds=0.05))) as here:
        async with dialing(here.url) as socket:
            await say(socket, "start")
            session = (await hear(socket))["session"]
            cut(socket)
        async with asyncio.timeout(5):
            await here.server.sessions.empty.wait()
        assert here.worker.feeds[0].dropped
        async with dialing(here.url) as socket:
            await say(socket, "start", resume=session)
            talk = await hear_all(socket)
            assert (talk.messages[0]["code"], talk.code) == ("unknown_session", 1008)


async def test_a_session_that_is_resumed_in_time_stays():
    async with running(Server(limits=Limits(resume_seconds=2.0))) as here:
        async with dialing(here.url) as kept, dialing(here.url) as clock:
            for socket in (kept, clock):
                await say(socket, "start")
            session = (await hear(kept))["session"]
            await hear(clock)
            cut(kept)
            await until(lambda: here.sessions["waiting"] == 1)
            cut(clock)
        async with dialing(here.url) as socket:
            await say(socket, "start", resume=session)
            await hear(socket)
            await until(lambda: here.worker.feeds[1].dropped)  # so the time of both is over
            await say(socket, "stop")
            assert (await hear_all(socket)).code == 1000


async def test_who_resumes_behind_the_last_event_is_told_that_it_was_the_last():
    async with running() as here:
        async with dialing(here.url) as socket:
            await say(socket, "start")
            session = (await hear(socket))["session"]
            await send_audio(socket, speech(1))
            await until(lambda: here.server.sessions.counts()["connected"] == 1)
            cut(socket)
        await until(lambda: here.server.sessions.counts()["connected"] == 0)
        held = here.server.sessions._entries[session].session
        held.end(Farewell(Close.DONE))
        await until(lambda: held.over)
        while held.backlog.next():
            held.told()
        async with dialing(here.url) as socket:
            await say(socket, "start", resume=session, after=held.backlog.count)
            talk = await hear_all(socket)
    assert [message["type"] for message in talk.messages] == ["ready"]
    assert talk.code == Close.DONE


async def test_a_session_that_is_over_is_forgotten_at_once():
    async with running() as here:
        session = (await whole(here.url, speech(1))).messages[0]["session"]
        await here.emptied()
        async with dialing(here.url) as socket:
            await say(socket, "start", resume=session)
            assert (await hear_all(socket)).messages[0]["code"] == "unknown_session"


@pytest.mark.parametrize(
    ("wrong", "code"),
    [({"sample_rate": 8000}, "bad_message"), ({"after": 99}, "bad_message"), ({"after": -1}, "bad_message")],
)
async def test_a_resume_that_does_not_fit_leaves_the_session_to_its_own_client(wrong, code):
    audio = speech(1)
    async with running() as here, dialing(here.url) as owner, dialing(here.url) as other:
        await say(owner, "start")
        session = (await hear(owner))["session"]
        await say(other, "start", resume=session, **wrong)
        talk = await hear_all(other)
        assert (talk.messages[0]["code"], talk.code) == (code, 1008)
        await send_audio(owner, audio)
        await say(owner, "stop")
        assert (await hear_all(owner)).texts == words_of(audio)


async def test_events_that_are_no_longer_kept_are_not_passed_over_in_silence(monkeypatch):
    monkeypatch.setattr("streamer.backlog.MOST_EVENTS", 4)
    async with running() as here:
        async with dialing(here.url) as socket:
            await say(socket, "start")
            session = (await hear(socket))["session"]
            await send_audio(socket, speech(3))
            for _ in range(3):
                await hear_until(socket, "final")
            cut(socket)
        async with dialing(here.url) as socket:
            await say(socket, "start", resume=session, after=1)
            (error,) = (await hear_all(socket)).messages
            assert (error["code"], error["message"]) == (
                "unknown_session",
                "after is 1; events up to 5 are no longer kept",
            )


async def test_names_of_sessions_cannot_be_guessed():
    async with running() as here:
        names = {(await whole(here.url, b"")).messages[0]["session"] for _ in range(20)}
    assert len(names) == 20
    assert min(map(len, names)) >= 32
