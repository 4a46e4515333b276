"""How soon words are seen, promised and final. Every time is seconds of audio fed when the event came.

Each recording is followed by 1.5 s of digital silence, so that every segment ends by itself, and fed 100 ms at a time.
first partial: first partial with text - start of speech (of the segment's first reference word).
commit delay: for each word, when it was committed - its end. display delay: since when it stood in its place in its
    final form - its end. Words that are no reference words are left out (`matched` is the share of those that are).
final delay: of the final - end of speech (of the segment's last reference word); with the endpoint's silence in it.
flicker: characters erased from the shown text, over all updates, the final included / characters of the finals; raw,
    and on lower case without punctuation.
compute: CPU seconds of the feed that brought a partial or a final; it comes on top of every delay.
Reference words and their times: forced alignment of the transcript by the model's own CTC head.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from model.alignment import align
from model.features import FRAME_SECONDS
from model.speech import GraniteSpeech, Span
from streamer.engine import Engine
from streamer.events import Final, Partial
from streamer.options import Options
from tests.benchmarks.common import SAMPLE_RATE, Settings, feeds, quantile, recordings, texts
from tests.benchmarks.delays import Delays, Spoken, add
from tests.benchmarks.report import save, table

TAIL_SECONDS = 1.5
STEPS_MS = (300, 600)


def run(settings: Settings) -> None:
    """Every recording at every step."""
    engine = Engine(settings.load())
    results = {f"step {step} ms": measure(engine, Options(step_ms=step)) for step in STEPS_MS}
    rows = [[key, *(each[key] for each in results.values())] for key in next(iter(results.values()))]
    table("latency, seconds of audio", ("", *results), rows)
    save("latency", settings, {"results": results})


def measure(engine: Engine, options: Options) -> dict[str, Any]:
    """One step over all recordings."""
    delays, reference = Delays(), texts()
    for name, samples in recordings().items():
        spoken = placed(engine.model, reference[name], samples)
        history: list[tuple[float, Partial | Final]] = []
        for fed, clock, events in feeds(
            engine.open(options), torch.cat([samples, torch.zeros(int(TAIL_SECONDS * SAMPLE_RATE))])
        ):
            told = [(fed, event) for event in events if isinstance(event, Partial | Final)]
            history += told
            delays.compute += [clock.cpu] if told else []
        for index in sorted({event.segment for _, event in history}):
            add(delays, [(fed, event) for fed, event in history if event.segment == index], spoken)
    silence = options.endpoint_ms / 1000
    spread = {
        f"{name} p{round(100 * share)}": quantile(getattr(delays, attribute), share)
        for name, attribute in (
            ("first partial", "first_partial"),
            ("commit delay", "commit"),
            ("display delay", "display"),
            ("final delay", "final"),
            ("compute", "compute"),
        )
        for share in (0.5, 0.95)
    }
    return {
        **spread,
        "final delay less endpoint p50": quantile(delays.final, 0.5) - silence,
        "final delay less endpoint p95": quantile(delays.final, 0.95) - silence,
        "flicker NE raw": sum(delays.erased) / sum(delays.shown),
        "flicker NE normalised": sum(delays.erased_plain) / sum(delays.shown_plain),
        "matched": len(delays.commit) / delays.words,
    }


def placed(model: GraniteSpeech, text: str, samples: Tensor) -> list[Spoken]:
    """The reference words by forced alignment over the offline encoding."""
    (heard,) = model.encode([Span(model.features(samples))])
    words = text.split()
    spans = align(words, heard.log_probs, model.alphabet)
    assert spans is not None, f"{len(words)} words do not fit {len(heard.log_probs)} frames"
    return [
        Spoken(word, span.start * FRAME_SECONDS, span.end * FRAME_SECONDS)
        for word, span in zip(words, spans, strict=True)
    ]
