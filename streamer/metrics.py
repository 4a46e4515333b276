"""What `/metrics` tells a Prometheus server. A registry of its own: nothing of other libraries, nothing global."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from streamer.delays import Delay

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
DELAY_SECONDS = (0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)  # borders of the histograms' buckets
DELAYS = {
    "update": "Of a partial, since the audio it is based on arrived.",
    "first_partial": "Of a segment's first text, since its first word began to arrive.",
    "commit": "Of a committed word, since its end arrived.",
    "final": "Of a final, since the end of its last word arrived; the silence of the endpoint included.",
}


@dataclass(frozen=True, slots=True)
class Load:
    """The worker's figures of the moment."""

    streams: int
    busy: float  # share of the network thread's time, 0 to 1
    needed: float  # share of it that the streams need at least
    update_seconds: float  # of new audio in an update, on average
    waiting_seconds: float  # of audio that nobody has looked at, all streams together


class Machine(Protocol):
    """The worker, as far as it is measured."""

    @property
    def load(self) -> Load:
        """Figures of the moment."""

    @property
    def audio_seconds(self) -> float:
        """Taken since the start."""

    @property
    def compute_seconds(self) -> float:
        """Spent since the start."""


class Metrics(Collector):
    """Counts what happens, and asks for the rest when it is scraped."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=False)
        self._delays = {
            kind: Histogram(f"granite_stream_{kind}_delay_seconds", text, buckets=DELAY_SECONDS, registry=self.registry)
            for kind, text in DELAYS.items()
        }
        self._refusals = Counter(
            "granite_stream_refusals", "Connections and sessions not taken.", ["reason"], registry=self.registry
        )
        self._errors = Counter(
            "granite_stream_errors", "Errors that ended a connection.", ["code"], registry=self.registry
        )
        self._sessions: Callable[[], dict[str, int]] = dict
        self._watchers: Callable[[], int] = int
        self._machine: Machine | None = None
        ProcessCollector(registry=self.registry)  # process_resident_memory_bytes and the like; nothing beyond Linux
        self.registry.register(self)

    def observe(self, delay: Delay) -> None:
        """A caption came so late."""
        self._delays[delay.kind].observe(delay.seconds)

    def refuse(self, reason: str) -> None:
        """A connection or session was not taken."""
        self._refusals.labels(reason).inc()

    def count_error(self, code: str) -> None:
        """A connection ended with an error."""
        self._errors.labels(code).inc()

    def count_sessions(self, counts: Callable[[], dict[str, int]]) -> None:
        """Where the number of sessions is known, by state."""
        self._sessions = counts

    def count_watchers(self, count: Callable[[], int]) -> None:
        """Where the number of connections that only read is known."""
        self._watchers = count

    def watch(self, machine: Machine) -> None:
        """The network is loaded."""
        self._machine = machine

    def page(self) -> bytes:
        """Everything, as Prometheus reads it."""
        return generate_latest(self.registry)

    def collect(self) -> Iterable[Metric]:
        """What is asked for at each scrape."""
        sessions = GaugeMetricFamily(
            "granite_stream_sessions", "Sessions with a connection, and without.", None, ["state"]
        )
        for state, count in self._sessions().items():
            sessions.add_metric([state], count)
        yield sessions
        yield GaugeMetricFamily("granite_stream_watchers", "Connections that read along.", self._watchers())
        if not self._machine:
            return
        load, audio, compute = self._machine.load, self._machine.audio_seconds, self._machine.compute_seconds
        yield CounterMetricFamily("granite_stream_audio_seconds", "Audio taken.", audio)
        yield CounterMetricFamily("granite_stream_compute_seconds", "Time the network worked.", compute)
        for name, text, value in (
            ("streams", "Streams that the network works on.", load.streams),
            ("queue_seconds", "Audio that waits for the network, all streams together.", load.waiting_seconds),
            ("busy_ratio", "Share of the time that the network works.", load.busy),
            ("needed_ratio", "Share that its streams need at least: near 0.85 new ones are refused.", load.needed),
            (
                "update_audio_seconds",
                "New audio in an update; it grows when the machine is behind.",
                load.update_seconds,
            ),
            (
                "real_time_factor",
                "Compute seconds a second of audio, since the start.",
                compute / audio if audio else 0,
            ),
        ):
            yield GaugeMetricFamily(f"granite_stream_{name}", text, value)
