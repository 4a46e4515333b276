import asyncio

import numpy as np
import pytest

from streamer.events import Done
from streamer.fields import WireError
from streamer.session import Farewell, Session
from streamer.wire import Close, Start
from tests.servers import FakeWorker, speech, words_of


@pytest.fixture
async def worker():
    return FakeWorker()


def opened(worker, **start):
    return Session(Start(**start), worker.open, lambda delay: None)


async def told(session):
    await asyncio.sleep(0)  # a fake worker's events come when the loop runs next
    texts = []
    while said := session.backlog.next():
        texts.append(said.text)
        session.told()
    return texts


async def test_what_is_acknowledged_is_what_was_handed_on(worker):
    session = opened(worker)
    session.attach(0)
    session.hear(bytes(3 * 640))
    assert session.incoming.seconds == 3 * 0.02
    session.hear(bytes(639))  # less than is worth a call
    assert session.incoming.seconds == 3 * 0.02
    assert sum(feed.pieces for feed in worker.feeds) == 1


async def test_a_new_connection_begins_where_the_last_ack_could_be(worker):
    audio = speech(1)
    session = opened(worker)
    session.attach(0)
    session.hear(audio[:10_001])
    session.hear(audio[10_001:10_101])
    taken = round(session.incoming.seconds * 16_000) * 2
    assert taken == 10_000
    session.attach(0)
    session.hear(audio[taken:])
    assert any(words_of(audio)[0] in text for text in await told(session))


async def test_what_is_ended_by_the_client_has_all_audio_that_came_before(worker):
    session = opened(worker, sample_rate=8_000, encoding="mulaw")
    for _ in range(2):
        session.hear(bytes(3 * 800))
        session.finalize("x")
    assert [worker.feeds[0].heard_seconds, len(worker.feeds[0].samples)] == [0.6, 0]


async def test_the_end_hands_on_what_is_left(worker):
    session = opened(worker, sample_rate=48_000)
    session.hear(speech(0.3)[:-100])
    session.hear(speech(0.3)[-100:])  # less than is worth a call, and the resampler holds some too
    session.end(Farewell(Close.DONE))
    assert session.incoming.seconds == 0.1
    assert worker.feeds[0].heard_seconds == pytest.approx(0.1, abs=1e-4)
    assert worker.feeds[0].ended


async def test_a_session_ends_once(worker):
    session = opened(worker)
    session.end(Farewell(Close.GOING_AWAY, "idle"))
    session.end(Farewell(Close.DONE))
    assert session.farewell.reason == "idle"


@pytest.mark.parametrize("code", [Close.DONE, Close.RESTART])
async def test_what_comes_behind_the_end_is_not_heard_and_ends_nothing(worker, code):
    session = opened(worker)
    session.end(Farewell(code))
    session.hear(bytes(10_000))
    session.finalize("x")
    assert session.incoming.seconds == 0
    assert session.farewell.code is code


async def test_a_session_that_waits_for_its_client_counts_as_no_speaker(worker):
    session = opened(worker)
    (feed,), hold = worker.feeds, session.attach(0)
    assert feed.attended
    session.detach(hold)
    assert not feed.attended
    session.attach(0)
    assert feed.attended


async def test_what_cannot_be_told_ends_the_session(worker):
    session = opened(worker)
    hold = session.attach(0)
    session._dialect = None
    with pytest.raises(AttributeError):
        session._take([Done(1.0)])
    assert session.over
    assert (await hold.farewell).code == session.farewell.code == Close.INTERNAL


async def test_a_broken_stream_is_over(worker):
    session = opened(worker)
    session.attach(0)
    worker.feeds[0].breaks()
    (text,) = await told(session)
    assert '"code":"internal"' in text
    assert session.over
    assert session.farewell.code == Close.INTERNAL


async def test_the_next_connection_takes_the_session_over(worker):
    session = opened(worker)
    old = session.attach(0)
    new = session.attach(0)
    assert (await old.farewell).code == Close.TAKEN_OVER
    assert not session.detach(old)
    assert session.detach(new)
    assert session.hold is None


async def test_no_room_for_audio_or_for_words_stops_the_reading(worker, monkeypatch):
    monkeypatch.setattr("streamer.backlog.MOST_EVENTS", 3)
    session = opened(worker)
    worker.roomy.clear()
    waiting = asyncio.create_task(session.room())
    await asyncio.sleep(0)
    assert not waiting.done()
    session.hear(speech(1))
    await asyncio.sleep(0)
    worker.roomy.set()
    for _ in range(3):
        await asyncio.sleep(0)
    assert session.backlog.full
    assert not waiting.done()
    session.told()
    await waiting


async def test_one_long_message_waits_for_room_as_many_short_ones_would(worker):
    audio = speech(5)
    session = opened(worker)
    session.attach(0)
    session.hear(audio)
    worker.roomy.clear()
    waiting = asyncio.create_task(session.room())
    await asyncio.sleep(0)
    assert session.incoming.seconds == 1
    worker.roomy.set()
    await waiting
    assert session.incoming.seconds == 5
    assert worker.feeds[0].pieces == 5
    assert words_of(audio)[:4] == [word for text in await told(session) for word in words_of(audio)[:4] if word in text]


async def test_the_end_does_not_wait_for_room(worker):
    session = opened(worker)
    session.hear(speech(5))
    worker.roomy.clear()
    session.end(Farewell(Close.RESTART))
    assert session.incoming.seconds == 5


async def test_who_does_not_read_for_long_is_sent_away(worker, monkeypatch):
    monkeypatch.setattr("streamer.backlog.MOST_EVENTS", 3)
    monkeypatch.setattr("streamer.session.SLOW_SECONDS", 0.01)
    session = opened(worker)
    session.hear(speech(1))
    await asyncio.sleep(0)
    with pytest.raises(Farewell) as caught:
        await session.room()
    assert (caught.value.code, caught.value.error, caught.value.resumable) == (Close.POLICY, "slow_reader", True)


async def test_delays_reach_whoever_measures_them():
    seen = []
    session = Session(Start(), FakeWorker().open, seen.append)
    session.hear(speech(1))
    await told(session)
    assert {delay.kind for delay in seen} == {"update", "first_partial", "commit", "final"}


@pytest.mark.parametrize("wrong", [{"encoding": "mp3"}, {"sample_rate": 7999}, {"channels": 0}])
async def test_a_format_that_does_not_exist_is_refused_before_a_stream_is_opened(worker, wrong):
    with pytest.raises(WireError) as caught:
        opened(worker, **wrong)
    assert caught.value.code == "bad_audio"
    assert worker.feeds == []


async def test_samples_that_are_no_numbers_are_taken_as_sound(worker):
    session = opened(worker, encoding="pcm_f32le")
    session.hear(np.array([np.nan, np.inf, -np.inf, 1e30] * 200, "<f4").tobytes())
    heard = worker.feeds[0].samples
    assert np.isfinite(heard).all()
    assert np.abs(heard).max() <= 1


async def test_a_session_whose_events_cannot_be_told_wants_no_more_of_them(worker, monkeypatch):
    session = opened(worker)
    session.attach(0)
    monkeypatch.setattr(session, "_dialect", None)
    with pytest.raises(AttributeError):
        session._take([Done(1.0)])
    assert worker.feeds[0].dropped
