"""What the benchmarks share: settings, clocks, recordings, a stream to feed.

CPU seconds are those of this process (`time.process_time`), so other work on the machine blurs them little; ratios are
made of figures of one run.
"""

from __future__ import annotations

import json
import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from model.features import SAMPLE_RATE
from model.speech import GraniteSpeech
from streamer.engine import Engine
from streamer.events import Event, Final, Partial
from streamer.options import Options
from streamer.sound.recordings import open_recording
from streamer.stream import Stream

AUDIO = Path(__file__).parent.parent / "audio"
FEED_SAMPLES = SAMPLE_RATE // 10  # what live audio arrives in: 100 ms
LOUD = 0.01  # amplitude; what is quieter at the ends of a recording is trimmed where speech must not pause


@dataclass(frozen=True)
class Settings:
    """What a run was told; written beside its results."""

    model: str = "nano"
    threads: int = 1
    repeats: int = 3
    minutes: float = 60.0  # of audio, for `endless` and `microphone`
    layers: int = 0  # of each stack, for `offline_2b` and `live_2b`; 0: all

    def load(self) -> GraniteSpeech:
        """The model, warmed up: the first calls are slow."""
        model = GraniteSpeech.load(self.model, dtype=torch.float32)
        for _ in range(2):
            model.transcribe(recordings()["talk"][: 4 * SAMPLE_RATE])
        return model


@dataclass
class Clock:
    """Adds up what happens inside `with clock:`."""

    cpu: float = 0.0  # seconds of this process, all threads
    wall: float = 0.0  # seconds
    _since: tuple[float, float] = (0.0, 0.0)

    def __enter__(self) -> Clock:
        self._since = time.process_time(), time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.cpu += time.process_time() - self._since[0]
        self.wall += time.perf_counter() - self._since[1]


def cpu_seconds(work: Callable[[], object]) -> float:
    """What one call costs."""
    with Clock() as clock:
        work()
    return clock.cpu


@cache
def recordings() -> dict[str, Tensor]:
    """Name to samples `[T]` of every recording in tests/audio."""
    found = {}
    for path in sorted(AUDIO.glob("*.flac")):
        with open_recording(str(path)) as recording:
            found[path.stem] = torch.from_numpy(np.concatenate(list(recording.chunks(SAMPLE_RATE))))
    return found


def texts() -> dict[str, str]:
    """Name to reference transcript of the recordings."""
    lines = map(json.loads, (AUDIO / "manifest.jsonl").read_text().splitlines())
    found = {Path(line["file"]).stem: line["text"] for line in lines}
    return found | {path.stem: path.read_text().strip() for path in AUDIO.glob("*.txt")}


@cache
def phrases() -> list[Tensor]:
    """The short recordings without the quiet at their ends."""
    trimmed = []
    for name, samples in recordings().items():
        if name != "talk":
            loud = (samples.abs() > LOUD).nonzero().flatten()
            trimmed.append(samples[loud[0] : loud[-1] + 1])
    return trimmed


def unbroken(seconds: float, seed: int, gain_db: float = 0.0) -> Tensor:
    """Phrases in random order without pauses, up to this length; each louder or softer by up to `gain_db`."""
    chance, joined = random.Random(seed), torch.empty(0)
    while len(joined) < seconds * SAMPLE_RATE:
        gain = 10 ** (chance.uniform(-gain_db, gain_db) / 20)
        joined = torch.cat([joined, chance.choice(phrases()) * gain])
    return joined[: int(seconds * SAMPLE_RATE)].clamp(-1, 1)


@dataclass
class Captions:
    """Follows one stream's events and checks the promise: what was committed stays, the final included."""

    finals: list[Final] = field(default_factory=list)
    partials: int = 0
    retractions: int = 0  # events that changed committed text; must be 0
    _committed: str = ""

    def show(self, events: Sequence[Event]) -> None:
        """Takes the next events."""
        for event in events:
            if isinstance(event, Partial):
                self.partials += 1
                self.retractions += not event.committed.startswith(self._committed)
                self._committed = event.committed
            elif isinstance(event, Final):
                self.finals.append(event)
                self.retractions += not event.text.startswith(self._committed)
                self._committed = ""


def feeds(stream: Stream, samples: Tensor) -> Iterator[tuple[float, Clock, list[Event]]]:
    """Feeds 100 ms at a time: seconds fed so far, what it cost, the events. The last is `finish`."""
    for start in range(0, len(samples), FEED_SAMPLES):
        with Clock() as clock:
            events = stream.feed(samples[start : start + FEED_SAMPLES])
        yield min(start + FEED_SAMPLES, len(samples)) / SAMPLE_RATE, clock, events
    with Clock() as clock:
        events = stream.finish()
    yield len(samples) / SAMPLE_RATE, clock, events


def streamed(engine: Engine, samples: Tensor, options: Options) -> Captions:
    """The whole of a recording through the streaming path."""
    captions = Captions()
    for _, _, events in feeds(engine.open(options), samples):
        captions.show(events)
    return captions


def cut_out(samples: Tensor, final: Final) -> Tensor:
    """The audio that a final is about."""
    return samples[round(final.start * SAMPLE_RATE) : round(final.end * SAMPLE_RATE)]


def quantile(values: Sequence[float], share: float) -> float:
    """The value that this share of all does not exceed; NaN of nothing."""
    return float(np.quantile(values, share)) if len(values) else float("nan")


def median(values: Sequence[float]) -> float:
    """The middle one."""
    return statistics.median(values)
