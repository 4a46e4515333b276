"""How late captions are, measured while people speak: events and the arrival of their audio in, delays out.

Pure: whoever uses it tells the time. Every delay is seconds from the moment the audio arrived that an event is about.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from streamer.events import Event, Final, Partial, SpeechStarted, Word

MARK_SECONDS = 0.1  # of audio between two marks: so much too short a delay may read
MOST_MARKS = 900  # a minute and a half of them: more than a segment is long, and a machine may lag


@dataclass(slots=True)
class Arrivals:
    """When which part of a stream's audio arrived. Old parts are forgotten."""

    ends: list[float] = field(default_factory=list)  # seconds of stream time
    times: list[float] = field(default_factory=list)  # seconds of the clock

    def add(self, end: float, now: float) -> None:
        """Audio up to `end` is here."""
        if self.ends and end <= self.ends[-1]:
            return  # nothing new
        if len(self.ends) > 1 and end - self.ends[-2] < MARK_SECONDS:
            self.ends[-1], self.times[-1] = end, now
            return
        self.ends.append(end)
        self.times.append(now)
        if len(self.ends) > MOST_MARKS:
            del self.ends[: MOST_MARKS // 2], self.times[: MOST_MARKS // 2]

    def at(self, seconds: float) -> float:
        """When the audio up to this stream time was here."""
        return self.times[min(bisect_left(self.ends, seconds), len(self.times) - 1)]


@dataclass(frozen=True, slots=True)
class Delay:
    """One measurement: `update`, `first_partial`, `commit` or `final`."""

    kind: str
    seconds: float


class Delays:
    """The delays of one stream.

    update: of a partial, since the audio it is based on. first_partial: of the first text, since its first word began.
    commit: of each word, since it ended. final: since its last word ended, the silence of the endpoint included.
    """

    def __init__(self) -> None:
        self.arrivals = Arrivals()
        self._shown_at: float | None = None  # when the open segment first had text
        self._committed: list[tuple[int, float]] = []  # characters committed in the open segment, and since when

    def take(self, events: Sequence[Event], now: float) -> Iterator[Delay]:
        """What the events that came just now tell."""
        if not self.arrivals.ends:
            return
        for event in events:
            match event:
                case SpeechStarted():
                    self._shown_at, self._committed = None, []
                case Partial():
                    yield Delay("update", now - self.arrivals.at(event.end))
                    if self._shown_at is None and event.committed + event.draft:
                        self._shown_at = now
                    if len(event.committed) > (self._committed[-1][0] if self._committed else 0):
                        self._committed.append((len(event.committed), now))
                case Final() if event.words:
                    yield from self._finish(event, now)

    def _finish(self, final: Final, now: float) -> Iterator[Delay]:
        if self._shown_at is not None:
            yield Delay("first_partial", max(0.0, self._shown_at - self.arrivals.at(final.words[0].start)))
        for word, since in self._promises(final, now):
            yield Delay("commit", max(0.0, since - self.arrivals.at(word.end)))
        yield Delay("final", now - self.arrivals.at(final.words[-1].end))

    def _promises(self, final: Final, now: float) -> Iterator[tuple[Word, float]]:
        """Each word, and since when it has been certain; the final promises those that were not."""
        for word, end in final.words_to():
            yield word, next((since for characters, since in self._committed if characters >= end), now)
