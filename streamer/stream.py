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

from model.config import WINDOW_FRAMES
from model.dictation import Dictation
from model.features import FRAME_SAMPLES, FRAME_SECONDS, SAMPLE_RATE
from model.granite import Extension, Prediction
from model.speech import GraniteSpeech, Heard, Span, as_samples
from streamer.buffer import SampleBuffer
from streamer.events import Done, Error, Event, Finalized
from streamer.options import Options
from streamer.segment import Segment
from streamer.voice import CHUNK, ONSET_CHUNKS, Endpointer, VoiceState

PRE_ROLL = SAMPLE_RATE * 2 // 5  # samples, 400 ms before the first chunk that sounds like speech
LEAD_MS = 1000 * (PRE_ROLL + (ONSET_CHUNKS - 1) * CHUNK) / SAMPLE_RATE  # of a segment, before the chunk that opens it
WINDOW_MS = round(WINDOW_FRAMES * FRAME_SECONDS * 1000)  # 300


@dataclass(frozen=True, slots=True)
class Due:
    """What an update of a stream would be."""

    frames: int  # to encode
    new_frames: int  # of them, heard for the first time
    final: bool  # it ends a segment
    waiting_samples: int  # audio that nobody has looked at


class Stream:
    """One speaker's audio, segments and words. Dropping it is the reset."""

    def __init__(
        self, model: GraniteSpeech, options: Options, open_dictation: Callable[[], Dictation], run: Callable[[], None]
    ) -> None:
        """Made by `Engine.open`, which lends places in the cache and runs the network."""
        self.options = options
        self.voice = VoiceState()
        self.done = False
        self.failure: Exception | None = None  # what broke it; its last event says so, too
        self._model, self._open_dictation, self._run = model, open_dictation, run
        self._endpointer = Endpointer(options.endpoint_ms, options.max_segment_seconds)
        self._audio = SampleBuffer()
        self._ended = False
        self._marks: deque[tuple[int, str]] = deque()  # samples at which a segment must end, and whose wish that was
        self._answers: deque[tuple[int, str]] = deque()  # wishes that are fulfilled once so many segments are finished
        self._listened = 0  # samples that the voice detector has heard
        self._free_from = 0  # samples before this belong to an earlier segment
        self._segments: deque[Segment] = deque()  # the first is worked on, the last may still be open
        self._opened = 0  # segments so far
        self._full = False  # the open segment is as long as it may get and must be cut
        self._events: list[Event] = []

    # --- what the user calls ---

    def feed(self, samples: np.ndarray | Tensor) -> list[Event]:
        """Takes the next samples `[T]` (float, 16 kHz), runs the engine until no stream has work, and gives the events.

        If the stream breaks, `Error` is the last of them; whoever goes on after that gets the exception.
        """
        self.push(samples)
        return self._work()

    def finalize(self, name: str = "") -> list[Event]:
        """Ends the open segment here and now; the last event is `Finalized`.

        Raises:
            ValueError: the stream has ended.
        """
        self.mark(name)
        return self._work()

    def finish(self) -> list[Event]:
        """Ends the stream and gives its last events, `Done` behind them; once more gives nothing."""
        self.end()
        return self._work()

    def _work(self) -> list[Event]:
        self._run()
        events = self.events()
        if self.failure is not None and not events:
            raise self.failure
        return events

    def push(self, samples: np.ndarray | Tensor) -> None:
        """Takes the next samples and leaves the work to whoever runs the engine.

        Raises:
            ValueError: the samples have another shape or type, or the stream has ended.
        """
        self._check()
        self._audio.append(as_samples(samples))

    def mark(self, name: str) -> None:
        """The open segment ends behind the samples pushed so far; `Finalized` with this name says when it has.

        Raises:
            ValueError: the stream has ended.
        """
        self._check()
        self._marks.append((self._audio.end, name))

    def _check(self) -> None:
        if self._ended or (self.done and self.failure is None):
            raise ValueError("the stream has ended; open another one")

    def end(self) -> None:
        """No more samples will come."""
        self._ended = True

    def events(self) -> list[Event]:
        """The events since the last call."""
        events, self._events = self._events, []
        return events

    @property
    def taken_samples(self) -> int:
        """Audio that was pushed."""
        return self._audio.end

    @property
    def waiting_samples(self) -> int:
        """Audio that was pushed and not yet looked at: what piles up when the machine is behind."""
        if not self._segments:
            return self._audio.end - self._listened
        first = self._segments[0]
        whole = first.ended or not self.options.partials
        return self._audio.end - first.start_samples - first.reached_samples(whole)

    def drop(self) -> None:
        """Gives everything back, whatever was being done."""
        while self._segments:
            self._segments.popleft().close()
        self.done = True

    def fail(self, error: Exception) -> None:
        """Ends the stream for a fault of its own; its last event says so."""
        self.failure = error
        self._events.append(Error.of(error))
        self.drop()

    # --- what the engine asks: voice, spans, extensions ---

    def settle(self) -> None:
        """Takes in what has happened: marks that were reached, segments that are finished, a full one to be cut."""
        self._end_at_marks()
        self._collect()
        if self._waits_for_cut and self._segments[0].idle and not self._segments[0].due_frames(1):
            self._cut()

    def chunks(self) -> tuple[Tensor, VoiceState] | None:
        """Audio for the voice detector, in whole chunks, the last one filled up; None while there is none."""
        # Never more than a segment has room for, open or not: so one is noticed to be full before more is heard.
        room = 0 if self._full else self._endpointer.room_chunks(LEAD_MS)
        end = min(self._border, self._listened + room * CHUNK)
        if not (self._ended or self._marks):
            end -= (end - self._listened) % CHUNK
        if end <= self._listened:
            return None
        audio = self._audio.slice(self._listened, end)
        return pad(audio, (0, -len(audio) % CHUNK)), self.voice

    def notice(self, probabilities: Tensor) -> None:
        """Takes the speech probability of each chunk `[n]`: opens, feeds and ends segments."""
        for probability in probabilities.tolist():
            at, self._listened = self._listened, min(self._listened + CHUNK, self._border)
            was_speaking = self._endpointer.speaking
            turned = self._endpointer.notice(probability)
            if was_speaking:
                voiced = self._endpointer.speaking and not self._endpointer.pause_ms
                audio = self._audio.slice(at, self._listened)
                self._segments[-1].feed(audio, len(audio) if voiced else 0)
                if turned:
                    self._end_segment()
            elif turned:
                start = max(self._pre_roll, self._free_from)
                self._endpointer.begin((self._listened - start) / SAMPLE_RATE)
                self._open_segment(start, voiced_until=self._listened)
        if self._endpointer.speaking and not self._endpointer.room_chunks(LEAD_MS):
            self._full = True
        self._end_at_marks()
        self._forget()

    def due(self) -> Due | None:
        """What the next update would be; None while there is no need of one."""
        if not self._segments:
            return None
        segment = self._segments[0]
        if not (segment.ended or self._waits_for_cut or self.options.partials):
            return None
        windows = 1 if self._waits_for_cut else max(1, round(self.options.update_ms / WINDOW_MS))
        if not (frames := segment.due_frames(windows)):
            return None
        return Due(frames, segment.new_frames, segment.ended, self.waiting_samples)

    def span(self) -> Span:
        """What to encode next, when it is due."""
        return self._segments[0].span()

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

    @property
    def _border(self) -> int:
        """Where listening stops for now: at the next wish to end a segment, or where the audio does."""
        return self._marks[0][0] if self._marks else self._audio.end

    @property
    def _pre_roll(self) -> int:
        """Where a segment would begin that opens with the chunk just heard."""
        return self._listened - ONSET_CHUNKS * CHUNK - PRE_ROLL

    @property
    def _waits_for_cut(self) -> bool:
        """Whether the open segment is full, and none before it has work: once all of it is heard, it is cut."""
        return self._full and len(self._segments) == 1

    def _open_segment(self, start: int, voiced_until: int) -> None:
        options = self.options
        segment = Segment(
            self._model, self._open_dictation, options.effective_policy, self._opened, start, options.wish
        )
        segment.feed(self._audio.slice(start, self._listened), max(0, voiced_until - start))
        self._segments.append(segment)
        self._opened += 1

    def _end_segment(self) -> None:
        self._segments[-1].end()
        # The next segment may begin within the pause that ended this one: a soft consonant may lie there.
        self._free_from = self._listened - int(self._endpointer.pause_ms / 2 * SAMPLE_RATE / 1000)

    def _cut(self) -> None:
        """Nobody paused for the longest time allowed: end the segment between two words, go on behind them."""
        segment = self._segments[-1]
        voiced_until = segment.start_samples + segment.voiced_samples
        # one frame at least: or the next segment would be as long, and be cut at the same place
        cut = segment.start_samples + max(1, segment.cut_frame()) * FRAME_SAMPLES
        segment.cut(self._audio.slice(segment.start_samples, cut))
        self._free_from = cut
        self._endpointer.begin((self._listened - cut) / SAMPLE_RATE, self._endpointer.pause_ms)
        self._full = not self._endpointer.room_chunks(LEAD_MS)
        self._open_segment(cut, voiced_until)

    def _end_at_marks(self) -> None:
        """Ends the open segment where the client wished it, or the audio ends; not before a full one has been cut."""
        while self._marks and self._listened == self._marks[0][0] and not self._full:
            _, name = self._marks.popleft()
            self._stop_speaking()
            self._answers.append((self._opened, name))
        if self._ended and self._listened == self._audio.end and not self._full:
            self._stop_speaking()

    def _stop_speaking(self) -> None:
        if self._endpointer.speaking:
            self._endpointer.stop()
            self._end_segment()

    def _answer(self) -> None:
        """Says which wishes to end a segment are fulfilled."""
        while self._answers and self._answers[0][0] <= self._opened - len(self._segments):
            self._events.append(Finalized(self._answers.popleft()[1]))

    def _collect(self) -> None:
        """Takes the events of the first segment, and of the next ones once it is finished."""
        self._answer()
        while self._segments:
            segment = self._segments[0]
            self._events += segment.take_events()
            if not segment.finished:
                return
            self._segments.popleft().close()
            self._answer()
        if self._ended and self._listened == self._audio.end and not self.done:
            self._events.append(Done(round(self._audio.end / SAMPLE_RATE, 3)))
            self.done = True

    def _forget(self) -> None:
        """Keeps what a pre-roll or a cut may still ask for."""
        needed = self._pre_roll
        if self._endpointer.speaking:
            needed = min(needed, self._segments[-1].start_samples)
        self._audio.forget(max(0, needed))
