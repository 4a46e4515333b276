"""The event loop's side of the network's thread: audio goes over, events come back, and neither waits for the other."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from types import TracebackType

import numpy as np

from model.features import SAMPLE_RATE
from streamer.allowance import Allowance, pace
from streamer.engine import Engine
from streamer.events import Error, Event, Finalized, Take
from streamer.load import LoadMeter
from streamer.metrics import Load
from streamer.network import NetworkThread, Report, State
from streamer.options import Options
from streamer.stream import Stream

MOST_WAITING_SECONDS = 10.0  # of a stream's audio that nobody has looked at; beyond it `Feed.room` waits
MOST_WISHES = 100  # to end a segment that were not fulfilled yet; beyond it `Feed.room` waits, too
LOOK_SECONDS = 0.25  # between looks whether those who speak live are gone


class Worker:
    """Runs an engine on a thread of its own. All methods are called on the event loop.

    ```
    async with Worker(engine) as worker:
        feed = worker.open(Options(), take=print)
        feed.push(samples)
    ```
    """

    def __init__(
        self, engine: Engine, most_waiting_seconds: float = MOST_WAITING_SECONDS, share_of_a_speaker: float = 0.0
    ) -> None:
        """Takes the engine for itself.

        Args:
            engine: what to run.
            most_waiting_seconds: of a stream's audio, before `Feed.room` waits.
            share_of_a_speaker: a guess of the part of the thread's time that one needs, which `refusal` goes by until
                it is measured; for those who ask it (`streamer.calibration`).
        """
        self.audio_seconds = 0.0  # taken since the start
        self.compute_seconds = 0.0  # spent since the start
        self.lost: asyncio.Future[BaseException]  # done when the thread has died, with what killed it
        self.most_waiting_samples = int(most_waiting_seconds * SAMPLE_RATE)
        self._feeds: set[Feed] = set()
        self._share_of_a_speaker = share_of_a_speaker
        self._meter: LoadMeter
        self._network: NetworkThread[Feed] = NetworkThread(engine, self._receive, self._die)

    async def __aenter__(self) -> Worker:
        self.lost = asyncio.get_running_loop().create_future()
        self._meter = LoadMeter(self._share_of_a_speaker, time.monotonic())
        self._network.start()
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._network.stop()
        await asyncio.to_thread(self._network.join)

    def check(self, options: Options) -> None:
        """Asks whether a stream with these options could be opened.

        Raises:
            WishError: the model cannot do what is asked for.
        """
        self._network.engine.prompt(options)

    def open(self, options: Options, take: Take) -> Feed:
        """Opens a stream; `take` is called on the loop with its events as they come, `Done` or `Error` last.

        Raises:
            WishError: the model cannot do what is asked for.
            RuntimeError: the thread has died: nobody would answer.
        """
        if self.lost.done():
            raise RuntimeError("the transcriber has stopped; start it again") from self.lost.result()
        self.check(options)
        feed = Feed(self, take)
        self._feeds.add(feed)
        self._network.do(partial(self._network.open, feed, options))
        return feed

    def refusal(self) -> str | None:
        """Why one more stream would be too much for this machine just now; None: it is welcome."""
        self._meter.pass_time(time.monotonic(), self._speakers)
        return self._meter.refusal()

    @property
    def load(self) -> Load:
        """Figures of the moment."""
        self._meter.pass_time(time.monotonic(), self._speakers)
        waiting = sum(feed.waiting_seconds for feed in self._feeds)
        return self._meter.load(self._speakers, waiting)

    @property
    def _speakers(self) -> int:
        return sum(feed.attended for feed in self._feeds)

    def _pace(self, feed: Feed, now: float) -> float:
        others = [other.allowance for other in self._feeds if other is not feed]
        live = sum(other.is_live(now) for other in others)
        return pace(self._meter.carried, live, 1 + sum(other.owed_seconds(now) > 0 for other in others))

    def _receive(self, report: Report[Feed]) -> None:
        self.compute_seconds += report.busy_seconds
        self._meter.pass_time(time.monotonic(), self._speakers)
        taken = sum(state.taken_samples - state.owner.taken_samples for state in report.streams)
        self._meter.add(report.busy_seconds, report.work.updates, taken / SAMPLE_RATE)
        for state in report.streams:
            self._pass_on(state)

    def _pass_on(self, state: State[Feed]) -> None:
        if state.done:
            self._feeds.discard(state.owner)
        try:
            state.owner._receive(state)
        except Exception as error:  # of whoever listens to this stream: the others must still hear of theirs
            message = "a listener failed"
            asyncio.get_running_loop().call_exception_handler({"message": message, "exception": error})

    def _die(self, error: BaseException) -> None:
        ended = Error("internal", "the transcriber has stopped; connect again later")
        for feed in list(self._feeds):
            self._pass_on(State(feed, [ended], feed._pushed, 0, True))
        self.lost.set_result(error)


class Feed:
    """A stream as the event loop sees it."""

    def __init__(self, worker: Worker, take: Take) -> None:
        """Made by `Worker.open`."""
        self._worker, self._network, self._tell = worker, worker._network, take
        self._pushed = 0  # samples
        self.taken_samples = 0  # of them, known to the thread
        self._waiting = 0  # of these, not yet looked at
        self._wishes = 0  # to end a segment, not yet fulfilled
        self.attended = True  # somebody is there who may speak; a stream that waits for its client costs nothing
        self.allowance = Allowance(time.monotonic())
        self._roomy = asyncio.Event()
        self._roomy.set()

    def push(self, samples: np.ndarray) -> None:
        """Takes the next samples `[T]`, float32, 16 kHz; they are kept until they are worked on."""
        self._pushed += len(samples)
        self._worker.audio_seconds += len(samples) / SAMPLE_RATE
        # digital silence, as it stands for sound that was left out, costs next to nothing
        self.allowance.spend(len(samples) / SAMPLE_RATE if samples.any() else 0.0, time.monotonic())
        self._network.do(partial(self._network.tell, self, Stream.push, samples))
        self._measure()

    def finalize(self, name: str) -> None:
        """Ends the open segment here; `Finalized` with this name comes behind its final."""
        self._wishes += 1
        self._network.do(partial(self._network.tell, self, Stream.mark, name))
        self._measure()

    def end(self) -> None:
        """No more samples will come: the last events follow, `Done` at the end."""
        self._network.do(partial(self._network.tell, self, Stream.end))

    def drop(self) -> None:
        """Forgets the stream, whatever is being done; no event follows."""
        self._tell = _nobody
        self._worker._feeds.discard(self)
        self._network.do(partial(self._network.drop, self))

    @property
    def waiting_seconds(self) -> float:
        """Audio that was pushed and nobody has looked at."""
        return (self._pushed - self.taken_samples + self._waiting) / SAMPLE_RATE

    async def room(self) -> None:
        """Waits until more may be pushed, or wished. Whoever does not wait is not refused, but fills the memory.

        While others speak live, that is also until it would no longer hinder them.
        """
        await self._roomy.wait()
        began = now = time.monotonic()
        owed_seconds = self.allowance.owed_seconds(now)
        while owed_seconds and (wait := owed_seconds / self._worker._pace(self, now) - (now - began)) > 0:
            await asyncio.sleep(min(wait, LOOK_SECONDS))
            now = time.monotonic()
        self.allowance.forgive(now)

    def _receive(self, state: State[Feed]) -> None:
        self.taken_samples, self._waiting = state.taken_samples, state.waiting_samples
        self._wishes -= sum(isinstance(event, Finalized) for event in state.events)
        self._measure()
        if state.events:
            self._tell(state.events)

    def _measure(self) -> None:
        waiting_samples = self._pushed - self.taken_samples + self._waiting
        if waiting_samples < self._worker.most_waiting_samples and self._wishes < MOST_WISHES:
            self._roomy.set()
        else:
            self._roomy.clear()


def _nobody(_: list[Event]) -> None:
    """Events of a dropped stream that were on their way."""
