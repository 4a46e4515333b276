"""Moments of the dialogue that sockets rarely bring about: a session taken over within a send or a receive."""

import asyncio

from streamer import native
from streamer.dialogue import hear
from streamer.session import Session
from streamer.wire import Start
from tests.servers import FakeWorker, dialing, running, say, speech
from tests.servers import hear as hear_message


class TakenOver:
    """A socket, and what was read of it, whose session another connection resumes just while it sends or gives."""

    def __init__(self, session):
        self.session = session

    async def next(self):
        self.session.attach(0)
        return speech(1)

    async def send(self, text):
        if '"seq":1' in text:
            self.session.attach(0)


async def test_audio_that_came_as_the_session_was_taken_over_is_not_taken():
    session = Session(Start(), FakeWorker().open, lambda delay: None)
    await hear(session, session.attach(0), TakenOver(session), session.hear)
    assert session.incoming.frames == 0


async def test_what_was_sent_as_the_session_was_taken_over_is_told_to_the_other_connection():
    session = Session(Start(), FakeWorker().open, lambda delay: None)
    hold = session.attach(0)
    session.hear(speech(1))
    await asyncio.sleep(0)
    await native._tell(TakenOver(session), "fake", session, hold)
    assert session.backlog.next().seq == 1


async def test_who_waits_for_the_last_words_sees_that_the_service_is_there(monkeypatch):
    monkeypatch.setattr("streamer.dialogue.BEAT_SECONDS", 0.01)
    async with running() as here, dialing(here.url) as socket:
        await say(socket, "start")
        assert [(await hear_message(socket))["type"] for _ in range(3)] == ["ready", "ack", "ack"]


async def test_in_a_pause_also_the_last_tenth_of_a_second_is_acknowledged(monkeypatch):
    monkeypatch.setattr("streamer.dialogue.BEAT_SECONDS", 0.01)
    async with running() as here, dialing(here.url) as socket:
        await say(socket, "start")
        await socket.send(speech(0.3))
        async with asyncio.timeout(10):
            while (await hear_message(socket)).get("audio_seconds") != 0.3:
                pass
