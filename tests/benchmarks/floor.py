"""What the running floor costs: a bin louder than all before it raises the floor, also under frames already settled.

Segments are unbroken speech of 10 to 30 s whose phrases differ in loudness by so many decibels; they go through
`Hearing` in updates of 600 ms.
updates past it: share of updates at which settled frames are out of date, because the floor has reached them.
reaches settled frames: share of segments whose final floor lies above a value of a settled frame: the final then
    encodes the whole segment anew.
extra encoding: frames encoded only for that / frames of audio. If ignored: the largest relative error of embeddings if
    the final kept the settled frames, and the share of texts that would change.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from torch import Tensor

from model.features import feature_floor
from model.speech import GraniteSpeech
from streamer.hearing import Hearing
from tests.benchmarks.common import FEED_SAMPLES, Settings, unbroken
from tests.benchmarks.report import save, table
from tests.benchmarks.writing import relative_error, write

SEGMENTS = 12
STEP_SAMPLES = 6 * FEED_SAMPLES
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
    reached, extra, frames, worst, changed, updates, rises = 0, 0, 0, 0.0, 0, 0, 0
    for index in range(SEGMENTS):
        samples = unbroken(10 + 20 * index / SEGMENTS, seed=index, gain_db=gain_db)
        exact, ignored, seen = both_ways(network, samples)
        frames += exact.heard
        updates += seen["updates"]
        rises += seen["rises"]
        if seen["reached"]:
            reached += 1
            extra += seen["extra"]
            worst = max(worst, relative_error(ignored.embeddings, exact.embeddings))
            changed += write(network, ignored.embeddings) != write(network, exact.embeddings)
    return {
        "updates past it": rises / updates,
        "reaches settled frames": reached / SEGMENTS,
        "extra encoding": extra / frames,
        "if ignored: error": worst,
        "if ignored: texts changed": changed / SEGMENTS,
    }


def both_ways(network: GraniteSpeech, samples: Tensor) -> tuple[Hearing, Hearing, dict[str, int]]:
    """One segment as it is done, and, where that differs, as if the floor could not reach settled frames."""
    config, seen = network.config, {"updates": 0, "rises": 0, "reached": 0, "extra": 0}
    hearing = Hearing(network.features, config.encoder.context_size, config.window_size, config.window_embeddings)
    ignored = hearing
    for start in range(0, len(samples), STEP_SAMPLES):
        hearing.feed(samples[start : start + STEP_SAMPLES])
        hearing.ended = start + STEP_SAMPLES >= len(samples)
        quietest, settled = hearing._quietest, hearing._settled.frame
        if hearing.ended:
            ignored = deepcopy(hearing)
            ignored._quietest = float("inf")
        span = hearing.span()
        above = feature_floor(float(hearing._raw.max())) > quietest
        hearing.take(span, network.encode([span])[0])
        seen["updates"] += 1
        seen["rises"] += above
        seen["reached"], seen["extra"] = int(above), settled if above else 0
    if seen["reached"]:
        span = ignored.span()
        ignored.take(span, network.encode([span])[0])
    return hearing, ignored, seen
