"""`model.transcribe` against transformers' `generate`: same weights, float32, threads, recordings and token limit.

ratio: their CPU seconds / ours, all recordings together; each figure is the median of repeats that take turns.
encode: audio to embeddings. prefill: prompt and embeddings to the first token. token: what remains of the whole, for
    each token.
equal texts: recordings of which both write the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from model.granite import Extension
from model.speech import GraniteSpeech, Span
from tests.benchmarks.common import Clock, Settings, median, recordings
from tests.benchmarks.reference import Reference
from tests.benchmarks.report import save, table

MAX_TOKENS = 150
Pair = tuple[Callable[[], object], Callable[[], object]]  # theirs, ours
COLUMNS = ("", "transformers", "ours", "ratio")


def run(settings: Settings) -> None:
    """Measures the whole and its parts."""
    network, reference = settings.load(), Reference.load(settings.model)
    clips = list(recordings().values())
    texts: dict[str, list[str]] = {}

    def write(name: str, transcribe: Callable[..., str]) -> Callable[[], None]:
        return lambda: texts.update({name: [transcribe(clip, max_tokens=MAX_TOKENS) for clip in clips]})

    pairs = {
        "transcribe": (write("theirs", reference.transcribe), write("ours", network.transcribe)),
        **parts(network, reference, clips),
    }
    results = {name: compare(*pair, settings.repeats) for name, pair in pairs.items()}
    tokens = sum(len(network.processor.encode(text)) for text in texts["ours"])
    equal = sum(a == b for a, b in zip(texts["ours"], texts["theirs"], strict=True))
    derive(results, tokens)
    show(f"{len(clips)} recordings, {tokens} tokens, {equal} equal texts", results)
    save("offline", settings, {"results": results, "recordings": len(clips), "tokens": tokens, "equal_texts": equal})


def parts(network: GraniteSpeech, reference: Reference, clips: Sequence[Tensor]) -> dict[str, Pair]:
    """Encode and prefill, for both sides."""
    heard = [embeddings(network, clip) for clip in clips]
    prompt, embed = network.processor.prompt(), network.language_model.embed
    inputs = [torch.cat([embed(prompt.prefix), each, embed(prompt.suffix)]) for each in heard]
    their_inputs = [each.to(reference.network.dtype) for each in inputs]

    def read(each: Tensor) -> None:
        cache = network.cache(len(each) + MAX_TOKENS)
        network.extend([Extension(cache.acquire(), 0, each)], cache)

    return {
        "encode": (
            lambda: [reference.embeddings(clip) for clip in clips],
            lambda: [embeddings(network, clip) for clip in clips],
        ),
        "prefill": (
            lambda: [reference.read(each) for each in their_inputs],
            lambda: [read(each) for each in inputs],
        ),
    }


def embeddings(network: GraniteSpeech, samples: Tensor) -> Tensor:
    """Audio to embeddings, our way."""
    return network.encode([Span(network.features(samples))])[0].embeddings


def compare(theirs: Callable[[], object], ours: Callable[[], object], repeats: int) -> dict[str, Any]:
    """Median seconds of both sides, taking turns."""
    clocks: dict[str, list[Clock]] = {"theirs": [], "ours": []}
    for _ in range(repeats):
        for name, work in (("theirs", theirs), ("ours", ours)):
            with Clock() as clock:
                work()
            clocks[name].append(clock)
    result = {name: median([clock.cpu for clock in each]) for name, each in clocks.items()}
    walls = {f"{name}_wall": median([clock.wall for clock in each]) for name, each in clocks.items()}
    return {**result, **walls, "ratio": result["theirs"] / result["ours"]}


def derive(results: dict[str, Any], tokens: int) -> None:
    """Seconds a token: the whole without encode and prefill, over the tokens."""
    rest = {
        side: (results["transcribe"][side] - results["encode"][side] - results["prefill"][side]) / tokens
        for side in ("theirs", "ours")
    }
    results["token"] = {**rest, "ratio": rest["theirs"] / rest["ours"]}


def show(title: str, results: dict[str, Any]) -> None:
    """Prints both sides."""
    rows = [[name, each["theirs"], each["ours"], each["ratio"]] for name, each in results.items()]
    table(f"offline, CPU seconds: {title}", COLUMNS, rows)
