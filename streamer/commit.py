"""When a word is certain enough to be promised, and when to be shown. What is committed is never taken back.

A word is committed when some updates in a row wrote it the same, and everything before it and the beginning of the next
word too, and it ended long enough ago that what is said now cannot change it. A last word, with nothing behind it that
would tell that it is whole, must have ended longer ago. A word of which the model is very sure needs no second update.
Words are committed whole and in order. A draft is shown by the same kinds of evidence, with less of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
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
class Policy:
    """How much evidence a word needs."""

    updates: int = 2  # in a row that wrote it the same, until it is committed
    margin_frames: int = 20  # 400 ms between its end and the end of the audio
    last_margin_frames: int = 40  # 800 ms, if no other word follows
    least_probability: float = 0.0  # a word with a less likely token is not committed before the final, nor any behind
    sure_probability: float = math.inf  # a word whose tokens are all so likely needs one update only
    show_updates: int = 1  # in a row that wrote it the same, until it is shown,
    show_margin_frames: int = 0  # unless it ended so long before the end of the audio
    patience: int = 1  # updates in a row that must contradict what is shown before it is replaced


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


def committable(
    words: Sequence[WrittenWord],
    updates: Sequence[int],
    log_probs: Sequence[float],
    committed: int,
    heard: int,
    policy: Policy,
) -> int:
    """How many tokens may be committed.

    Args:
        words: of this hypothesis.
        updates: for each of its tokens, in how many updates in a row it has stood.
        log_probs: of its tokens.
        committed: how many tokens are committed already.
        heard: frames that this hypothesis is based on.
        policy: the evidence asked for.
    """
    for word in words:
        if word.tokens <= committed:
            continue
        least = math.exp(min(log_probs[committed : word.tokens]))
        asked = 1 if least >= policy.sure_probability else policy.updates
        followed = word.tokens < len(updates) and updates[word.tokens] >= asked
        margin = policy.margin_frames if followed else policy.last_margin_frames
        if updates[word.tokens - 1] < asked or word.end > heard - margin or least < policy.least_probability:
            break
        committed = word.tokens
    return committed


def showable(words: Sequence[WrittenWord], updates: Sequence[int], committed: int, heard: int, policy: Policy) -> int:
    """How many tokens may be shown; see `committable`."""
    shown = committed
    for word in words:
        stands = updates[word.tokens - 1] >= policy.show_updates
        if word.tokens > committed and not stands and word.end > heard - policy.show_margin_frames:
            break
        shown = max(shown, word.tokens)
    return shown


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
