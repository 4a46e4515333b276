"""When a word is certain enough to be promised, and when to be shown. What is committed is never taken back.

How much evidence a word needs depends on how likely the model holds it: a ladder tells how many updates in a row must
have written it the same, and everything before it, and how long ago it must have ended, so that what is said now cannot
change it. A last word, with nothing behind it that would tell that it is whole, must have ended longer ago. Words are
committed whole and in order. To be committed a word needs both kinds of evidence, to be shown one of them.

It is local agreement (https://arxiv.org/abs/2005.11185; for Whisper, https://arxiv.org/abs/2307.14743), where how many
hypotheses must agree depends on the model's confidence, and with a margin to the live edge.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WrittenWord:
    """A word of a hypothesis."""

    text: str
    tokens: int  # tokens of the hypothesis up to its end
    start: int  # frame
    end: int  # frame after its last
    speaker: int | None = None  # where the model was asked who speaks


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is asked of a word none of whose tokens is less likely than this."""

    probability: float
    updates: int  # in a row that wrote it the same
    margin_frames: int  # between its end and the end of the audio


@dataclass(frozen=True, slots=True)
class Policy:
    """How much evidence a word needs: of each ladder the first rung counts whose probability it reaches."""

    commit: Sequence[Evidence]
    show: Sequence[Evidence]
    last_margin_frames: int = 15  # 300 ms more, to be committed while no other word follows
    patience: int = 2  # updates in a row that must contradict what is shown before it is replaced


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """What an update wrote, and what speaks for it."""

    words: Sequence[WrittenWord]
    updates: Sequence[int]  # in how many in a row each of its tokens has stood
    log_probs: Sequence[float]  # of its tokens
    heard: int  # frames that it is based on


NOTHING = Policy(commit=(), show=())  # for finals only: the update that finds where to cut is not seen either


def standing(tokens: Sequence[int], before: Sequence[int], updates: Sequence[int]) -> list[int]:
    """For each token of a hypothesis, how many updates in a row wrote it so, and everything before it.

    Args:
        tokens: of this hypothesis.
        before: of the one an update earlier.
        updates: what this function gave for that one.
    """
    agreed = next((at for at, pair in enumerate(zip(tokens, before, strict=False)) if pair[0] != pair[1]), None)
    if agreed is None:
        agreed = min(len(tokens), len(before))
    return [each + 1 for each in updates[:agreed]] + [1] * (len(tokens) - agreed)


def committable(hypothesis: Hypothesis, committed: int, policy: Policy) -> int:
    """How many tokens may be committed, those included that are already."""
    updates, heard = hypothesis.updates, hypothesis.heard

    def certain(word: WrittenWord, asked: Evidence) -> bool:
        followed = word.tokens < len(updates) and updates[word.tokens] >= asked.updates
        margin_frames = asked.margin_frames + (0 if followed else policy.last_margin_frames)
        return updates[word.tokens - 1] >= asked.updates and word.end <= heard - margin_frames

    return _reach(hypothesis, committed, policy.commit, certain)


def showable(hypothesis: Hypothesis, committed: int, policy: Policy) -> int:
    """How many tokens may be shown, committed ones included."""
    updates, heard = hypothesis.updates, hypothesis.heard

    def likely(word: WrittenWord, asked: Evidence) -> bool:
        return updates[word.tokens - 1] >= asked.updates or word.end <= heard - asked.margin_frames

    return _reach(hypothesis, committed, policy.show, likely)


def _reach(
    hypothesis: Hypothesis, reached: int, ladder: Sequence[Evidence], enough: Callable[[WrittenWord, Evidence], bool]
) -> int:
    """How many tokens there are, the first `reached` included, up to the first word whose evidence is not enough."""
    for word in hypothesis.words:
        if word.tokens <= reached:
            continue
        asked = _asked(ladder, hypothesis.log_probs[reached : word.tokens])
        if asked is None or not enough(word, asked):
            break
        reached = word.tokens
    return reached


def _asked(ladder: Sequence[Evidence], log_probs: Sequence[float]) -> Evidence | None:
    """Of a word with these tokens; None: it is so unlikely that nothing is enough."""
    least = math.exp(min(log_probs))
    return next((rung for rung in ladder if least >= rung.probability), None)


@dataclass(slots=True)
class Screen:
    """What is shown of a segment. It is replaced only when it was contradicted for long enough."""

    text: str = ""
    contradictions: int = 0  # in a row

    def show(self, committed: str, visible: str, hypothesis: str, patience: int) -> None:
        """Takes an update; each of the three texts begins with the one before it."""
        if hypothesis.startswith(self.text):
            self.text, self.contradictions = max(self.text, visible, key=len), 0
            return
        self.contradictions += 1
        if self.contradictions >= patience or not self.text.startswith(committed):
            self.text, self.contradictions = visible, 0
