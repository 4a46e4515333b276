"""What settling blocks would cost in features: a bin louder than all before it raises the floor under all frames.

Segments are unbroken speech of 10 to 30 s whose phrases differ in loudness by so many decibels.
reaches settled frames: share of segments in which the floor of the whole lies above a value in a block that could have
    been settled, one block late, with the floor of its time.
if ignored: the largest relative error of embeddings if such blocks kept their features, and the share of texts that
    would change. `Hearing` does not: a final is encoded with the floor of the whole segment.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from model.features import HOP, REACH, MelState, stack
from model.speech import GraniteSpeech, Span
from tests.benchmarks.common import Settings, unbroken
from tests.benchmarks.report import save, table
from tests.benchmarks.writing import relative_error, write

SEGMENTS = 12
GAINS_DB = (0.0, 6.0, 20.0)


def run(settings: Settings) -> None:
    """Segments at several ranges of loudness."""
    network = settings.load()
    results = {f"±{gain:g} dB": measure(network, gain) for gain in GAINS_DB}
    columns = ("loudness", *next(iter(results.values())))
    table("the running floor", columns, [[name, *each.values()] for name, each in results.items()])
    save("floor", settings, {"segments": SEGMENTS, "results": results})


def measure(network: GraniteSpeech, gain_db: float) -> dict[str, Any]:
    """One range of loudness."""
    reached, worst, changed = 0, 0.0, 0
    for index in range(SEGMENTS):
        samples = unbroken(10 + 20 * index / SEGMENTS, seed=index, gain_db=gain_db)
        then, now = with_the_floors_of_their_time(network, samples), network.features(samples)
        if torch.equal(then, now):
            continue
        kept, exact = (each.embeddings for each in network.encode([Span(then), Span(now)]))
        reached += 1
        worst = max(worst, relative_error(kept, exact))
        changed += write(network, kept) != write(network, exact)
    return {
        "reaches settled frames": reached / SEGMENTS,
        "if ignored: error": worst,
        "if ignored: texts changed": changed / SEGMENTS,
    }


def with_the_floors_of_their_time(network: GraniteSpeech, samples: Tensor) -> Tensor:
    """Features whose blocks have the floor known when their right neighbour was full; the last ones that of the end."""
    block, state = 2 * network.config.encoder.context_size, MelState()  # in mel frames
    raw = torch.cat([network.features.push(samples, state), network.features.finish(state)])
    assert len(raw) * HOP > len(samples) - REACH
    settled = max(0, len(raw) // block - 1) * block
    pieces = [stack(raw[at : at + block], float(raw[: at + 2 * block].max())) for at in range(0, settled, block)]
    return torch.cat([*pieces, stack(raw[settled:], float(raw.max()))])
