"""Streaming against the obvious way: transcribe the growing segment anew at every update.

theirs: CPU seconds of transformers (features and greedy `generate`, float32, at most the tokens our guard allows) on
    the first 600 ms, 1200 ms … of every segment and once on the whole of it; plus our voice detector, which finds the
    segments for both.
ours: CPU seconds of `Engine` with step 600 ms on the same recordings, everything included.
ratio: theirs / ours, all recordings together, same weights, one run. It grows with the length of segments, which is a
    few seconds in most recordings; so beside them stands one of the longest that may be, speech without a pause.
"""

from __future__ import annotations

from streamer.engine import Engine
from streamer.options import Options
from tests.benchmarks.common import Settings, cpu_seconds, cut_out, recordings, streamed, unbroken
from tests.benchmarks.reference import Reference
from tests.benchmarks.report import save, table
from tests.benchmarks.stages import Stages

STEP_SAMPLES = 9_600  # 600 ms
LONG, LONG_SECONDS = "without a pause", 28.0
OPTIONS = Options(step_ms=600)


def run(settings: Settings) -> None:
    """Measures every recording once on either side; there are enough of them."""
    engine, reference = Engine(settings.load()), Reference.load(settings.model)
    results = {}
    for name, samples in [*recordings().items(), (LONG, unbroken(LONG_SECONDS, seed=0))]:
        stages, said = Stages(), []
        with stages.watch(engine):
            ours = cpu_seconds(lambda samples=samples, said=said: said.append(streamed(engine, samples, OPTIONS)))
        growing = []
        for final in said[0].finals:
            segment = cut_out(samples, final)
            growing += [segment[:end] for end in range(STEP_SAMPLES, len(segment), STEP_SAMPLES)] + [segment]
        reference.transcribe(growing[0])
        theirs = cpu_seconds(lambda growing=growing: [reference.transcribe(each) for each in growing])
        theirs += stages.clocks["listen"].cpu
        results[name] = {"ours": ours, "theirs": theirs, "ratio": theirs / ours, "updates": len(growing)}
    short = [result for name, result in results.items() if name != LONG]
    total = {key: sum(result[key] for result in short) for key in ("ours", "theirs", "updates")}
    results["all recordings"] = {**total, "ratio": total["theirs"] / total["ours"]}
    rows = [[name, *(each[key] for key in ("updates", "theirs", "ours", "ratio"))] for name, each in results.items()]
    table("re-transcription at every update, CPU seconds", ("", "updates", "transformers", "ours", "ratio"), rows)
    save("retranscription", settings, {"results": results})
