"""The thread that owns the network: it does what it is told, works while there is work, and reports after each step.

What it tells, it tells on the event loop; a stream is known by its owner, whoever that is.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from streamer.engine import Engine, Work
from streamer.events import Error, Event
from streamer.options import Options
from streamer.stream import Stream

log = logging.getLogger("granite_stream")

STEP_SECONDS = 0.15  # what a step may take: a final that comes up waits no longer than that
LEAST_FRAMES = 50  # encoded in a step however slow the machine is: one second

Owner = TypeVar("Owner", bound=Hashable)


@dataclass(frozen=True, slots=True)
class State(Generic[Owner]):
    """How a stream stands after a step."""

    owner: Owner
    events: list[Event]
    taken_samples: int
    waiting_samples: int
    done: bool


@dataclass(frozen=True, slots=True)
class Report(Generic[Owner]):
    """What the thread tells the loop after a step."""

    work: Work
    busy_seconds: float
    streams: list[State[Owner]]


class NetworkThread(threading.Thread, Generic[Owner]):
    """Does what it is told, and steps the engine while there is work. `do` and `stop` may be called from elsewhere."""

    def __init__(
        self, engine: Engine, report: Callable[[Report[Owner]], None], die: Callable[[BaseException], None]
    ) -> None:
        """Takes the engine, and what to call on the event loop after each step and when the thread dies."""
        super().__init__(name="network", daemon=True)
        self.engine = engine
        self._report, self._die = report, die
        self._loop: asyncio.AbstractEventLoop
        self._streams: dict[Owner, Stream] = {}
        self._said: dict[Owner, tuple[int, int]] = {}  # what the loop knows of each
        # What is to be done. It is bounded by what each feed may have waiting, so it needs no bound of its own.
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
        states = [state for owner, stream in self._streams.items() if (state := self._news(owner, stream))]
        for state in states:
            if state.done:
                stream = self._streams.pop(state.owner)
                del self._said[state.owner]
                if stream.failure is not None:
                    log.error("a stream broke", exc_info=stream.failure)
        if work or states:
            self._loop.call_soon_threadsafe(self._report, Report(work, took, states))
        return bool(work)

    def _news(self, owner: Owner, stream: Stream) -> State[Owner] | None:
        """How a stream stands, if it is not as it was: of hundreds, most are."""
        events, standing = stream.events(), (stream.taken_samples, stream.waiting_samples)
        if not events and not stream.done and self._said.get(owner) == standing:
            return None
        self._said[owner] = standing
        return State(owner, events, *standing, stream.done)

    # --- orders ---

    def open(self, owner: Owner, options: Options) -> None:
        """Opens a stream."""
        try:
            self._streams[owner] = self.engine.open(options)
        except Exception as error:  # one stream that cannot be must not end the thread of all
            log.error("a stream could not be opened", exc_info=error)
            state = State(owner, [Error.of(error)], 0, 0, done=True)
            self._loop.call_soon_threadsafe(self._report, Report(Work(0, [], 0), 0.0, [state]))

    def tell(self, owner: Owner, message: Callable[..., None], *given: object) -> None:
        """Passes something on to a stream, if it is still there."""
        if stream := self._streams.get(owner):
            try:
                message(stream, *given)
            except Exception as error:  # nor what one client sent
                stream.fail(error)

    def drop(self, owner: Owner) -> None:
        """Closes a stream."""
        self._said.pop(owner, None)
        if stream := self._streams.pop(owner, None):
            try:
                self.engine.close(stream)
            except Exception as error:  # nor what becomes of one that nobody wants any more
                log.error("a stream broke as it was closed", exc_info=error)
