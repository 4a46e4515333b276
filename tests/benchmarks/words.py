"""Words that were said: where they lie in a recording, and which of them were written down."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import jiwer
from torch import Tensor

from model.alignment import align
from model.features import FRAME_SECONDS
from model.speech import GraniteSpeech, Span


@dataclass
class Spoken:
    """A reference word and where it lies, seconds."""

    text: str
    start: float
    end: float


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


def plain(word: str) -> str:
    """A word as it is compared: small letters, no punctuation. Never empty, so that words keep their number."""
    return re.sub(r"[^\w']", "", word.lower()) or "-"


def plain_text(text: str) -> str:
    """A text as it is compared."""
    return " ".join(map(plain, text.split()))


def matches(written: Sequence[str], said: Sequence[str]) -> list[tuple[int, int]]:
    """Which written word is which of those that were said, by the alignment that the word error rate counts in."""
    if not written or not said:
        return []
    aligned = jiwer.process_words(" ".join(map(plain, said)), " ".join(map(plain, written))).alignments[0]
    return [
        (chunk.hyp_start_idx + offset, chunk.ref_start_idx + offset)
        for chunk in aligned
        if chunk.type == "equal"
        for offset in range(chunk.hyp_end_idx - chunk.hyp_start_idx)
    ]
