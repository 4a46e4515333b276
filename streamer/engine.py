"""The machine: one network, many streams. `step` is all of it.

```
push -> unheard -> voice detector -> hear_voice -> span -> encode -> hear -> extension -> extend -> read -> events
```
Each step takes whatever work the streams have and does it in one call for all: one for voices, one for spans of audio,
one for what the language model reads. A stream that has nothing to do is not asked to wait for one that has.
"""

from __future__ import annotations

from model.dictation import Dictation
from model.processor import Prompt
from model.speech import GraniteSpeech
from streamer.stream import WINDOW_MS, Options, Stream
from streamer.voice import VoiceDetector

LONGEST_SEGMENT_SECONDS = 30.0
SPARE_POSITIONS = 512  # of a cache slot, for prompts and answers


class Engine:
    """Runs the streams that it opens. Not thread-safe: one thread owns it."""

    def __init__(self, model: GraniteSpeech) -> None:
        """Takes a loaded model; its weights are shared by all streams."""
        self.model = model
        self.detector = VoiceDetector.load()
        windows = LONGEST_SEGMENT_SECONDS * 1000 / WINDOW_MS + 1
        capacity = int(windows * model.config.window_embeddings) + SPARE_POSITIONS
        self._cache = model.cache(min(capacity, model.config.text.max_position_embeddings))
        self._streams: list[Stream] = []
        self._prompts: dict[str, Prompt] = {}

    def open(self, options: Options | None = None) -> Stream:
        """Opens a stream. It is forgotten when it is done, or by `close`."""
        options = options or Options()
        if options.instruction not in self._prompts:
            self._prompts[options.instruction] = self.model.processor.prompt(options.instruction)
        prompt = self._prompts[options.instruction]
        stream = Stream(self.model, options, lambda: self.model.dictation(self._cache, prompt), self._release, self.run)
        self._streams.append(stream)
        return stream

    def close(self, stream: Stream) -> None:
        """Forgets a stream, whatever it was doing; one that is done is forgotten already."""
        if stream in self._streams:
            self._streams.remove(stream)
            stream.drop()

    def run(self) -> None:
        """Steps until no stream has work."""
        while self.step():
            pass

    def step(self) -> bool:
        """Does one round of work for all streams; false if there was none."""
        listening = [(stream, audio) for stream in self._streams if (audio := stream.unheard()) is not None]
        if listening:
            probabilities = self.detector.listen([audio for _, audio in listening], [s.voice for s, _ in listening])
            for (stream, _), each in zip(listening, probabilities, strict=True):
                stream.hear_voice(each)

        hearing = [(stream, span) for stream in self._streams if (span := stream.span()) is not None]
        for (stream, _), heard in zip(hearing, self.model.encode([span for _, span in hearing]), strict=True):
            stream.hear(heard)

        reading = [(stream, more) for stream in self._streams if (more := stream.extension()) is not None]
        predictions = self.model.extend([more for _, more in reading], self._cache)
        for (stream, _), prediction in zip(reading, predictions, strict=True):
            stream.read(prediction)

        self._streams = [stream for stream in self._streams if not stream.done]
        return bool(listening or hearing or reading)

    def _release(self, dictation: Dictation) -> None:
        self._cache.release(dictation.slot)
