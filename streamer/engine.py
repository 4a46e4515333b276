"""The machine: one network, many streams. `Engine.step` is all of it.

```
each stream says                   one call for all         each stream takes
Stream.settle, Stream.chunks   ->  VoiceDetector.listen  -> Stream.notice
Stream.due, then Stream.span   ->  GraniteSpeech.encode  -> Stream.hear
Stream.extension               ->  GraniteSpeech.extend  -> Stream.read
```
Each step takes whatever work the streams have. A stream that has nothing to do is not asked to wait for one that has,
and one that breaks takes no other with it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TypeVar

from torch import Tensor

from model.errors import WishError
from model.granite import Extension, Prediction
from model.processor import Prompt
from model.speech import GraniteSpeech
from streamer.options import LONGEST_SEGMENT_SECONDS, Options
from streamer.stream import WINDOW_MS, Due, Stream
from streamer.voice import VoiceDetector, VoiceState

MOST_PROMPTS = 64  # rendered ones that are kept; clients may bring their own
PROMPT_POSITIONS = 256  # of a cache slot: the template around the audio, and what a client asks for
ANSWER_POSITIONS = 512  # of a cache slot: what is written with the draft behind it, see `token_limit`

Asked = TypeVar("Asked")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Work:
    """What was done in a step; false if nothing was."""

    listened_samples: int  # by the voice detector
    updates: list[Due]
    extensions: int

    def __bool__(self) -> bool:
        return bool(self.listened_samples or self.updates or self.extensions)


class Engine:
    """Runs the streams that it opens. Not thread-safe: one thread owns it."""

    def __init__(self, model: GraniteSpeech) -> None:
        """Takes a loaded model; its weights are shared by all streams."""
        self.model = model
        self.detector = VoiceDetector.load()
        windows = LONGEST_SEGMENT_SECONDS * 1000 / WINDOW_MS + 1
        capacity = int(windows * model.config.window_embeddings) + PROMPT_POSITIONS + ANSWER_POSITIONS
        self._cache = model.cache(min(capacity, model.config.text.max_position_embeddings))
        self._streams: list[Stream] = []
        self._prompt = lru_cache(MOST_PROMPTS)(model.processor.prompt)

    def open(self, options: Options | None = None) -> Stream:
        """Opens a stream. It is forgotten when it is done, or by `close`.

        Raises:
            WishError: the model cannot do what is asked for.
        """
        options = options or Options()
        prompt = self.prompt(options)
        stream = Stream(self.model, options, lambda: self.model.dictation(self._cache, prompt), self.run)
        self._streams.append(stream)
        return stream

    def prompt(self, options: Options) -> Prompt:
        """What stands around the audio of a stream with these options. Knows no stream: any thread may ask.

        Raises:
            WishError: the model cannot do what is asked for, or the words for it are too many.
        """
        wish = options.wish
        prompt = self._prompt(self.model.processor.instruction(wish))
        while (tokens := len(prompt.prefix) + len(prompt.suffix)) > PROMPT_POSITIONS:
            if not (options.only_hints and wish.keywords):
                raise WishError(
                    f"prompt and keywords make {tokens} tokens; at most {PROMPT_POSITIONS} fit, shorten them"
                )
            fewer = min(len(wish.keywords) - 1, len(wish.keywords) * PROMPT_POSITIONS // tokens)
            wish = replace(wish, keywords=wish.keywords[:fewer])
            prompt = self._prompt(self.model.processor.instruction(wish))
        return prompt

    def close(self, stream: Stream) -> None:
        """Forgets a stream, whatever it was doing; one that is done is forgotten already."""
        if stream in self._streams:
            self._streams.remove(stream)
            stream.drop()

    def run(self) -> None:
        """Steps until no stream has work."""
        while self.step():
            pass

    def step(self, most_frames: int | None = None) -> Work:
        """Does one round of work for all streams.

        Args:
            most_frames: to encode in this step, so that it is short and a final that comes up does not wait long;
                whoever waits longest goes first, finals before all. At least one update is done.
        """
        self._ask(Stream.settle, self._streams)
        listening = self._ask(Stream.chunks, self._streams)
        self._do(self._listen, listening, Stream.notice)

        due = self._in_turn(self._ask(Stream.due, self._streams), most_frames)
        hearing = self._ask(Stream.span, [stream for stream, _ in due])
        self._do(self.model.encode, hearing, Stream.hear)

        reading = self._ask(Stream.extension, self._streams)
        self._do(self._extend, reading, Stream.read)

        self._streams = [stream for stream in self._streams if not stream.done]
        return Work(sum(len(audio) for _, (audio, _) in listening), [each for _, each in due], len(reading))

    def _ask(self, question: Callable[[Stream], Asked | None], streams: Sequence[Stream]) -> list[tuple[Stream, Asked]]:
        """Those streams that have something, with what they have."""
        answers = []
        for stream in streams:
            if stream.done:  # it broke in this step
                continue
            try:
                answer = question(stream)
            except Exception as error:  # whatever it is, it is this stream's, and the others go on
                stream.fail(error)
            else:
                if answer is not None:
                    answers.append((stream, answer))
        return answers

    def _do(
        self,
        work: Callable[[Sequence[Asked]], Sequence[Result]],
        asked: list[tuple[Stream, Asked]],
        give: Callable[[Stream, Result], None],
    ) -> None:
        """Works for all in one call and hands each stream its result."""
        try:
            results = work([each for _, each in asked]) if asked else []
        except Exception as error:
            if len(asked) == 1:
                asked[0][0].fail(error)
            else:  # somebody's work breaks the call: find out whose
                for each in asked:
                    self._do(work, [each], give)
            return
        for (stream, _), result in zip(asked, results, strict=True):
            try:
                give(stream, result)
            except Exception as error:  # as above
                stream.fail(error)

    @staticmethod
    def _in_turn(due: list[tuple[Stream, Due]], most_frames: int | None) -> list[tuple[Stream, Due]]:
        """Whose updates fit a step."""
        if most_frames is None:
            return due
        due.sort(key=lambda each: (not each[1].final, -each[1].waiting_samples))
        chosen: list[tuple[Stream, Due]] = []
        for stream, each in due:
            most_frames -= each.frames
            if chosen and most_frames < 0:
                break
            chosen.append((stream, each))
        return chosen

    def _listen(self, asked: Sequence[tuple[Tensor, VoiceState]]) -> list[Tensor]:
        return self.detector.listen([audio for audio, _ in asked], [state for _, state in asked])

    def _extend(self, extensions: Sequence[Extension]) -> list[Prediction]:
        return self.model.extend(extensions, self._cache)
