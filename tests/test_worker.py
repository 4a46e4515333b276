import asyncio
import time
from contextlib import suppress
from types import SimpleNamespace

import numpy as np
import pytest

from model import Wish, WishError
from streamer import Engine, Options, network
from streamer.engine import Work
from streamer.events import Done, Error, Final, Finalized
from streamer.load import LoadMeter
from streamer.network import LEAST_FRAMES, NetworkThread, State
from streamer.stream import Due
from streamer.worker import MOST_WISHES, Worker
from tests.servers import until

PATIENCE_SECONDS = 60
LIVE = Options(step_ms=600)


class Listener:
    """Keeps what it is told, and says when it was the last."""

    def __init__(self):
        self.events, self.over = [], asyncio.Event()

    def __call__(self, events):
        self.events += events
        if isinstance(events[-1], Done | Error):
            self.over.set()

    async def texts(self):
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self.over.wait()
        return [event.text for event in self.events if isinstance(event, Final)]


@pytest.fixture
async def worker(nano):
    async with Worker(Engine(nano)) as worker:
        yield worker


async def play(worker, samples, chunk=4800, options=LIVE):
    listener = Listener()
    feed = worker.open(options, listener)
    for at in range(0, len(samples), chunk):
        await feed.room()
        feed.push(samples[at : at + chunk])
        await asyncio.sleep(0)
    feed.end()
    return await listener.texts()


@pytest.mark.parametrize("options", [LIVE, Options(partials=False)], ids=["live", "finals only"])
async def test_several_speakers_get_each_their_own_words(worker, nano, spoken, options):
    engine = Engine(nano)
    voices = [each.samples.numpy() for each in spoken[:4]]
    expected = []
    for samples in voices:
        stream = engine.open(options)
        events = [event for at in range(0, len(samples), 4800) for event in stream.feed(samples[at : at + 4800])]
        expected.append([event.text for event in events + stream.finish() if isinstance(event, Final)])
    texts = await asyncio.gather(*(play(worker, samples, options=options) for samples in voices))
    assert [len(each) for each in texts] == [len(each) for each in expected]
    assert all(any(each) for each in texts)
    assert len(set(map(tuple, expected))) == 4, "they say different words"
    if not options.partials:  # what is committed on the way depends on the pace
        assert texts == expected
    assert worker.audio_seconds == pytest.approx(sum(map(len, voices)) / 16_000)
    assert worker.load.streams == 0


async def test_finals_do_not_depend_on_who_else_is_there(worker, spoken):
    samples = spoken[2].samples.numpy()
    options = Options(partials=False)

    async def final_texts():
        listener = Listener()
        feed = worker.open(options, listener)
        feed.push(samples)
        feed.end()
        return await listener.texts()

    alone = await final_texts()
    together = await asyncio.gather(*(final_texts() for _ in range(6)))
    assert together == [alone] * 6


async def test_a_full_stream_waits_for_room(worker, spoken):
    listener = Listener()
    feed = worker.open(Options(), listener)
    feed.push(np.zeros(11 * 16_000, np.float32))
    assert feed.waiting_seconds == 11
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await feed.room()
    async with asyncio.timeout(PATIENCE_SECONDS):
        await feed.room()
    assert feed.waiting_seconds < 10
    feed.end()
    assert await listener.texts() == []


async def test_a_stream_of_too_many_wishes_waits_for_room(worker):
    listener = Listener()
    feed = worker.open(Options(), listener)
    for number in range(MOST_WISHES):
        async with asyncio.timeout(0):
            await feed.room()
        feed.finalize(str(number))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await feed.room()
    async with asyncio.timeout(PATIENCE_SECONDS):
        await feed.room()
    feed.end()
    assert await listener.texts() == []
    assert [event.id for event in listener.events[:-1]] == list(map(str, range(MOST_WISHES)))


@pytest.mark.parametrize(("carried", "seconds", "least", "most"), [(2, 1.0, 0.0, 2.5), (20, 2.0, 3.0, 20.0)])
async def test_a_recording_beside_who_speaks_leaves_half_of_the_machine(
    worker, monkeypatch, carried, seconds, least, most
):
    monkeypatch.setattr("streamer.load.LoadMeter.carried", carried)
    hurrying, live = (worker.open(Options(), Listener()) for _ in range(2))
    chunk = np.full(8000, 0.001, np.float32)

    async def sent_in(seconds, chunk=chunk):
        sent = 0.0
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while True:
                    await hurrying.room()
                    hurrying.push(chunk)
                    sent += 0.5
                    await asyncio.sleep(0)
        return sent

    hurrying.push(np.concatenate([chunk] * 6))
    live.push(chunk)
    assert least <= await sent_in(seconds) <= most
    if carried == 2:
        assert await sent_in(1.0, np.zeros_like(chunk)) > 5, "what stands for sound that was left out"
        live.push(chunk)
        assert await sent_in(0.2) <= most
        live.drop()
        assert await sent_in(1.0) > 5


async def test_finalize_is_answered_while_the_stream_goes_on(worker, spoken):
    listener = Listener()
    feed = worker.open(Options(), listener)
    feed.push(spoken[0].samples.numpy())
    feed.finalize("now")
    feed.push(spoken[1].samples.numpy())
    feed.end()
    texts = await listener.texts()
    assert len(texts) >= 2
    assert Finalized("now") in listener.events


async def test_a_machine_that_is_slow_does_less_in_a_step(worker, spoken, monkeypatch):
    steps, step = [], Engine.step

    def watched(engine, *given):
        steps.append(step(engine, *given))
        return steps[-1]

    async def updates_of_steps(seconds):
        monkeypatch.setattr(network, "STEP_SECONDS", seconds)
        steps.clear()
        await asyncio.gather(*(play(worker, each.samples.numpy(), 48_000) for each in spoken[:3]))
        return [work.updates for work in steps if work.updates]

    monkeypatch.setattr(Engine, "step", watched)
    assert max(map(len, await updates_of_steps(100.0))) > 1
    for updates in await updates_of_steps(0.0):
        assert len(updates) == 1 or sum(due.frames for due in updates) <= LEAST_FRAMES


async def test_one_more_than_the_machine_carries_is_refused_and_work_is_measured(nano, spoken):
    async with Worker(Engine(nano), share_of_a_speaker=0.5) as worker:  # of its time, or so it is guessed
        assert worker.refusal() is None
        assert worker.compute_seconds == worker.load.busy == 0
        listener = Listener()
        feed = worker.open(Options(), listener)
        assert "carries about 1" in worker.refusal()
        feed.push(spoken[0].samples.numpy())
        await until(lambda: worker.load.update_seconds > 0)
        assert worker.compute_seconds > 0
        assert worker.load.busy > 0
        feed.end()
        assert await listener.texts()
        assert worker.refusal() is None


async def test_a_stream_whose_client_is_away_takes_nobody_s_place(worker):
    feed = worker.open(Options(), Listener())
    assert worker.load.streams == 1
    feed.attended = False
    assert worker.load.streams == 0
    assert worker.refusal() is None, "the first is always welcome"


async def test_a_dropped_stream_says_nothing_more(worker, spoken):
    listener = Listener()
    feed = worker.open(Options(), listener)
    feed.push(spoken[0].samples.numpy())
    feed.drop()
    assert await play(worker, spoken[1].samples.numpy())
    assert listener.events == []
    assert worker.load.streams == 0


async def test_a_stream_that_breaks_says_so_and_the_others_go_on(worker, spoken, caplog):
    listener = Listener()
    feed = worker.open(Options(), listener)
    other = asyncio.create_task(play(worker, spoken[1].samples.numpy()))
    feed.push(np.zeros((2, 8), np.float32))
    await listener.texts()
    assert isinstance(listener.events[-1], Error)
    assert [record.exc_info[0] for record in caplog.records if record.getMessage() == "a stream broke"] == [ValueError]
    assert await other


@pytest.mark.parametrize(
    ("wish", "why"),
    [(Wish(prompt="<|audio|>"), "placeholder"), (Wish(task="translate", target_language="fr"), "only transcribes")],
)
async def test_what_the_model_cannot_do_opens_no_stream(worker, spoken, wish, why):
    with pytest.raises(WishError, match=why):
        worker.open(Options(wish=wish), Listener())
    assert worker.load.streams == 0
    assert await play(worker, spoken[1].samples.numpy())


@pytest.mark.parametrize("method", ["open", "close"])
async def test_a_stream_that_cannot_be_opened_or_closed_keeps_nobody_from_going_on(
    worker, spoken, monkeypatch, caplog, method
):
    listener = Listener()
    with monkeypatch.context() as broken:
        broken.setattr(Engine, method, lambda *_: 1 / 0)
        feed = worker.open(Options(), listener)
        if method == "close":
            feed.drop()
        await until(lambda: caplog.records)
    assert caplog.records[0].exc_info[0] is ZeroDivisionError
    if method == "open":
        assert await listener.texts() == []
        assert isinstance(listener.events[-1], Error)
    assert worker.load.streams == 0
    assert await play(worker, spoken[1].samples.numpy())


async def test_a_listener_that_fails_keeps_nothing_from_the_others(worker, spoken):
    failures = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context["exception"]))
    feed = worker.open(Options(), lambda _: 1 / 0)
    feed.push(spoken[0].samples.numpy())
    feed.end()
    assert await play(worker, spoken[1].samples.numpy())
    assert {type(each) for each in failures} == {ZeroDivisionError}


async def test_when_the_thread_dies_everybody_is_told(worker, spoken, monkeypatch):
    monkeypatch.setattr(Engine, "step", lambda *_: 1 / 0)
    listener = Listener()
    worker.open(Options(), listener)
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert isinstance(await worker.lost, ZeroDivisionError)
    assert await listener.texts() == []
    assert isinstance(listener.events[-1], Error)
    with pytest.raises(RuntimeError, match="the transcriber has stopped; start it again"):
        worker.open(Options(), Listener())


async def test_an_idle_worker_sleeps(worker, monkeypatch):
    steps, naps = [], []  # of each nap, how many steps came before it
    step, ordering = Engine.step, worker._network._ordering
    sleep = ordering.wait_for
    monkeypatch.setattr(Engine, "step", lambda *given: steps.append(1) or step(*given))
    monkeypatch.setattr(ordering, "wait_for", lambda orders: naps.append(len(steps)) or sleep(orders))
    listener = Listener()
    feed = worker.open(Options(), listener)
    feed.push(np.zeros(16_000, np.float32))
    feed.finalize("heard")
    await until(lambda: listener.events and naps and naps[-1] == len(steps))
    assert 0 < len(steps) < 10


async def test_audio_that_the_thread_has_but_nobody_looked_at_still_waits(worker):
    feed = worker.open(Options(), Listener())
    feed.push(np.zeros(16_000, np.float32))
    feed._receive(State(feed, [], 16_000, 8_000, False))
    assert feed.waiting_seconds == 0.5
    feed.drop()


async def test_wishes_that_are_fulfilled_together_all_count(worker):
    feed = worker.open(Options(), Listener())
    for number in range(MOST_WISHES):
        feed.finalize(str(number))
    feed._receive(State(feed, [Finalized(str(number)) for number in range(MOST_WISHES)], 0, 0, False))
    for number in range(MOST_WISHES - 1):
        feed.finalize(str(number))
    assert feed._roomy.is_set()
    feed.drop()


async def test_what_was_sent_while_nobody_spoke_is_owed_to_nobody_who_speaks_later(worker):
    feed = worker.open(Options(), Listener())
    feed.push(np.full(20 * 16_000, 0.001, np.float32))
    assert feed.allowance.owed_seconds(time.monotonic()) > 10
    await feed.room()
    assert feed.allowance.owed_seconds(time.monotonic()) == 0
    feed.drop()


async def test_those_who_hurry_share_and_do_not_count_themselves_twice(worker, monkeypatch):
    monkeypatch.setattr("streamer.load.LoadMeter.carried", 20)
    hurrying, other, _ = (worker.open(Options(), Listener()) for _ in range(3))
    now = time.monotonic()
    hurrying.allowance.spend(100.0, now)
    assert worker._pace(hurrying, now) == 10 - 2
    other.allowance.spend(100.0, now)
    assert worker._pace(hurrying, now) == worker._pace(other, now) == (10 - 1) / 2


async def test_each_sample_is_measured_once(worker, spoken, monkeypatch):
    measured, add = [], LoadMeter.add
    counted = lambda meter, busy, updates, audio: measured.append(audio) or add(meter, busy, updates, audio)  # noqa: E731
    monkeypatch.setattr(LoadMeter, "add", counted)
    samples = spoken[0].samples.numpy()
    await play(worker, samples, options=Options(partials=False))
    assert len(measured) > 1
    assert sum(measured) == pytest.approx(len(samples) / 16_000)


async def test_audio_that_the_thread_has_but_nobody_looked_at_leaves_no_room(worker):
    feed = worker.open(Options(), Listener())
    feed.push(np.zeros(11 * 16_000, np.float32))
    for waiting_seconds, room in ((11, False), (9, True)):
        feed._receive(State(feed, [], 11 * 16_000, waiting_seconds * 16_000, False))
        assert feed._roomy.is_set() == room
    feed.drop()


async def test_the_first_step_tells_what_a_frame_costs_and_later_ones_correct_it(nano, monkeypatch):
    clock, asked, engine = iter([0.0, 1.0, 1.0, 4.0, 4.0, 4.0]), [], Engine(nano)
    work = Work(0, [Due(10_000, 10_000, False, 0)], 0)
    monkeypatch.setattr(network, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    monkeypatch.setattr(engine, "step", lambda most_frames: asked.append(most_frames) or work)
    thread = NetworkThread(engine, lambda _: None, lambda _: None)
    thread._loop = asyncio.get_running_loop()
    for _ in range(3):
        thread._step()
    assert asked == [LEAST_FRAMES, pytest.approx(1500, abs=1), pytest.approx(1250, abs=1)]


async def test_of_a_stream_that_is_over_or_dropped_nothing_is_kept(worker, spoken):
    feed = worker.open(Options(), Listener())
    feed.push(spoken[0].samples.numpy())
    assert await play(worker, spoken[1].samples.numpy())
    feed.drop()
    thread = worker._network
    await until(lambda: not (thread._said or thread._streams))
    assert not worker._feeds


async def test_an_event_that_was_on_its_way_reaches_nobody_who_is_gone(worker):
    listener = Listener()
    feed = worker.open(Options(), listener)
    feed.drop()
    feed._receive(State(feed, [Finalized("late")], 0, 0, False))
    assert listener.events == []
