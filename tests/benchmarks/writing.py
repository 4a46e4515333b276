"""Text from embeddings, greedily: what the language model makes of audio that was encoded one way or another."""

from __future__ import annotations

import torch
from torch import Tensor

from model.granite import Extension
from model.guards import loop_length
from model.speech import GraniteSpeech

SECONDS_AN_EMBEDDING = 0.1
TOKENS_A_SECOND = 8


@torch.inference_mode()
def write(network: GraniteSpeech, embeddings: Tensor) -> str:
    """Greedy text of one segment's embeddings `[n, width]`."""
    limit = int(TOKENS_A_SECOND * SECONDS_AN_EMBEDDING * len(embeddings))
    prompt, embed = network.processor.prompt(), network.language_model.embed
    inputs = torch.cat([embed(prompt.prefix), embeddings, embed(prompt.suffix)])
    cache = network.cache(len(inputs) + limit)
    slot, tokens = cache.acquire(), []
    while len(tokens) < limit and not loop_length(tokens, lambda _phrase: 0):
        (said,) = network.extend([Extension(slot, cache.lengths[slot], inputs)], cache)
        if said.tokens[-1] == network.processor.stop_token:
            break
        tokens += said.tokens
        inputs = embed(tokens[-1:])
    return network.processor.decode(tokens).strip()


def relative_error(found: Tensor, true: Tensor) -> float:
    """Largest difference / largest true value."""
    return float((found - true).abs().max() / true.abs().max())
