"""One run with a microphone and a network that do as the test says; the real ones are in test_microphone.py."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import numpy as np
import pytest

from clients.errors import CaptionsError, of_close
from clients.live import Captioning, level_db
from clients.remote import RemoteFeed
from clients.status import Status
from clients.succession import Succession
from streamer.events import Done, Error, Event, Final, Partial, SpeechStarted, Word
from tests.media import tone

SECOND = 16_000


class Microphone:
    """Gives a second of sound at each look."""

    def __init__(self) -> None:
        self.muted = self.gone = self.stopped = False
        self.device = SimpleNamespace(name="Desk", is_loopback=False)

    async def next(self) -> np.ndarray:
        await asyncio.sleep(0)
        return tone(1.0)

    async def stop(self) -> np.ndarray:
        self.stopped = True
        return tone(0.5)


class Feed:
    """Keeps what it gets and answers the end as it is told to."""

    def __init__(self, answer: Event | None = None) -> None:
        self.waiting_seconds, self.pushed, self.answer = 0.0, [], answer or Done(1.0)
        self.ended = self.dropped = False
        self.captioning: Captioning

    def push(self, samples: np.ndarray) -> None:
        self.pushed.append(samples)

    def end(self) -> None:
        self.ended = True
        if self.answer:
            self.captioning.take([self.answer])

    def drop(self) -> None:
        self.dropped = True

    @property
    def samples(self) -> np.ndarray:
        return np.concatenate(self.pushed)


class Display:
    """Keeps what it shows; an error is raised instead."""

    def __init__(self, error: Exception | None = None) -> None:
        self.shown: list[Event] = []
        self.said: list[str] = []
        self.error = error
        self.marks: list[int] = []
        self.refresh = lambda: None
        self.say = self.said.append
        self.mark = self.marks.append

    def show(self, event: Event) -> None:
        if self.error:
            raise self.error
        self.shown.append(event)


def prepared(display: Display, feed: Feed) -> Captioning:
    feed.captioning = Captioning(Microphone(), display, Status("Desk"))
    return feed.captioning


async def until(condition, seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  # nothing else tells
            await asyncio.sleep(0)


async def test_it_listens_until_it_is_stopped_and_waits_for_the_last_words() -> None:
    display, feed = Display(), Feed()
    captioning = prepared(display, feed)
    run = asyncio.create_task(captioning.run(feed))
    await until(lambda: len(feed.pushed) == 3)
    captioning.press("q")
    await run
    assert len(feed.samples) % SECOND == SECOND / 2, "what the microphone still held is heard too"
    assert display.shown == [Done(1.0)]
    assert not captioning.abandoned


async def test_a_second_stop_does_not_wait() -> None:
    feed = Feed()
    feed.answer = None
    captioning = prepared(Display(), feed)
    run = asyncio.create_task(captioning.run(feed))
    await until(lambda: len(feed.pushed) == 1)
    captioning.stop()
    captioning.stop()
    await run
    assert captioning.abandoned
    assert feed.dropped


async def test_a_window_that_is_closed_twice_still_waits_for_the_last_words() -> None:
    display, feed = Display(), Feed()
    feed.answer = None
    captioning = prepared(display, feed)
    run = asyncio.create_task(captioning.run(feed))
    await until(lambda: len(feed.pushed) == 1)
    captioning.hang_up()
    captioning.hang_up()
    await until(lambda: feed.ended)
    captioning.take([Done(1.0)])
    await run
    assert display.shown == [Done(1.0)]
    assert not captioning.abandoned


async def test_what_is_skipped_until_the_end_is_said_and_counts() -> None:
    display, feed = Display(), Feed()
    captioning = prepared(display, feed)
    run = asyncio.create_task(captioning.run(feed))
    await until(lambda: len(feed.pushed) == 2)
    feed.waiting_seconds = 31.0
    await until(lambda: captioning._skipped_samples == 3 * SECOND)
    captioning.stop()
    await run
    assert "s are not written down" in display.said[-1]
    heard_seconds = captioning._heard_samples / SECOND
    assert len(feed.samples) == heard_seconds * SECOND
    assert not feed.samples[2 * SECOND :].any()


async def test_of_hours_that_are_skipped_seconds_are_pushed_and_times_stay_true() -> None:
    display, feed = Display(), Feed()
    captioning = prepared(display, feed)
    captioning._feed = feed
    hour = 3600
    for waiting_seconds, seconds in ((0.0, 10), (31.0, 4 * hour), (0.0, 10), (31.0, 2), (0.0, 10)):
        feed.waiting_seconds = waiting_seconds
        captioning._push(np.zeros(SECOND, np.float32).repeat(seconds))
    assert len(feed.samples) == (10 + 5 + 10 + 2 + 10) * SECOND
    before, behind = Word("before", 9.0, 9.5, 1.0), Word("behind", 15.5, 16.0, 1.0)
    captioning.take(
        [Final(0, 8.0, 13.2, "before", (before,)), SpeechStarted(1, 14.8), Partial(1, 14.8, 16.0, "", "be")]
    )
    captioning.take([Final(1, 14.8, 16.4, "behind", (behind,)), Done(37.0)])
    away = 4 * hour - 5
    assert display.shown == [
        Final(0, 8.0, 13.2, "before", (before,)),
        SpeechStarted(1, away + 14.8),
        Partial(1, away + 14.8, away + 16.0, "", "be"),
        Final(1, away + 14.8, away + 16.4, "behind", (Word("behind", away + 15.5, away + 16.0, 1.0),)),
        Done(4 * hour + 32.0),
    ]


async def test_a_machine_that_is_too_slow_leaves_sound_out_and_says_so() -> None:
    display, feed = Display(), Feed()
    captioning = prepared(display, feed)
    for waiting_seconds in (29.0, 31.0, 20.0, 6.0, 4.0):
        feed.waiting_seconds = waiting_seconds
        captioning._feed = feed
        captioning._push(tone(1.0))
    too_slow = "this machine is too slow for this model"
    assert display.said == [f"from now on nothing is written down: {too_slow}", f"3 s are not written down: {too_slow}"]
    assert len(feed.samples) == 5 * SECOND, "silence stands for them, so that times stay true"
    assert not feed.samples[SECOND : 4 * SECOND].any()
    assert feed.samples[4 * SECOND :].any()


@pytest.mark.parametrize("error", [BrokenPipeError(), OSError(28, "No space left on device")])
async def test_captions_that_cannot_be_written_end_it(error: OSError) -> None:
    feed = Feed()
    captioning = prepared(Display(error), feed)
    run = asyncio.create_task(captioning.run(feed))
    await until(lambda: len(feed.pushed) == 1)
    captioning.take([Done(1.0)])
    with pytest.raises(type(error)):
        await run


async def test_what_breaks_it_stops_the_microphone_while_there_is_a_screen() -> None:
    feed = Feed()
    captioning = prepared(Display(OSError(28, "No space left on device")), feed)
    run = asyncio.create_task(captioning.run(feed))
    await until(lambda: len(feed.pushed) == 1)
    captioning.take([Done(1.0)])
    with pytest.raises(OSError, match="No space left"):
        await run
    assert captioning._microphone.stopped


async def test_a_network_that_gives_up_ends_it() -> None:
    feed = Feed()
    captioning = prepared(Display(), feed)
    run = asyncio.create_task(captioning.run(feed))
    await until(lambda: len(feed.pushed) == 1)
    captioning.take([Error("internal", "this stream broke")])
    with pytest.raises(CaptionsError, match="this stream broke"):
        await run


async def test_keys_mute_and_mark() -> None:
    display, feed = Display(), Feed()
    captioning = prepared(display, feed)
    captioning.press("m")
    assert captioning._microphone.muted
    for key in "Kkxm":
        captioning.press(key)
    assert display.marks == [1, 2]
    assert not captioning._microphone.muted


async def test_keys_come_again_once_the_terminal_is_ours_again() -> None:
    taken: list[bool] = []
    captioning = prepared(Display(), feed := Feed())
    captioning.keys = SimpleNamespace(work=False, take=lambda: taken.append(True), give_back=lambda: None)
    run = asyncio.create_task(captioning.run(feed))
    await until(lambda: taken)
    captioning.press("q")
    await run


async def test_a_mark_that_cannot_be_written_ends_the_run_and_says_why() -> None:
    def refuse(number: int) -> None:
        raise OSError(28, "No space left on device")

    captioning = prepared(display := Display(), feed := Feed())
    display.mark = refuse
    run = asyncio.create_task(captioning.run(feed))
    await asyncio.sleep(0)
    captioning.press("k")
    with pytest.raises(OSError, match="No space left"):
        await run


async def test_the_most_urgent_notice_is_shown() -> None:
    captioning = prepared(Display(), feed := Feed())
    captioning._feed = feed
    assert captioning._notice() == ""
    captioning._hear(np.zeros(6 * SECOND, np.float32))
    assert captioning._notice() == "no sound: muted elsewhere, or forbidden?"
    feed.waiting_seconds = 4.2
    assert captioning._notice() == "4 s behind"
    captioning._microphone.muted = True
    assert captioning._notice() == "muted"
    captioning._microphone.gone = True
    assert captioning._notice() == "waiting for Desk"


def test_loudness_is_told_below_full_scale() -> None:
    assert level_db(np.ones(100, np.float32)) == 0.0
    assert level_db(tone(1.0)) == pytest.approx(-9.03, abs=0.01)
    assert level_db(np.zeros(100, np.float32)) == level_db(np.empty(0, np.float32)) == -np.inf


class BrokenCaptions:
    """A stream that ends as nobody wished, perhaps behind its last words."""

    model, online, waiting_seconds = "none", True, 0.0

    def __init__(self, error: Exception, *events: Event) -> None:
        self.error, self.events = error, list(events)

    async def send(self, _: np.ndarray) -> None:
        """Takes it."""

    def __aiter__(self) -> BrokenCaptions:
        return self

    async def __anext__(self) -> Event:
        if self.events:
            return self.events.pop(0)
        raise self.error


@pytest.mark.parametrize(
    "captions", [BrokenCaptions(ZeroDivisionError()), BrokenCaptions(of_close(1012, "a restart"), Done(1.0))]
)
async def test_whatever_breaks_a_far_stream_ends_the_run(captions: BrokenCaptions) -> None:
    captioning = Captioning(Microphone(), Display(), Status("Desk"))
    async with asyncio.timeout(10):
        with pytest.raises(type(captions.error)):
            await captioning.run(RemoteFeed(Succession(captions, pytest.fail), captioning))


async def test_ctrl_z_leaves_the_screen_and_starts_the_microphone_again(monkeypatch: pytest.MonkeyPatch) -> None:
    captioning, done = prepared(Display(), Feed()), list[str]()
    captioning._screen.leave = lambda: done.append("leave")
    captioning._microphone.restart = lambda: done.append("restart")
    monkeypatch.setattr("os.kill", lambda *_: done.append("stop"))
    captioning.suspend()
    assert done == ["leave", "stop", "restart"]


async def test_a_third_stop_does_no_harm() -> None:
    captioning = prepared(Display(), Feed())
    for _ in range(3):
        captioning.stop()
    assert captioning.abandoned


async def test_what_plays_here_may_be_silent_for_long_and_the_meter_falls_slowly() -> None:
    captioning = prepared(Display(), feed := Feed())
    captioning._feed, captioning._status.level_db = feed, -10.0
    captioning._hear(np.zeros(SECOND, np.float32))
    assert captioning._status.level_db == -13.0
    captioning._hear(np.zeros(6 * SECOND, np.float32))
    assert captioning._notice()
    captioning._microphone.device.is_loopback = True
    assert captioning._notice() == ""
