"""When a word is certain enough to be promised. What is committed is never taken back, so this is the place to doubt.

A word is committed when two updates in a row wrote it the same, and everything before it and the beginning of the next
word too, and it ended long enough ago that what is said now cannot change it. A last word, with nothing behind it that
would tell that it is whole, must have ended longer ago. Words are committed whole and in order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WrittenWord:
    """A word of a hypothesis."""

    text: str
    tokens: int  # tokens of the hypothesis up to its end
    start: int  # frame
    end: int  # frame after its last


@dataclass(frozen=True, slots=True)
class Policy:
    """How much evidence a word needs."""

    margin_frames: int = 20  # 400 ms between its end and the end of the audio
    last_margin_frames: int = 40  # 800 ms, if no other word follows


def committable(
    words: Sequence[WrittenWord], tokens: Sequence[int], before: Sequence[int], heard: int, policy: Policy
) -> int:
    """How many tokens may be committed.

    Args:
        words: of this hypothesis.
        tokens: of this hypothesis.
        before: tokens of the hypothesis one update earlier.
        heard: frames that this hypothesis is based on.
        policy: the evidence asked for.
    """
    agreed = next((at for at, pair in enumerate(zip(tokens, before, strict=False)) if pair[0] != pair[1]), None)
    if agreed is None:
        agreed = min(len(tokens), len(before))
    certain = 0
    for word in words:
        margin = policy.margin_frames if word.tokens < agreed else policy.last_margin_frames
        if word.tokens > agreed or word.end > heard - margin:
            break
        certain = word.tokens
    return certain
