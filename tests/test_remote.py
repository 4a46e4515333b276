"""The feed of a microphone at a daemon: what it does when a stream cannot go on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from itertools import pairwise

import jiwer
import numpy as np
import pytest

from clients import patience, succession
from clients.asking import ENCODING
from clients.connection import connect
from clients.errors import CaptionsError, RefusedError, UnauthorizedError, of_close
from clients.remote import RemoteFeed
from clients.succession import Succession
from model import GraniteSpeech
from streamer.events import Done, Event, Final, Partial, SpeechStarted
from tests.servers import until
from tests.speaking import FINALS_ONLY, PIECE, finals, local, recording, service

SILENCE = np.zeros(24_000, np.float32)


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "FIRST_WAIT_SECONDS", 0.01)


class Run:
    """Stands for `Captioning`: keeps what it is told."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.said: list[str] = []
        self.failure: Exception | None = None
        self.over = asyncio.Event()

    def take(self, events: list[Event]) -> None:
        self.events += events
        if isinstance(events[-1], Done):
            self.over.set()

    def fail(self, error: Exception) -> None:
        self.failure = error
        self.over.set()


def push(feed: RemoteFeed, samples: np.ndarray) -> None:
    for start in range(0, len(samples), PIECE):
        feed.push(samples[start : start + PIECE])


async def test_a_daemon_that_is_restarted_is_followed_by_the_next_one_without_a_word_lost(nano: GraniteSpeech) -> None:
    first, second = np.concatenate([recording(0), SILENCE]), recording(1)
    run = Run()
    async with service(nano) as one, service(nano) as other:
        choices = {"encoding": ENCODING, "partials": False}
        async with connect(one.url, **choices) as captions:
            feed = RemoteFeed(Succession(captions, run.said.append, partial(connect, other.url, **choices)), run)
            push(feed, first)
            await until(lambda: feed.waiting_seconds < 0.5 and finals(run.events))
            one.server.sessions.drain()
            await until(lambda: run.said)
            push(feed, second)
            assert feed.waiting_seconds == pytest.approx(len(second) / 16_000)
            feed.end()
            await asyncio.wait_for(run.over.wait(), 60)
            feed.drop()
        await other.all_gone()
    seconds = len(first) / 16_000
    expected = [*finals(local(nano, 0, FINALS_ONLY)), *finals(local(nano, 1, FINALS_ONLY))]
    found = finals(run.events)
    assert [final.text for final in found] == [final.text for final in expected]
    assert [final.segment for final in found] == list(range(len(found)))
    later = found[-1]
    assert later.start == pytest.approx(expected[-1].start + seconds, abs=0.002)
    assert [word.start for word in later.words] == pytest.approx(
        [word.start + seconds for word in expected[-1].words], abs=0.002
    )
    assert run.events[-1] == Done(pytest.approx((len(first) + len(second)) / 16_000, abs=0.002))
    assert run.said == [f"{of_close(1012, '')}. Trying again …", "the server is back"]


async def test_a_daemon_that_dies_while_somebody_speaks_loses_no_word(nano: GraniteSpeech) -> None:
    samples, run = recording(0), Run()
    async with service(nano) as one, service(nano) as other:
        async with connect(one.url, encoding=ENCODING, patience_seconds=0.5) as captions:
            streams = Succession(captions, run.said.append, partial(connect, other.url, encoding=ENCODING))
            feed = RemoteFeed(streams, run)
            half = len(samples) // 2
            push(feed, samples[:half])
            await until(lambda: any(isinstance(event, Partial) and event.draft for event in run.events))
            await until(lambda: feed.waiting_seconds < 0.5)
            for entry in list(one.server.sessions._entries.values()):
                one.server.sessions.forget(entry.session, "died")
            captions._socket.transport.abort()
            push(feed, samples[half:])
            feed.end()
            await asyncio.wait_for(run.over.wait(), 60)
            feed.drop()
        await other.all_gone()
    found, expected = finals(run.events), finals(local(nano, 0, FINALS_ONLY))
    assert run.failure is None
    assert [final.segment for final in found] == list(range(len(found)))
    assert all(before.end <= after.start for before, after in pairwise(found))
    said, heard = (" ".join(final.text for final in each) for each in (expected, found))
    assert jiwer.wer(said, heard) < 0.35, "at the seam a word may be heard in two parts"
    assert said.split()[-2:] == heard.split()[-2:]
    assert run.events[-1] == Done(pytest.approx(len(samples) / 16_000, abs=0.002))


class Scripted:
    """A stream that says this, and ends so."""

    model, online, waiting_seconds = "none", True, 0.0

    def __init__(self, *events: Event, error: Exception | None = None) -> None:
        self._events, self._error = list(events), error
        self.heard: list[np.ndarray] = []

    async def send(self, samples: np.ndarray) -> None:
        self.heard.append(samples)

    async def stop(self) -> None:
        """Nothing follows."""

    def __aiter__(self) -> Scripted:
        return self

    async def __anext__(self) -> Event:
        for _ in range(20):
            await asyncio.sleep(0)  # turns of the loop: what is to be sent goes out first
        if self._events:
            return self._events.pop(0)
        raise self._error or StopAsyncIteration


def following(*streams: Scripted | Exception):
    """Opens one stream after the other, or fails to."""
    line = iter(streams)

    @asynccontextmanager
    async def again() -> AsyncIterator[Scripted]:
        stream = next(line)
        if isinstance(stream, Exception):
            raise stream
        yield stream

    return again


async def test_what_was_shown_when_a_daemon_died_is_final_and_what_came_behind_it_is_sent_again() -> None:
    run, samples = Run(), np.arange(16_000, dtype="<f4")
    died = Scripted(
        SpeechStarted(0, 0.1),
        Partial(0, 0.1, 0.3, "so it", " is"),
        error=CaptionsError("the server forgot the session"),
    )
    lives = Scripted(SpeechStarted(0, 0.0), Final(0, 0.0, 0.5, "is done"), Done(0.5))
    busy = RefusedError("the server is busy")
    feed = RemoteFeed(Succession(died, run.said.append, following(busy, busy, lives)), run)
    feed.push(samples[:8_000])
    await until(lambda: died.heard)
    feed.push(samples[8_000:])
    await asyncio.wait_for(run.over.wait(), 10)
    feed.drop()
    assert run.failure is None
    assert [event for event in run.events if not isinstance(event, Partial)] == [
        SpeechStarted(0, 0.1),
        Final(0, 0.1, 0.3, "so it is"),
        SpeechStarted(1, 0.3),
        Final(1, 0.3, 0.8, "is done"),
        Done(0.8),
    ]
    assert np.concatenate(lives.heard).tolist() == samples[4_800:].tolist()
    assert run.said == [
        "the server forgot the session. Trying again …",
        "the server is busy. Trying again …",
        "the server is back",
    ]


@pytest.mark.parametrize("ends", ["hopeless", "ended", "alone"])
async def test_where_another_stream_would_not_help_the_run_ends(ends: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(succession, "OUTAGE_SECONDS", 0.0)
    run, lost, wrong = Run(), CaptionsError("lost"), UnauthorizedError("another token")
    again = None if ends == "alone" else following(wrong)
    feed = RemoteFeed(Succession(Scripted(error=lost), run.said.append, again), run)
    if ends == "ended":
        feed.end()
    await asyncio.wait_for(run.over.wait(), 10)
    assert run.failure is (wrong if ends == "hopeless" else lost)


async def test_after_a_second_loss_nothing_final_is_said_again() -> None:
    run, samples = Run(), np.arange(16_000, dtype="<f4")
    died = Scripted(SpeechStarted(0, 0.1), Partial(0, 0.1, 0.3, "so it", ""), error=CaptionsError("gone"))
    then = Scripted(SpeechStarted(0, 0.1), Final(0, 0.1, 0.5, "is done"), error=CaptionsError("gone"))
    last = Scripted(Done(0.2))
    feed = RemoteFeed(Succession(died, run.said.append, following(then, last)), run)
    feed.push(samples)
    await asyncio.wait_for(run.over.wait(), 10)
    feed.drop()
    assert np.concatenate(last.heard).tolist() == samples[12_800:].tolist()


async def test_a_send_that_fails_when_the_next_stream_is_open_goes_there() -> None:
    gone = asyncio.Event()

    class Late(Scripted):
        async def send(self, samples: np.ndarray) -> None:
            await gone.wait()
            raise CaptionsError("lost")

    lives = Scripted(SpeechStarted(0, 0.0))
    streams = Succession(Late(error=CaptionsError("lost")), lambda _: None, following(lives))
    sending, events = asyncio.create_task(streams.send(np.zeros(1600, np.float32))), streams.events()
    assert await anext(events) == SpeechStarted(0, 0.0)  # of the next stream
    gone.set()
    async with asyncio.timeout(10):
        await sending
    assert [len(each) for each in lives.heard] == [1600]
    await events.aclose()


async def test_who_sends_to_a_stream_that_was_left_is_told() -> None:
    streams = Succession(Scripted(SpeechStarted(0, 0.0)), lambda _: None)
    events = streams.events()
    await anext(events)
    await events.aclose()
    with pytest.raises(CaptionsError, match="the stream was left"):
        await streams.send(np.zeros(1600, np.float32))


async def test_a_segment_that_began_before_the_last_final_ended_is_kept() -> None:
    streams = Succession(Scripted(), lambda _: None)
    await streams.send(np.arange(32_000, dtype="<f4"))
    for event in (SpeechStarted(0, 0.1), SpeechStarted(1, 0.8), Final(0, 0.1, 1.0, "so")):
        streams._take(event)
    assert streams._kept_from == 12_800
