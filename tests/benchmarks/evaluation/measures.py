"""From performances to figures. Times are seconds.

WER offline: of `model.transcribe` on the audio of each final; WER stream: of the finals; gap: their difference, gap
    relative: the same in units of WER offline. Texts are compared in small letters without punctuation.
finals equal to offline: share whose text is exactly that of `transcribe`.
first partial, commit, display, final less endpoint: see `delays`; audio fed and compute together. The rows `of audio`
    are the same in audio alone: what is between the two is compute, whose spread is in `compute`.
committed early: share of the words found that were committed before the final.
forwards per final word: calls of the language model / words of finals; it cannot be less than updates per final word,
    which are calls of the encoder. tax: CPU seconds of the stream / those of
    `transcribe` on its finals' audio. RTF: CPU seconds / audio seconds.
word start, word end: distance of a final's word from the reference word by forced alignment.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jiwer

from tests.benchmarks.common import quantile
from tests.benchmarks.delays import Delays, add
from tests.benchmarks.evaluation.confidence import Judged
from tests.benchmarks.evaluation.playing import Performance
from tests.benchmarks.words import matches, plain_text

SHARES = (0.5, 0.95)
Figures = dict[str, Any]


def measure(performances: Sequence[Performance], endpoint_seconds: float) -> Figures:
    """All figures of a part."""
    return {
        **_accuracy(performances),
        **_delays(performances, endpoint_seconds),
        **_cost(performances),
        **_places(performances),
        "retractions": sum(each.retractions for each in performances),
        "segments": sum(len(each.finals) for each in performances),
    }


def _accuracy(performances: Sequence[Performance]) -> Figures:
    said = [plain_text(" ".join(word.text for word in each.speech.words)) for each in performances]
    live = [plain_text(each.text) for each in performances]
    offline = [plain_text(" ".join(each.offline)) for each in performances]
    pairs = [pair for each in performances for pair in zip(each.finals, each.offline, strict=True)]
    stream_rate, offline_rate = jiwer.wer(said, live), jiwer.wer(said, offline)
    return {
        "WER offline": offline_rate,
        "WER stream": stream_rate,
        "gap": stream_rate - offline_rate,
        "gap relative": (stream_rate - offline_rate) / offline_rate if offline_rate else stream_rate,
        "finals equal to offline": sum(final.text == text for final, text in pairs) / max(1, len(pairs)),
    }


def _delays(performances: Sequence[Performance], endpoint_seconds: float) -> Figures:
    both, audio = Delays(), Delays()
    late = []
    for performance in performances:
        for segment in performance.segments:
            add(both, [(said.time, said.event) for said in segment], performance.speech.words)
            add(audio, [(said.fed, said.event) for said in segment], performance.speech.words)
            late += [said.late for said in segment]
    figures = {}
    for delays, name in ((both, ""), (audio, " of audio")):
        for what, values in (
            ("first partial", delays.first_partial),
            ("commit", delays.commit),
            ("display", delays.display),
            ("final less endpoint", [each - endpoint_seconds for each in delays.final]),
        ):
            figures |= {f"{what}{name} p{round(100 * share)}": quantile(values, share) for share in SHARES}
    return {
        **figures,
        **{f"compute p{round(100 * share)}": quantile(late, share) for share in SHARES},
        "committed early": both.early / max(1, len(both.commit)),
        "matched": len(both.commit) / max(1, both.words),
        "flicker raw": sum(both.erased) / max(1, sum(both.shown)),
        "flicker normalised": sum(both.erased_plain) / max(1, sum(both.shown_plain)),
    }


def _cost(performances: Sequence[Performance]) -> Figures:
    words = sum(len(final.text.split()) for each in performances for final in each.finals)
    cpu, offline = sum(each.cpu for each in performances), sum(each.offline_cpu for each in performances)
    audio = sum(each.said[-1].fed for each in performances if each.said)
    return {
        "forwards per final word": sum(each.forwards for each in performances) / max(1, words),
        "updates per final word": sum(each.updates for each in performances) / max(1, words),
        "tax": cpu / offline if offline else float("nan"),
        "RTF": cpu / audio if audio else float("nan"),
    }


def _places(performances: Sequence[Performance]) -> Figures:
    starts, ends = [], []
    for performance in performances:
        for final in performance.finals:
            said = [word for word in performance.speech.words if final.start <= word.start < final.end]
            for at, reference in matches([word.word for word in final.words], [word.text for word in said]):
                starts.append(abs(final.words[at].start - said[reference].start))
                ends.append(abs(final.words[at].end - said[reference].end))
    return {
        f"{name} p{round(100 * share)}": quantile(values, share)
        for name, values in (("word start", starts), ("word end", ends))
        for share in SHARES
    }


def drafting(performances: Sequence[Performance], without: Sequence[Performance]) -> Figures:
    """Of the same speeches with and without drafts by the CTC head."""
    texts = [[final.text for each in played for final in each.finals] for played in (performances, without)]
    words = max(1, sum(len(text.split()) for text in texts[0]))
    cpu = sum(each.cpu for each in performances)
    return {
        "forwards per final word": sum(each.forwards for each in performances) / words,
        "without drafts": sum(each.forwards for each in without) / words,
        "CPU without / with": sum(each.cpu for each in without) / cpu if cpu else float("nan"),
        "texts that differ": sum(one != other for one, other in zip(*texts, strict=True)),
    }


def judged(performances: Sequence[Performance]) -> list[Judged]:
    """Every word of the finals: how sure the stream was, and whether it was right."""
    found = []
    for performance in performances:
        for final in performance.finals:
            said = [word.text for word in performance.speech.words if final.start <= word.start < final.end]
            right = {at for at, _ in matches([word.word for word in final.words], said)}
            found += [Judged(word.confidence, at in right) for at, word in enumerate(final.words)]
    return found
