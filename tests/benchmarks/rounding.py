"""What packing weights into fewer bits costs in accuracy: each form of a model against float32, on the same recordings.

logits: root of the mean square of their difference, relative to that of the logits about their mean, over all
    positions of float32's own text. divergence: the mean Kullback-Leibler divergence of the probabilities, in nats.
tokens: share of positions at which the most likely token is float32's. embeddings: as logits.
equal texts: recordings of which both write the same. WER: against what was said, per cent.
"""

from __future__ import annotations

import gc
from typing import Any

import jiwer
import torch
from torch import Tensor

from model.guards import SPARE_TOKENS, TOKENS_PER_SECOND
from model.linear import Bits
from model.nano.peer import normalise
from model.speech import GraniteSpeech, Span
from tests.benchmarks.common import SAMPLE_RATE, Settings, recordings, texts
from tests.benchmarks.report import save, table

FORMS: dict[str, tuple[torch.dtype, Bits]] = {
    "float32": (torch.float32, "none"),
    "bfloat16": (torch.bfloat16, "none"),
    "int8": (torch.bfloat16, "int8"),
    "int4": (torch.bfloat16, "int4"),
}


def run(settings: Settings) -> None:
    """Each form, one after the other: two large networks need not fit."""
    results: dict[str, Any] = {}
    exact: dict[str, Any] = {}
    for form, (dtype, bits) in FORMS.items():
        network = GraniteSpeech.load(settings.model, dtype=dtype, quantize=bits)
        heard = hear(network, exact.get("texts"))
        exact = exact or heard
        results[form] = compare(heard, exact)
        del network
        gc.collect()
    columns = ("", *next(iter(results.values())))
    table("weights in fewer bits", columns, [[name, *each.values()] for name, each in results.items()])
    save("rounding", settings, {"recordings": len(recordings()), "results": results})


@torch.inference_mode()
def hear(network: GraniteSpeech, told: dict[str, str] | None) -> dict[str, Any]:
    """Embeddings, logits along a text (its own, if none is told), and its own text of every recording."""
    found: dict[str, Any] = {"embeddings": {}, "logits": {}, "texts": {}}
    prompt, embed = network.processor.prompt(), network.language_model.embed
    for name, clip in recordings().items():
        (heard,) = network.encode([Span(network.features(clip))])
        limit = int(TOKENS_PER_SECOND * len(clip) / SAMPLE_RATE) + SPARE_TOKENS
        found["texts"][name] = network.transcribe(clip, max_tokens=limit)
        tokens = network.processor.encode((told or found["texts"])[name])
        inputs = torch.cat([embed(prompt.prefix), heard.embeddings, embed(prompt.suffix + tokens)])
        logits = network.language_model(inputs, [len(inputs)])[-len(tokens) - 1 :]
        found["logits"][name], found["embeddings"][name] = logits.float(), heard.embeddings.float()
    return found


def compare(heard: dict[str, Any], exact: dict[str, Any]) -> dict[str, float]:
    """Figures of one form."""
    logits, true_logits = (torch.cat([*each["logits"].values()]) for each in (heard, exact))
    embeddings, true_embeddings = (torch.cat([*each["embeddings"].values()]) for each in (heard, exact))
    said = [normalise(text) for text in texts().values()]
    written = [normalise(heard["texts"][name]) for name in texts()]
    probabilities, true_probabilities = logits.log_softmax(-1), true_logits.log_softmax(-1)
    divergence = (true_probabilities.exp() * (true_probabilities - probabilities)).sum(-1)
    centred = true_logits - true_logits.mean(-1, keepdim=True)
    return {
        "embeddings": relative(embeddings, true_embeddings),
        "logits": relative(logits - logits.mean(-1, keepdim=True), centred),
        "divergence": float(divergence.mean()),
        "tokens": float((logits.argmax(-1) == true_logits.argmax(-1)).float().mean()),
        "equal texts": sum(heard["texts"][name] == text for name, text in exact["texts"].items()),
        "WER %": 100 * jiwer.wer(said, written),
    }


def relative(found: Tensor, expected: Tensor) -> float:
    """Root mean square of a difference, relative to that of what is expected."""
    return float((found - expected).norm() / expected.norm())
