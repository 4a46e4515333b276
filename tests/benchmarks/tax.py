"""What streaming costs more than one offline pass over the same audio, and where.

streaming tax: CPU seconds of `Engine` fed 100 ms at a time / CPU seconds of `model.transcribe` over the audio of its
    finals (start to end), all recordings together, median of repeats.
breakdown: each stage's CPU seconds / CPU seconds of that same offline pass; the parts add up to the tax.
frames encoded: encoder frames computed / frames of the finals' audio; an offline pass has 1.
forwards, positions: calls of the language model and positions read, for each update (a call of `encode`).
"""

from __future__ import annotations

from typing import Any

from streamer.engine import Engine
from streamer.options import Options
from tests.benchmarks.common import Settings, cpu_seconds, cut_out, median, recordings, streamed
from tests.benchmarks.report import save, table
from tests.benchmarks.stages import FRAMES_A_SECOND, Stages

MODES = {
    "step 600 ms": Options(step_ms=600),
    "step 300 ms": Options(step_ms=300),
    "finals only": Options(partials=False),
}
STAGES = ("features", "listen", "encode", "extend", "align")


def run(settings: Settings) -> None:
    """Measures each mode."""
    engine = Engine(settings.load())
    results = {name: measure(engine, options, settings.repeats) for name, options in MODES.items()}
    columns = ["", *results]
    rows = [[key, *(result[key] for result in results.values())] for key in next(iter(results.values()))]
    table("streaming tax and its parts, in units of one offline pass", columns, rows)
    save("tax", settings, {"results": results})


def measure(engine: Engine, options: Options, repeats: int) -> dict[str, Any]:
    """One mode over all recordings."""
    runs = [once(engine, options) for _ in range(repeats)]
    return {key: median([each[key] for each in runs]) for key in runs[0]}


def once(engine: Engine, options: Options) -> dict[str, Any]:
    """Streams every recording, then transcribes its segments."""
    stages, offline_stages, whole, offline, audio, equal, finals = Stages(), Stages(), 0.0, 0.0, 0.0, 0, 0
    for samples in recordings().values():
        with stages.watch(engine):
            said: list[Any] = []
            whole += cpu_seconds(lambda samples=samples, said=said: said.append(streamed(engine, samples, options)))
        segments = [cut_out(samples, final) for final in said[0].finals]
        written: list[str] = []
        with offline_stages.watch(engine):
            offline += cpu_seconds(
                lambda segments=segments, written=written: written.extend(map(engine.model.transcribe, segments))
            )
        audio += sum(final.end - final.start for final in said[0].finals)
        equal += sum(final.text == text for final, text in zip(said[0].finals, written, strict=True))
        finals += len(written)
    counts, updates = stages.counts, stages.counts["encode_calls"]
    parts = {stage: stages.clocks[stage].cpu / offline for stage in STAGES}
    return {
        "tax": whole / offline,
        **parts,
        "rest": whole / offline - sum(parts.values()),
        "frames encoded": counts["frames"] / (audio * FRAMES_A_SECOND),
        "updates a second": updates / audio,
        "forwards an update": counts["forwards"] / updates,
        "single-token forwards an update": counts["single_token_forwards"] / updates,
        "positions an update": counts["positions"] / updates,
        "ms an update": 1000 * whole / updates,
        "ms a voice call": 1000 * stages.clocks["listen"].cpu / counts["listen_calls"],
        "ms an encode": 1000 * stages.clocks["encode"].cpu / updates,
        "ms a forward": 1000 * stages.clocks["extend"].cpu / counts["forwards"],
        "offline: share of encode": offline_stages.clocks["encode"].cpu / offline,
        "offline: share of extend": offline_stages.clocks["extend"].cpu / offline,
        "offline: forwards a segment": offline_stages.counts["forwards"] / finals,
        "offline RTF": offline / audio,
        "stream RTF": whole / audio,
        "finals": finals,
        "finals equal to offline": equal,
    }
