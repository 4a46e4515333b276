"""Plays a speech to a stream and keeps what it said, and when.

Two clocks: the audio that had been fed when an event came, and the compute of one thread behind it. A feed begins
when its 100 ms of audio are there and the work before it is done, as on a machine that does nothing else; it lasts as
many seconds as it took of the processor.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from unittest.mock import patch

from streamer.engine import Engine
from streamer.events import Final, Partial
from streamer.options import Options
from streamer.segment import Segment
from tests.benchmarks.common import Captions, Clock, cut_out, feeds
from tests.benchmarks.evaluation.corpus import Speech
from tests.benchmarks.stages import Stages


@dataclass(frozen=True, slots=True)
class Said:
    """An event."""

    event: Partial | Final
    fed: float  # seconds of audio
    late: float  # seconds of compute after that

    @property
    def time(self) -> float:
        """On both clocks."""
        return self.fed + self.late


@dataclass
class Performance:
    """What a stream made of a speech."""

    speech: Speech
    said: list[Said]
    retractions: int
    cpu: float  # seconds, of all of it
    forwards: int  # of the language model
    updates: int  # of the encoder, each with at least one forward if there are letters
    offline: list[str]  # what `transcribe` writes for each final's audio
    offline_cpu: float  # seconds

    @property
    def finals(self) -> list[Final]:
        """In order."""
        return [said.event for said in self.said if isinstance(said.event, Final)]

    @property
    def text(self) -> str:
        """Of all finals."""
        return " ".join(final.text for final in self.finals)

    @property
    def segments(self) -> list[list[Said]]:
        """The events of each, its final last."""
        return [[said for said in self.said if said.event.segment == final.segment] for final in self.finals]


@dataclass
class Player:
    """Plays with one engine. What is offline for a stretch of audio is found out once, whoever asks."""

    engine: Engine
    _offline: dict[tuple[int, float, float], tuple[str, float]] = field(default_factory=dict)

    def play(self, speech: Speech, options: Options) -> Performance:
        """One stream."""
        said, free_at, whole = list[Said](), 0.0, 0.0
        captions, stages = Captions(), Stages()
        with stages.watch(self.engine):
            for fed, clock, events in feeds(self.engine.open(options), speech.samples):
                free_at = max(free_at, fed) + clock.cpu
                whole += clock.cpu
                captions.show(events)
                said += [Said(event, fed, free_at - fed) for event in events if isinstance(event, Partial | Final)]
        offline = [self._transcribed(speech, final) for final in captions.finals]
        return Performance(
            speech,
            said,
            captions.retractions,
            whole,
            stages.counts["forwards"],
            stages.counts["encode_calls"],
            [text for text, _ in offline],
            sum(cpu for _, cpu in offline),
        )

    def whole(self, speech: Speech) -> str:
        """What offline makes of all of it at once."""
        return self.engine.model.transcribe(speech.samples)

    def _transcribed(self, speech: Speech, final: Final) -> tuple[str, float]:
        place = (id(speech), final.start, final.end)
        if place not in self._offline:
            with Clock() as clock:
                text = self.engine.model.transcribe(cut_out(speech.samples, final))
            self._offline[place] = text, clock.cpu
        return self._offline[place]


@contextmanager
def no_ctc_drafts() -> Iterator[None]:
    """Behind the last hypothesis nothing is drafted: what is new is written token by token."""
    with patch.object(Segment, "_tail", lambda _segment: []):
        yield
