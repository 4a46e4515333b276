"""Does the true shape of granite-speech 4.1-2b keep up with speech, in bfloat16, int8 and int4, and with which steps?

Random weights write nonsense, so what is written is prescribed: 4 tokens a second of speech (three words). All network
calls are real, as the engine makes them for a recording. The last hypothesis is always right; what is new is either
decoded token by token (as if the CTC head drafted nothing) or drafted right (as if it drafted all): the truth for real
weights lies between. RTF: seconds of the whole stream / seconds of audio; below 1 it keeps up. encode, read, decode:
the parts of that in the encoder, in forwards of many positions, in forwards of one. estimate: what
`granite-stream models` says beforehand. `--layers 2` tries it with two layers of each stack. Needs 15 GiB.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle, islice
from typing import Any
from unittest.mock import patch

from torch import Tensor

from model.alignment import Alphabet
from model.cache import KVCache
from model.checkpoint import weights_met
from model.dictation import Dictation
from model.granite import Extension, Prediction
from model.known import Size
from model.processor import Prompt
from model.speech import GraniteSpeech
from streamer.engine import Engine
from streamer.estimate import TIMED, TOKENS_A_SECOND, made_up, measure
from streamer.options import Options
from tests.benchmarks.common import SAMPLE_RATE, Clock, Settings, recordings, streamed, texts
from tests.benchmarks.offline_2b import enough_memory, loaded, ours, shape_2b
from tests.benchmarks.report import save, table

STEPS_MS = (300, 600, 1200, 2400)
SECONDS = 12  # of audio
WINDOW_SECONDS = 0.1  # of an embedding


class Prescribed(Dictation):
    """Writes a given text at a given pace, whatever the network says; asks the network all the same."""

    def __init__(self, script: Sequence[int], drafted: bool, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._script, self._drafted, self._said = script, drafted, 0

    def begin(self, embeddings: Tensor, first_changed: int, limit: int, tail: Sequence[int] = ()) -> None:
        """As many tokens have been said as there are embeddings for."""
        self._said = int(len(embeddings) * WINDOW_SECONDS * TOKENS_A_SECOND)
        new = self._script[len(self.tokens) : self._said] if self._drafted else ()
        super().begin(embeddings, first_changed, self._said, new)

    def read(self, prediction: Prediction) -> None:
        """Takes what is prescribed for what was predicted."""
        first = len(self._written)
        after = [*self._script[: self._said], self._stop]
        tokens = (after[first:] + [self._stop] * len(prediction.tokens))[: len(prediction.tokens)]
        super().read(Prediction(tokens, [-0.1] * len(tokens)))


class Talkative(Alphabet):
    """Hears a letter in each frame: random weights may hear none, and then nothing would be decoded."""

    def letters(self, log_probs: Tensor) -> int:
        """How many."""
        return len(log_probs)

    def text(self, log_probs: Tensor) -> str:
        """Drafts are prescribed."""
        return ""


def run(settings: Settings) -> None:
    """Each form, each step."""
    if not enough_memory("live_2b", settings):
        return
    network = ours(shape_2b(settings.layers))
    clip, results = recordings()["talk"][: SECONDS * SAMPLE_RATE], {}
    for form, bits in TIMED.items():
        packed = loaded(network, bits)
        pace, size = measure(made_up(bits, network.device)), Size(0, 0, *weights_met(network))
        for step in STEPS_MS:
            for drafted in (False, True):
                figures = live(packed, clip, step, drafted)
                figures["estimate"] = float("nan") if drafted else pace.load(size, step / 1000)
                results[f"{form}, {step} ms, new tokens {'drafted' if drafted else 'decoded'}"] = figures
                print(f"{form} {step} ms: {figures['RTF']:.2f}", flush=True)
        del packed
    columns = ["", *next(iter(results.values()))]
    table("4.1-2b shape, live", columns, [[name, *each.values()] for name, each in results.items()])
    save("live_2b", settings, {"audio_seconds": SECONDS, "tokens_a_second": TOKENS_A_SECOND, "results": results})


def live(network: GraniteSpeech, clip: Tensor, step_ms: int, drafted: bool) -> dict[str, float]:
    """One stream over the clip, as fast as it goes."""
    words = [*islice(cycle(network.processor.encode(texts()["talk"])), 1000)]
    network.alphabet = Talkative(network.config)

    def dictation(cache: KVCache, prompt: Prompt, guarded: bool = True) -> Dictation:
        return Prescribed(words, drafted, cache, prompt, -1, network.language_model.embed, False, network.continuations)

    with patch.object(network, "dictation", dictation), clocks(network) as parts, Clock() as clock:
        captions = streamed(Engine(network), clip, Options(step_ms=step_ms))
    assert captions.finals, "nothing was heard"
    assert captions.retractions == 0
    seconds = len(clip) / SAMPLE_RATE
    return {
        "RTF": clock.wall / seconds,
        "CPU": clock.cpu / seconds,
        **{name: each.wall / seconds for name, each in parts.items()},
        "partials": captions.partials,
        "tokens": sum(len(network.processor.encode(final.text)) for final in captions.finals),
    }


@contextmanager
def clocks(network: GraniteSpeech) -> Iterator[dict[str, Clock]]:
    """Clocks around the network's calls."""
    found = {"encode": Clock(), "read": Clock(), "decode": Clock()}
    encode, extend = network.encode, network.extend

    def timed_encode(spans: Any) -> Any:
        with found["encode"]:
            return encode(spans)

    def timed_extend(extensions: Sequence[Extension], cache: KVCache) -> list[Prediction]:
        with found["decode" if all(len(each.inputs) == 1 for each in extensions) else "read"]:
            return extend(extensions, cache)

    with patch.object(network, "encode", timed_encode), patch.object(network, "extend", timed_extend):
        yield found
