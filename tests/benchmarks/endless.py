"""One stream without an end, at full speed: does anything grow?

An hour (`--minutes`) of the recordings' phrases in random order, minutes with pauses of 0.2 to 2 s and minutes without
any in turn, through `Engine` with step 600 ms and 100 ms feeds, as `--live --speed 0` does.
cost of an update: CPU seconds of all feeds / calls of `encode`, in the first and in the last ten minutes.
memory slope: least squares over resident memory at the end of each minute after the first ten, MB for an hour of audio.
retractions: events that changed committed text, finals included; must be 0.
"""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import psutil
import torch
from torch import Tensor

from streamer.engine import Engine
from streamer.options import Options
from tests.benchmarks.common import SAMPLE_RATE, Captions, Clock, Settings, phrases
from tests.benchmarks.report import save, table
from tests.benchmarks.stages import Stages

OPTIONS = Options(step_ms=600)
PAUSE_SECONDS = (0.2, 2.0)
SETTLING_MINUTES = 10  # at the start, which the slope leaves out


def run(settings: Settings) -> None:
    """Streams minute by minute, so that the audio itself takes no memory."""
    engine, chance, captions = Engine(settings.load()), random.Random(0), Captions()
    stream = engine.open(OPTIONS)
    minutes: list[dict[str, float]] = []
    for index in range(round(settings.minutes)):
        audio = one_minute(chance, pauses=index % 2 == 0)
        stages, cost, words = Stages(), Clock(), _words(captions)
        with stages.watch(engine):
            for start in range(0, len(audio), SAMPLE_RATE // 10):
                with cost:
                    events = stream.feed(audio[start : start + SAMPLE_RATE // 10])
                captions.show(events)
        minutes.append(
            {
                "cpu": cost.cpu,
                "updates": stages.counts["encode_calls"],
                "forwards": stages.counts["forwards"],
                "rss_mb": psutil.Process().memory_info().rss / 1e6,
                "words": _words(captions) - words,
            }
        )
    captions.show(stream.finish())
    results = summary(minutes, captions)
    table(f"{len(minutes)} minutes in one stream", ("", "figure"), list(results.items()))
    save("endless", settings, {"results": results, "minutes": minutes})


def one_minute(chance: random.Random, pauses: bool) -> Tensor:
    """Phrases up to exactly a minute."""
    parts, length = [], 0
    while length < 60 * SAMPLE_RATE:
        phrase = chance.choice(phrases())
        silence = torch.zeros(int(chance.uniform(*PAUSE_SECONDS) * SAMPLE_RATE) if pauses else 0)
        parts += [phrase, silence]
        length += len(phrase) + len(silence)
    return torch.cat(parts)[: 60 * SAMPLE_RATE]


def summary(minutes: list[dict[str, float]], captions: Captions) -> dict[str, Any]:
    """The figures of the module's docstring."""
    ten = max(2, min(SETTLING_MINUTES, len(minutes) // 6 * 2))  # even: as many with pauses as without

    def cost(some: list[dict[str, float]]) -> float:
        return 1000 * sum(each["cpu"] for each in some) / max(1, sum(each["updates"] for each in some))

    memory = [each["rss_mb"] for each in minutes[ten:]]
    slope = float(np.polyfit(np.arange(len(memory)) / 60, memory, 1)[0]) if len(memory) > 1 else float("nan")
    lengths = [final.end - final.start for final in captions.finals]
    return {
        f"ms an update, first {ten} minutes": cost(minutes[:ten]),
        f"ms an update, last {ten} minutes": cost(minutes[-ten:]),
        "last / first": cost(minutes[-ten:]) / cost(minutes[:ten]),
        "RTF": sum(each["cpu"] for each in minutes) / 60 / len(minutes),
        "memory slope, MB/h": slope,
        "memory at the end, MB": minutes[-1]["rss_mb"],
        "segments": len(lengths),
        "longest segment, s": max(lengths, default=0.0),
        "words a minute": _words(captions) / len(minutes),
        "partials": captions.partials,
        "retractions": captions.retractions,
    }


def _words(captions: Captions) -> int:
    return sum(len(final.text.split()) for final in captions.finals)
