"""Words at the edges: the first and last of a clip without a moment of silence around it, and those where a long
segment was cut.

first, last words kept: of the clips whose first (last) word `transcribe` finds in the whole clip, the share in which
    the stream finds it too. sound after the last word: seconds between the end of that word, by the alignment that all
    delays are counted from, and the last loud sample: by so much delays are overstated.
seams: cuts of unbroken speech, where one final begins as the one before it ends. found at seams, elsewhere: share of
    reference words found, of those that lie within half a second of a seam and of the others. doubled: seams with the
    same word on both sides that was not said twice.
noticed: seconds from the end of a word before a pause to the voice detector's first chunk without speech.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from streamer.events import Final
from streamer.voice import CHUNK, NO_SPEECH, SPEECH, VoiceDetector, VoiceState
from tests.benchmarks.common import SAMPLE_RATE, quantile
from tests.benchmarks.evaluation.corpus import Speech
from tests.benchmarks.evaluation.playing import Performance
from tests.benchmarks.words import matches, plain

NEAR_SECONDS = 0.5
PAUSE_SECONDS = 0.6
SAME_SECONDS = 0.05  # finals that are so near follow each other without a pause


def kept(performances: Sequence[Performance], whole: Sequence[str]) -> dict[str, Any]:
    """Of short speeches, and what offline makes of each as a whole."""
    figures: dict[str, Any] = {"clips": len(performances)}
    for name, place in (("first", 0), ("last", -1)):
        offline = [_found(text, each, place) for text, each in zip(whole, performances, strict=True)]
        live = [_found(each.text, each, place) for each in performances]
        heard = [found for found, there in zip(live, offline, strict=True) if there]
        figures[f"{name} words that offline finds"] = len(heard)
        figures[f"{name} words kept"] = sum(heard) / max(1, len(heard))
    ends = [len(each.speech.samples) / SAMPLE_RATE - each.speech.words[-1].end for each in performances]
    return {**figures, "sound after the last word p50": quantile(ends, 0.5)}


def _found(text: str, performance: Performance, place: int) -> bool:
    said = [word.text for word in performance.speech.words]
    return range(len(said))[place] in {reference for _, reference in matches(text.split(), said)}


def seams(performances: Sequence[Performance]) -> dict[str, Any]:
    """Of unbroken speech."""
    near, elsewhere, cuts, doubled = list[bool](), list[bool](), 0, 0
    for performance in performances:
        finals = performance.finals
        borders = [(one, two) for one, two in pairwise(finals) if two.start - one.end < SAME_SECONDS]
        cuts += len(borders)
        doubled += sum(_doubled(performance, *border) for border in borders)
        said = [word.text for word in performance.speech.words]
        found = {reference for _, reference in matches(performance.text.split(), said)}
        for index, word in enumerate(performance.speech.words):
            at_seam = any(word.start - NEAR_SECONDS < two.start < word.end + NEAR_SECONDS for _, two in borders)
            (near if at_seam else elsewhere).append(index in found)
    return {
        "seams": cuts,
        "words near seams": len(near),
        "found at seams": sum(near) / max(1, len(near)),
        "found elsewhere": sum(elsewhere) / max(1, len(elsewhere)),
        "doubled": doubled,
    }


def _doubled(performance: Performance, one: Final, two: Final) -> bool:
    left, right = one.text.split()[-1:], two.text.split()[:1]
    if list(map(plain, left)) != list(map(plain, right)) or not left:
        return False
    around = [plain(word.text) for word in performance.speech.words if abs(word.start - two.start) < 2 * NEAR_SECONDS]
    return (plain(left[0]), plain(left[0])) not in pairwise(around)


def noticed(detector: VoiceDetector, speeches: Sequence[Speech]) -> dict[str, Any]:
    """How late pauses are noticed."""
    late = list[float]()
    for speech in speeches:
        (voice,) = detector.listen([speech.samples[: len(speech.samples) // CHUNK * CHUNK]], [VoiceState()])
        ends = [word.end for word in speech.words]
        begins = [word.start for word in speech.words[1:]] + [len(speech.samples) / SAMPLE_RATE]
        for end, begin in zip(ends, begins, strict=True):
            if begin - end < PAUSE_SECONDS:
                continue
            first, last = round(end * SAMPLE_RATE / CHUNK), round(begin * SAMPLE_RATE / CHUNK)
            pause = voice[first:last].tolist()
            spoken = max((at + 1 for at, each in enumerate(pause[: len(pause) // 2]) if each >= SPEECH), default=0)
            quiet = next((at for at, each in enumerate(pause) if at >= spoken and each < NO_SPEECH), len(pause))
            late.append((first + quiet) * CHUNK / SAMPLE_RATE - end)
    return {"pauses": len(late), "noticed after p50": quantile(late, 0.5), "noticed after p95": quantile(late, 0.95)}
