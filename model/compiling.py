"""The network under torch.compile: what it computes stays the same, and nothing is compiled while somebody waits.

The layers of a stack are alike, so what is compiled for one serves all: weights and keys are arguments. Lengths are
symbols, so it serves all lengths too. What remains are few *forms* of work, such as one stream or several, one token or
several. Each is rehearsed once. Whatever no rehearsal foresaw runs uncompiled: slower, but at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import torch
from torch._dynamo import config as dynamo
from torch._dynamo.exc import BackendCompilerFailed
from torch.fx.experimental import _config as symbols

from model.encoder import ConformerLayer
from model.errors import GraniteStreamError
from model.granite import DecoderLayer, Extension
from model.projector import Projector
from model.speech import GraniteSpeech, Span

START_FRAMES = 30  # two windows, so that what follows begins with one
FRAMES = (7, 20, 90)  # one window, two, many; packed weights have kernels of their own for up to 8 rows
POSITIONS = (1, 3, 20, 120)  # and for up to 96
CLIPS = (1, 2)
SLOTS = ((0,), (0, 1), (0, 2))  # one stream; neighbours in the cache; others
MOST_FORMS = 32  # of a layer


def compile_layers(network: GraniteSpeech, backend: str = "inductor") -> None:
    """Compiles every layer of a loaded network, for all forms of work.

    Args:
        network: whose layers are exchanged for compiled ones.
        backend: what torch makes code with.

    Raises:
        GraniteStreamError: there is no compiler for what torch.compile writes.
    """
    layers = [each for each in network.modules() if isinstance(each, ConformerLayer | Projector | DecoderLayer)]
    for layer in layers:
        compiled: Any = torch.compile(layer.forward, fullgraph=True, dynamic=True, backend=backend)
        layer.forward = compiled  # type: ignore[method-assign]
    try:
        # two lengths that happen to be equal in a rehearsal must not be taken for one
        one_symbol_each = symbols.patch(use_duck_shape=False)  # type: ignore[attr-defined]
        with dynamo.patch(recompile_limit=MOST_FORMS), one_symbol_each:
            _rehearse_encode(network)
            _rehearse_extend(network)
    except BackendCompilerFailed as error:
        raise GraniteStreamError(
            f"torch.compile cannot build its code here ({type(error.inner_exception).__name__}): "
            "install a C++ compiler and Python's headers (apt-get install g++ python3-dev), or do not compile"
        ) from None
    rehearsed = torch.compiler.set_stance("eager_on_recompile")
    network.encode = rehearsed(network.encode)  # type: ignore[method-assign]
    network.extend = rehearsed(network.extend)  # type: ignore[method-assign]


def _rehearse_encode(network: GraniteSpeech) -> None:
    """One block or several, with keys before them and without."""

    def silence(frames: int) -> torch.Tensor:
        return torch.zeros(frames, network.config.encoder.input_dim)

    (start,) = network.encode([Span(silence(START_FRAMES), borders=(START_FRAMES,))])
    for frames, left, clips in product(FRAMES, (None, start.edges[0]), CLIPS):
        network.encode([Span(silence(frames), START_FRAMES if left else 0, left)] * clips)


def _rehearse_extend(network: GraniteSpeech) -> None:
    """One token or several, for one stream or several, side by side in the cache or not."""
    for slots, positions in product(SLOTS, POSITIONS):
        cache = network.cache(2 * max(POSITIONS))
        for _ in range(max(slots) + 1):
            cache.acquire()
        network.extend(_extensions(network, slots, 2), cache)  # a slot of one position would be a form of its own
        network.extend(_extensions(network, slots, positions, 2), cache)


def _extensions(network: GraniteSpeech, slots: Sequence[int], positions: int, start: int = 0) -> list[Extension]:
    counts = [positions + index if positions > 1 else 1 for index in range(len(slots))]
    embeddings = network.language_model.embed([0] * max(counts))
    return [Extension(slot, start, embeddings[:count]) for slot, count in zip(slots, counts, strict=True)]
