"""The thread that owns the network. The event loop hands it audio and gets events back; neither waits for the other."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from types import TracebackType

import numpy as np

from model.features import SAMPLE_RATE
from streamer.calibration import share_of_a_speaker
from streamer.engine import Engine, Work
from streamer.events import Error, Event
from streamer.load import Load, LoadMeter
from streamer.options import Options
from streamer.stream import Stream

MOST_WAITING_SECONDS = 10.0  # of a stream's audio that nobody has looked at; beyond it `Feed.room` waits
STEP_SECONDS = 0.15  # what a step may take: a final that comes up waits no longer than that
LEAST_FRAMES = 50  # encoded in a step however slow the machine is: one second

Take = Callable[[list[Event]], None]


class Worker:
    """Runs an engine on a thread of its own. All methods are called on the event loop.

    ```
    async with Worker(engine) as worker:
        feed = worker.open(Options(), take=print)
        feed.push(samples)
    ```
    """

    def __init__(self, engine: Engine, most_waiting_seconds: float = MOST_WAITING_SECONDS) -> None:
        """Takes the engine for itself."""
        self.audio_seconds = 0.0  # taken since the start
        self.compute_seconds = 0.0  # spent since the start
        self.lost: asyncio.Future[BaseException]  # done when the thread has died, with what killed it
        self.most_waiting_samples = int(most_waiting_seconds * SAMPLE_RATE)
        self._feeds: set[Feed] = set()
        self._meter: LoadMeter
        self._network = NetworkThread(engine, self._receive, self._die)

    async def __aenter__(self) -> Worker:
        self.lost = asyncio.get_running_loop().create_future()
        guess = await asyncio.to_thread(share_of_a_speaker, self._network.engine.model)
        self._meter = LoadMeter(guess, time.monotonic())
        self._network.start()
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._network.stop()
        await asyncio.to_thread(self._network.join)

    def open(self, options: Options, take: Take) -> Feed:
        """Opens a stream; `take` is called on the loop with its events as they come, `Done` or `Error` last.

        Raises:
            WishError: the model cannot do what is asked for.
        """
        self._network.engine.prompt(options)
        feed = Feed(self, take)
        self._feeds.add(feed)
        self._network.do(partial(self._network.open, feed, options))
        return feed

    def refusal(self) -> str | None:
        """Why one more stream would be too much for this machine just now; None: it is welcome."""
        self._meter.pass_time(time.monotonic(), len(self._feeds))
        return self._meter.refusal()

    @property
    def load(self) -> Load:
        """Figures of the moment."""
        self._meter.pass_time(time.monotonic(), len(self._feeds))
        waiting = sum(feed.waiting_seconds for feed in self._feeds)
        return self._meter.load(len(self._feeds), waiting)

    def _receive(self, report: Report) -> None:
        self.compute_seconds += report.busy_seconds
        self._meter.pass_time(time.monotonic(), len(self._feeds))
        self._meter.add(report.busy_seconds, report.work.updates)
        for state in report.streams:
            self._pass_on(state)

    def _pass_on(self, state: State) -> None:
        if state.done:
            self._feeds.discard(state.feed)
        try:
            state.feed._receive(state)
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
        self._taken = 0  # of them, known to the thread
        self._waiting = 0  # of these, not yet looked at
        self._roomy = asyncio.Event()
        self._roomy.set()

    def push(self, samples: np.ndarray) -> None:
        """Takes the next samples `[T]`, float32, 16 kHz; they are kept until they are worked on."""
        self._pushed += len(samples)
        self._worker.audio_seconds += len(samples) / SAMPLE_RATE
        self._network.do(partial(self._network.tell, self, Stream.push, samples))
        self._measure()

    def finalize(self, name: str) -> None:
        """Ends the open segment here; `Finalized` with this name comes behind its final."""
        self._network.do(partial(self._network.tell, self, Stream.mark, name))

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
        return (self._pushed - self._taken + self._waiting) / SAMPLE_RATE

    async def room(self) -> None:
        """Waits until more audio may be pushed. Whoever does not wait is not refused, but fills the memory."""
        await self._roomy.wait()

    def _receive(self, state: State) -> None:
        self._taken, self._waiting = state.taken_samples, state.waiting_samples
        self._measure()
        if state.events:
            self._tell(state.events)

    def _measure(self) -> None:
        if self._pushed - self._taken + self._waiting < self._worker.most_waiting_samples:
            self._roomy.set()
        else:
            self._roomy.clear()


@dataclass(frozen=True, slots=True)
class State:
    """How a stream stands after a step."""

    feed: Feed
    events: list[Event]
    taken_samples: int
    waiting_samples: int
    done: bool


@dataclass(frozen=True, slots=True)
class Report:
    """What the thread tells the loop after a step."""

    work: Work
    busy_seconds: float
    streams: list[State]


class NetworkThread(threading.Thread):
    """Does what it is told, and steps the engine while there is work. `do` and `stop` may be called from elsewhere."""

    def __init__(self, engine: Engine, report: Callable[[Report], None], die: Callable[[BaseException], None]) -> None:
        """Takes the engine, and what to call on the event loop after each step and when the thread dies."""
        super().__init__(name="network", daemon=True)
        self.engine = engine
        self._report, self._die = report, die
        self._loop: asyncio.AbstractEventLoop
        self._streams: dict[Feed, Stream] = {}
        self._said: dict[Feed, tuple[int, int]] = {}  # what the loop knows of each
        # What is to be done. Its audio is bounded by what each feed may have waiting, so it needs no bound of its own.
        self._orders: deque[Callable[[], None]] = deque()
        self._ordering = threading.Condition()
        self._stopping = False
        self._frame_seconds = 0.0  # what a frame costs, decoding included

    def start(self) -> None:
        """Begins; events will reach the loop that runs now."""
        self._loop = asyncio.get_running_loop()
        super().start()

    def do(self, order: Callable[[], None]) -> None:
        """Has something done on the thread, before its next step."""
        with self._ordering:
            self._orders.append(order)
            self._ordering.notify()

    def stop(self) -> None:
        """Ends after the step under way."""
        with self._ordering:
            self._stopping = True
            self._ordering.notify()

    def run(self) -> None:
        """The thread."""
        try:
            worked = False
            while self._obey(wait=not worked):
                worked = self._step()
        except BaseException as error:  # nobody else would see it: the loop must know, whatever it is
            self._loop.call_soon_threadsafe(self._die, error)

    def _obey(self, wait: bool) -> bool:
        """Does what was ordered; false when it is time to stop."""
        with self._ordering:
            if wait:
                self._ordering.wait_for(lambda: self._orders or self._stopping)
            orders, self._orders = self._orders, deque()
        for order in orders:
            order()
        return not self._stopping

    def _step(self) -> bool:
        began = time.perf_counter()
        fitting = int(STEP_SECONDS / self._frame_seconds) if self._frame_seconds else 0
        work = self.engine.step(max(LEAST_FRAMES, fitting))
        took = time.perf_counter() - began
        if frames := sum(update.frames for update in work.updates):
            weight = 0.1 if self._frame_seconds else 1.0
            self._frame_seconds += weight * (took / frames - self._frame_seconds)
        states = [state for feed, stream in self._streams.items() if (state := self._news(feed, stream))]
        for state in states:
            if state.done:
                del self._streams[state.feed], self._said[state.feed]
        if work or states:
            self._loop.call_soon_threadsafe(self._report, Report(work, took, states))
        return bool(work)

    def _news(self, feed: Feed, stream: Stream) -> State | None:
        """How a stream stands, if it is not as it was: of hundreds, most are."""
        events, standing = stream.events(), (stream.taken_samples, stream.waiting_samples)
        if not events and not stream.done and self._said.get(feed) == standing:
            return None
        self._said[feed] = standing
        return State(feed, events, *standing, stream.done)

    # --- orders ---

    def open(self, feed: Feed, options: Options) -> None:
        """Opens a feed's stream."""
        self._streams[feed] = self.engine.open(options)

    def tell(self, feed: Feed, message: Callable[..., None], *given: object) -> None:
        """Passes something on to a feed's stream, if it is still there."""
        if stream := self._streams.get(feed):
            try:
                message(stream, *given)
            except Exception as error:  # what one client sent must not end the thread of all
                stream.fail(error)

    def drop(self, feed: Feed) -> None:
        """Closes a feed's stream."""
        self._said.pop(feed, None)
        if stream := self._streams.pop(feed, None):
            self.engine.close(stream)


def _nobody(_: list[Event]) -> None:
    """Events of a dropped stream that were on their way."""
