"""Samples in, captions out. Knows nothing of sockets, threads or the time of day.

A stream cuts its audio into segments by voice activity and works on them one after the other. It runs nothing itself:
the engine asks it for work, does the work of all streams together, and hands the results back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from torch import Tensor
from torch.nn.functional import pad

from model.dictation import Dictation
from model.features import FRAME_SAMPLES, SAMPLE_RATE
from model.granite import Extension, Prediction
from model.processor import INSTRUCTION
from model.speech import GraniteSpeech, Heard, Span, as_samples
from streamer.buffer import SampleBuffer
from streamer.events import Done, Event
from streamer.segment import Segment
from streamer.voice import CHUNK, ONSET_CHUNKS, Endpointer, VoiceState

PRE_ROLL = SAMPLE_RATE * 2 // 5  # samples, 400 ms before the first chunk that sounds like speech
WINDOW_MS = 300


@dataclass(frozen=True, slots=True)
class Options:
    """What a client may choose for its stream."""

    step_ms: int = 300  # of new audio between two updates; rounded to whole windows
    endpoint_ms: int = 600  # of silence that end a segment
    max_segment_seconds: float = 30.0
    instruction: str = INSTRUCTION
    partials: bool = True  # False: finals only, at the cost of one offline pass

    def __post_init__(self) -> None:
        """Refuses values that make no sense.

        Raises:
            ValueError: names the value and its bounds.
        """
        for name, low, high in (
            ("step_ms", 1, 10_000),
            ("endpoint_ms", 64, 3_000),
            ("max_segment_seconds", 5.0, 30.0),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"{name} is {value}; it must lie between {low} and {high}")


class Stream:
    """One speaker's audio, segments and words. Dropping it is the reset."""

    def __init__(
        self,
        model: GraniteSpeech,
        options: Options,
        open_dictation: Callable[[], Dictation],
        close_dictation: Callable[[Dictation], None],
        run: Callable[[], None],
    ) -> None:
        """Made by `Engine.open`, which lends the cache slots and runs the network."""
        self.options = options
        self.voice = VoiceState()
        self.done = False
        self._model, self._run = model, run
        self._open_dictation, self._close_dictation = open_dictation, close_dictation
        self._endpointer = Endpointer(options.endpoint_ms, options.max_segment_seconds)
        self._audio = SampleBuffer()
        self._ended = False
        self._listened = 0  # samples that the voice detector has heard
        self._free_from = 0  # samples before this belong to an earlier segment
        self._segments: deque[Segment] = deque()  # the first is worked on, the last may still be open
        self._opened = 0  # segments so far
        self._full = False  # the open segment is as long as it may get and must be cut
        self._events: list[Event] = []

    # --- what the user calls ---

    def feed(self, samples: np.ndarray | Tensor) -> list[Event]:
        """Takes the next samples `[T]` (float, 16 kHz), does all the work they bring, and gives the events."""
        self.push(samples)
        self._run()
        return self.events()

    def finish(self) -> list[Event]:
        """Ends the stream and gives its last events; the very last is `Done`."""
        self.end()
        self._run()
        return self.events()

    def push(self, samples: np.ndarray | Tensor) -> None:
        """Takes the next samples and leaves the work to whoever runs the engine.

        Raises:
            ValueError: the samples have another shape or type, or the stream has ended.
        """
        if self._ended:
            raise ValueError("the stream has ended; open another one")
        self._audio.append(as_samples(samples))

    def end(self) -> None:
        """No more samples will come."""
        self._ended = True

    def events(self) -> list[Event]:
        """The events since the last call."""
        events, self._events = self._events, []
        return events

    def drop(self) -> None:
        """Gives everything back, whatever was being done."""
        while self._segments:
            self._close_dictation(self._segments.popleft().dictation)
        self.done = True

    # --- what the engine asks: voice, spans, extensions ---

    def unheard(self) -> Tensor | None:
        """Audio for the voice detector, in whole chunks, the last one filled up; None while there is none to hear."""
        # Never more than the open segment has room for: so a full one is noticed before anything behind it is heard.
        room = 0 if self._full else self._endpointer.room_chunks()
        end = min(self._audio.end, self._listened + room * CHUNK)
        if not self._ended:
            end -= (end - self._listened) % CHUNK
        if end <= self._listened:
            return None
        audio = self._audio.slice(self._listened, end)
        return pad(audio, (0, -len(audio) % CHUNK))

    def hear_voice(self, probabilities: Tensor) -> None:
        """Takes the speech probability of each chunk `[n]`: opens, feeds and ends segments."""
        for probability in probabilities.tolist():
            at, self._listened = self._listened, min(self._listened + CHUNK, self._audio.end)
            was_speaking = self._endpointer.speaking
            turned = self._endpointer.hear(probability)
            if was_speaking:
                self._segments[-1].hearing.feed(self._audio.slice(at, self._listened))
                if turned:
                    self._end_segment()
            elif turned:
                start = max(self._listened - ONSET_CHUNKS * CHUNK - PRE_ROLL, self._free_from)
                self._endpointer.begin((self._listened - start) / SAMPLE_RATE)
                self._open_segment(start)
            if self._endpointer.speaking and not self._endpointer.pause_ms:
                self._segments[-1].voiced_samples = self._listened - self._segments[-1].start_samples
        if self._endpointer.speaking and not self._endpointer.room_chunks():
            self._full = True
        self._forget()

    def span(self) -> Span | None:
        """What to encode next."""
        if self._ended and self._listened == self._audio.end and self._endpointer.speaking and not self._full:
            self._endpointer.speaking = False
            self._end_segment()
        self._collect()
        if not self._segments:
            return None
        segment = self._segments[0]
        waits_for_cut = self._full and segment is self._segments[-1]
        if not (segment.hearing.ended or waits_for_cut or self.options.partials):
            return None
        span = segment.span(1 if waits_for_cut else max(1, round(self.options.step_ms / WINDOW_MS)))
        if span is None and waits_for_cut and segment.idle:
            self._cut()
            return segment.span(1)
        return span

    def hear(self, heard: Heard) -> None:
        """Takes what was encoded."""
        self._segments[0].hear(heard)

    def extension(self) -> Extension | None:
        """What to read into the cache next."""
        return self._segments[0].extension() if self._segments else None

    def read(self, prediction: Prediction) -> None:
        """Takes what the language model said."""
        self._segments[0].read(prediction)

    # --- segments ---

    def _open_segment(self, start: int) -> None:
        segment = Segment(self._model, self._open_dictation(), self._opened, start)
        segment.hearing.feed(self._audio.slice(start, self._listened))
        self._segments.append(segment)
        self._opened += 1

    def _end_segment(self) -> None:
        self._segments[-1].hearing.ended = True
        # The next segment may begin within the pause that ended this one: a soft consonant may lie there.
        self._free_from = self._listened - int(self._endpointer.pause_ms / 2 * SAMPLE_RATE / 1000)

    def _cut(self) -> None:
        """Nobody paused for the longest time allowed: end the segment between two words, go on behind them."""
        segment = self._segments[-1]
        cut = segment.start_samples + segment.cut_frame() * FRAME_SAMPLES
        segment.cut(self._audio.slice(segment.start_samples, cut))
        self._free_from = cut
        self._full = False
        self._endpointer.begin((self._listened - cut) / SAMPLE_RATE)
        self._open_segment(cut)

    def _collect(self) -> None:
        """Takes the events of the first segment, and of the next ones once it is finished."""
        while self._segments:
            segment = self._segments[0]
            self._events += segment.take_events()
            if not segment.finished:
                return
            self._close_dictation(self._segments.popleft().dictation)
        if self._ended and self._listened == self._audio.end and not self.done:
            self._events.append(Done(round(self._audio.end / SAMPLE_RATE, 3)))
            self.done = True

    def _forget(self) -> None:
        """Keeps what a pre-roll or a cut may still ask for."""
        needed = self._listened - ONSET_CHUNKS * CHUNK - PRE_ROLL
        if self._endpointer.speaking:
            needed = min(needed, self._segments[-1].start_samples)
        self._audio.forget(max(0, needed))
