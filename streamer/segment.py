"""One segment of speech, from its first sample to its final: hears, dictates, commits, and says so in events."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise, takewhile

from torch import Tensor

from model.alignment import WordSpan, align
from model.dictation import Dictation
from model.features import FRAME_SAMPLES, FRAME_SECONDS, SAMPLE_RATE
from model.granite import Extension, Prediction
from model.guards import token_limit
from model.processor import UNFINISHED
from model.speech import GraniteSpeech, Heard, Span
from model.tags import TaggedWord, said, shown
from model.tasks import Wish
from streamer.commit import Hypothesis, Policy, Screen, WrittenWord, committable, showable, standing
from streamer.events import Event, Final, Partial, SpeechStarted, Word
from streamer.hearing import Hearing

CUT_FRAMES = 200  # a segment that must be cut is cut within its last four seconds
PAUSE_SAMPLES = 1024  # 64 ms without a voice


class Segment:
    """A machine with two kinds of work: something to encode, then something to extend, until the update is done."""

    def __init__(
        self,
        model: GraniteSpeech,
        open_dictation: Callable[[], Dictation],
        policy: Policy,
        index: int,
        start_samples: int,
        wish: Wish = Wish(),  # noqa: B008 - it is frozen
    ) -> None:
        """Opens a segment that begins at a sample of its stream."""
        self.index, self.start_samples = index, start_samples
        self._model, self._open_dictation, self._wish = model, open_dictation, wish
        self.hearing = self._new_hearing()
        self._dictation: Dictation | None = None
        self.words: list[WrittenWord] = []  # of the last hypothesis
        self.finished = False
        self.voiced_samples = 0  # up to the last one that sounded like speech
        self._events: list[Event] = [SpeechStarted(index, self._seconds(0))]
        self._policy = policy
        self._updates: list[int] = []  # in a row that wrote each token of the last hypothesis
        self._screen = Screen()
        self._encoding: Span | None = None
        self._unread = 0  # the first embedding that the dictation does not have as it is now
        self._last = False  # the update under way is the last: it began when the segment had ended
        self._shown = ("", "")

    def _new_hearing(self) -> Hearing:
        return Hearing(self._model.features, self._model.config.window_embeddings)

    @property
    def dictation(self) -> Dictation:
        """Its hypothesis. Opened when first used: a segment that waits its turn holds no slot of the cache."""
        if self._dictation is None:
            self._dictation = self._open_dictation()
        return self._dictation

    def close(self) -> None:
        """Gives its slot back."""
        if self._dictation is not None:
            self._dictation.close()
            self._dictation = None

    # --- what the stream tells ---

    def feed(self, samples: Tensor, voiced: int) -> None:
        """Takes the next samples `[T]`; `voiced` of them go up to the last that sounded like speech."""
        if voiced:
            self.voiced_samples = self.hearing.samples + voiced
        self.hearing.feed(samples)

    def end(self) -> None:
        """No more samples will come: its final is due."""
        self.hearing.ended = True

    # --- what the engine asks, in this order ---

    def due_frames(self, windows: int) -> int:
        """How much to encode; 0 while there is no need.

        An update is due once `windows` new ones hold speech. One is enough while nothing is shown yet, and where the
        speaker pauses: nothing is gained by waiting.
        """
        hearing = self.hearing
        if self.finished or not self.idle:
            return 0
        if not hearing.ended:
            new, voiced = hearing.windows - hearing.windows_heard, self.voiced_samples
            if voiced <= hearing.heard * FRAME_SAMPLES:
                return 0  # a pause brings no new words
            pauses = voiced <= hearing.whole_samples and hearing.samples - voiced >= PAUSE_SAMPLES
            if new < (1 if pauses or not any(self._shown) else windows):
                return 0
        return hearing.due_frames

    def span(self) -> Span:
        """What to encode: an update begins."""
        self._encoding, self._last = self.hearing.span(), self.hearing.ended
        return self._encoding

    def hear(self, heard: Heard) -> None:
        """Takes what was encoded, and begins to write if there is anything to write down."""
        assert self._encoding is not None, "nothing was to be encoded"
        self._unread = min(self._unread, self.hearing.take(self._encoding, heard))
        self._encoding = None
        spelled_bytes = self._model.alphabet.spelled_bytes(self.hearing.log_probs)
        limit = token_limit(self.hearing.samples / SAMPLE_RATE, spelled_bytes, tagged=self._wish.speakers)
        if limit or (self._dictation and self._dictation.tokens):
            heard_text = partial(self._model.alphabet.text, self.hearing.log_probs)
            self.dictation.begin(self.hearing.embeddings, self._unread, limit, self._tail(), heard_text)
            self._unread = len(self.hearing.embeddings)
        else:
            self._conclude([])

    def extension(self) -> Extension | None:
        """What to read into the cache; None while there is no need."""
        return None if self.idle else self.dictation.extension()

    def read(self, prediction: Prediction) -> None:
        """Takes what the language model said; the update is over when it has written its hypothesis."""
        before = self.dictation.tokens
        self.dictation.read(prediction)
        if not self.dictation.writing:
            self._conclude(before)

    # --- what the stream asks ---

    @property
    def ended(self) -> bool:
        """All its samples are here."""
        return self.hearing.ended

    @property
    def new_frames(self) -> int:
        """How many of the frames that are due were never encoded before."""
        return self.hearing.new_frames

    def reached_samples(self, whole: bool) -> int:
        """Samples that were looked at; `whole`: nothing of it is encoded before it is complete."""
        return self.hearing.samples if whole else self.hearing.heard * FRAME_SAMPLES

    @property
    def idle(self) -> bool:
        """No update is under way."""
        # an encoding is taken in the step that asked for it, if nothing broke that
        return self._dictation is None or not self._dictation.writing

    def take_events(self) -> list[Event]:
        """The events since the last call."""
        events, self._events = self._events, []
        return events

    def cut_frame(self) -> int:
        """Where to end a segment that has no pause: in the widest gap late enough, behind what is committed.

        What follows the last word is a gap only from where nobody speaks: a word may be there that is not written yet.
        Words that the CTC head cannot spell have no gaps between them: then it is cut where the head writes nothing.
        """
        heard, committed = self.hearing.heard, self.dictation.committed
        last = self.words[-1].end if self.words else heard
        gaps = [(word.end, next_word.start) for word, next_word in pairwise(self.words) if word.tokens >= committed]
        if (quiet := max(last, self.voiced_samples // FRAME_SAMPLES)) < heard:
            gaps.append((quiet, heard))
        earliest = max(0, heard - CUT_FRAMES)
        late = [gap for gap in gaps if gap[0] >= earliest]
        if late and all(start == end for start, end in late):
            known = max((word.end for word in self.words if word.tokens <= committed), default=0)
            pauses = self._model.alphabet.pauses(self.hearing.log_probs)
            late = [gap for gap in pauses if gap[0] >= max(earliest, known) and gap[1] < heard] or late
        if not late:
            return max(earliest, (last + heard) // 2)
        start, end = max(late, key=lambda gap: (gap[1] - gap[0], gap))
        return (start + end) // 2

    def cut(self, samples: Tensor) -> None:
        """Ends the segment after these samples, the first of those it was fed."""
        self.hearing = self._new_hearing()
        self.hearing.feed(samples)
        self.hearing.ended = True

    def _tail(self) -> list[int]:
        """What the CTC head hears behind the last hypothesis, as tokens: a draft of what is new."""
        model, known = self._model, self.words[-1].end if self.words else 0
        return model.processor.encode(model.alphabet.text(self.hearing.log_probs[known:]))

    # --- what follows from an update ---

    def _conclude(self, before: Sequence[int]) -> None:
        dictation = self.dictation
        self.words = self._place_words()
        if self._last:
            self._finish()
            return
        self._updates = standing(dictation.tokens, before, self._updates)
        # a word at which the tokens ended may be half of one, and a character too
        written = self.words[:-1] if dictation.cut_off else self.words
        whole = list(takewhile(lambda word: not word.text.endswith(UNFINISHED), written))
        dictation.committed = committable(self._hypothesis(whole), dictation.committed, self._policy)
        self._show()

    def _hypothesis(self, words: list[WrittenWord]) -> Hypothesis:
        return Hypothesis(words, self._updates, self.dictation.log_probs, self.hearing.heard)

    def _show(self) -> None:
        dictation = self.dictation
        committed, draft = self._text()
        count = showable(self._hypothesis(self.words), dictation.committed, self._policy)
        visible = self._written(dictation.tokens[:count])
        self._screen.show(committed, visible, committed + draft, self._policy.patience)
        now = (committed, self._screen.text[len(committed) :])
        if now == self._shown:
            return
        self._shown = now
        self._events.append(Partial(self.index, self._seconds(0), self._seconds(self.hearing.heard), *now))

    def _finish(self) -> None:
        committed, draft = self._text()
        end = round((self.start_samples + self.hearing.samples) / SAMPLE_RATE, 3)
        words, first, values = [], 0, list[float]()
        for word in self.words:
            # two words may stand in one piece of text, with nothing but a tag between them
            values = self.dictation.log_probs[first : word.tokens] or values
            first = word.tokens
            confidence = round(math.exp(self._model.config.confidence_power * sum(values) / len(values)), 3)
            # the last frame may be half filled
            start, stop = (min(self._seconds(frame), end) for frame in (word.start, word.end))
            words.append(Word(word.text, start, stop, confidence, word.speaker))
        self._events.append(Final(self.index, self._seconds(0), end, committed + draft, tuple(words)))
        self.finished = True

    def _text(self) -> tuple[str, str]:
        """What is committed, and what stands behind it for now; together they are the text."""
        dictation = self.dictation
        text, committed = self._written(dictation.tokens), self._written(dictation.tokens[: dictation.committed])
        assert text.startswith(committed), f"{committed!r} does not begin {text!r}"
        return committed, text[len(committed) :]

    def _written(self, tokens: list[int]) -> str:
        """The tokens as people should read them."""
        text = self._model.processor.decode(tokens).strip()
        return shown(text) if self._model.config.plus else text

    def _place_words(self) -> list[WrittenWord]:
        """The hypothesis' words among the frames. Committed words keep their places, the rest lies behind them."""
        words = self._model.processor.words(self.dictation.tokens)
        spelled = said(words) if self._model.config.plus else [(TaggedWord(text), tokens) for text, tokens in words]
        # the last committed word no longer ends where it did once punctuation behind it has become a part of it
        kept = {tokens for _, tokens in spelled if tokens <= self.dictation.committed}
        placed = [] if self._last else [word for word in self.words if word.tokens in kept]
        reached, origin = (placed[-1].tokens, placed[-1].end) if placed else (0, 0)
        rest = [(word, tokens) for word, tokens in spelled if tokens > reached]
        frames = self.hearing.log_probs[origin:]
        # the letters of a translation were never said: its words share the time
        spelled_as_heard = ["" if self._wish.task == "translate" else word.word for word, _ in rest]
        spans = align(spelled_as_heard, frames, self._model.alphabet)
        if spans is None:  # more characters than frames: nobody speaks that fast, so nothing of it is certain
            spans = [WordSpan(len(frames), len(frames))] * len(rest)
        return placed + [
            WrittenWord(word.word, tokens, origin + span.start, origin + span.end, word.speaker)
            for (word, tokens), span in zip(rest, spans, strict=True)
        ]

    def _seconds(self, frames: int) -> float:
        """The stream's time of a frame of this segment."""
        return round(self.start_samples / SAMPLE_RATE + frames * FRAME_SECONDS, 3)
