"""From one segment's partials and final to delays and flicker, in whatever clock the events are given.

first partial: first partial with text - start of speech (of the segment's first reference word).
commit delay: for each word, when it was committed - its end. early: it was committed before the final.
display delay: since when the word stood in its place in its final form - its end.
final delay: of the final - end of speech (of the segment's last reference word); with the endpoint's silence in it.
flicker: characters erased from the shown text, over all updates, the final included / characters of the finals; raw,
    and on small letters without punctuation.
Words that are no reference words have no delay; `matched` is the share of reference words that do.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from streamer.events import Final, Partial
from tests.benchmarks.words import Spoken, matches, plain


@dataclass
class Delays:
    """Figures gathered over recordings, seconds."""

    first_partial: list[float] = field(default_factory=list)
    commit: list[float] = field(default_factory=list)
    display: list[float] = field(default_factory=list)
    final: list[float] = field(default_factory=list)
    erased: list[int] = field(default_factory=list)  # characters
    erased_plain: list[int] = field(default_factory=list)
    shown: list[int] = field(default_factory=list)
    shown_plain: list[int] = field(default_factory=list)
    words: int = 0
    early: int = 0  # words committed before the final


def add(delays: Delays, history: Sequence[tuple[float, Partial | Final]], spoken: Sequence[Spoken]) -> None:
    """One segment: its partials and at last its final, each with the seconds fed when it came."""
    fed, final = history[-1]
    assert isinstance(final, Final), f"the last event of a segment is its final, not {final}"
    said = [word for word in spoken if final.start <= word.start < final.end]
    delays.words += len(said)
    if not said:
        return
    shown = [text_of(event) for _, event in history]
    flicker(delays, shown)
    if first := next((at for (at, _), text in zip(history, shown, strict=True) if text.strip()), None):
        delays.first_partial.append(first - said[0].start)
    delays.final.append(fed - said[-1].end)
    words = final.text.split()
    for at, reference in matches(words, [word.text for word in said]):
        end, committed = said[reference].end, committed_at(history, at)
        delays.commit.append(committed - end)
        delays.early += committed < fed
        delays.display.append(standing_since(history, shown, at, words[at]) - end)


def text_of(event: Partial | Final) -> str:
    """What is on screen."""
    return event.text if isinstance(event, Final) else event.committed + event.draft


def committed_at(history: Sequence[tuple[float, Partial | Final]], word: int) -> float:
    """When the word at this place was promised; the final promises the rest."""
    for fed, event in history:
        if isinstance(event, Final) or len(event.committed.split()) > word:
            return fed
    raise AssertionError("a segment ends with a final")


def standing_since(
    history: Sequence[tuple[float, Partial | Final]], shown: Sequence[str], word: int, text: str
) -> float:
    """Since when the word stood in its place unchanged."""
    since = history[-1][0]
    for (fed, _), each in zip(reversed(history), reversed(shown), strict=True):
        if list(map(plain, each.split()[word : word + 1])) != [plain(text)]:
            break
        since = fed
    return since


def flicker(delays: Delays, shown: Sequence[str]) -> None:
    """Characters erased from one text to the next."""
    plain = [re.sub(r"[^\w\s]", "", text.lower()) for text in shown]
    for versions, erased, length in (
        (shown, delays.erased, delays.shown),
        (plain, delays.erased_plain, delays.shown_plain),
    ):
        pairs = zip(["", *versions], versions, strict=False)
        erased.append(sum(len(old) - common_prefix(old, new) for old, new in pairs))
        length.append(len(versions[-1]))


def common_prefix(old: str, new: str) -> int:
    """How many characters at the start are the same."""
    pairs = enumerate(zip(old, new, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(old), len(new)))
