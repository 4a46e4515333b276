"""Two bounds on what a language model may make of audio: loops and inventions end here. Offline and live share them."""

from __future__ import annotations

from collections.abc import Sequence

TOKENS_PER_SECOND = 8  # speech has about 3 words a second
TIMED = 6  # times as many where `plus` writes a time behind each word,
TAGGED = 4  # or who speaks before each turn, which may be of one word;
MOST_TAGGED = 240  # but beyond this no more than of plain text: half a minute of that has as many
SPARE_TOKENS = 8  # for very short audio, and for tokens whose characters the CTC head cannot spell
LOOP_REPEATS = 5  # nobody says the same phrase five times in a row,
LOOP_TOKENS = 16  # and what is said so often, as "no, no, no", goes on for fewer tokens than this
PHRASE_TOKENS = 8  # the longest phrase that is looked at for that


def token_limit(seconds: float, letters: int, timed: bool = False, tagged: bool = False) -> int:
    """The most tokens that audio can hold.

    Args:
        seconds: its length.
        letters: how many characters the CTC head hears in it; a token has at least one, and no letters mean no words.
        timed: each word is followed by its time.
        tagged: each turn begins with who speaks.
    """
    words = min(int(TOKENS_PER_SECOND * seconds), letters) + SPARE_TOKENS if letters else 0
    if tagged:
        return max(words, min(words * TAGGED, MOST_TAGGED))
    return words * TIMED if timed else words


def loop_length(tokens: Sequence[int]) -> int:
    """How many tokens at the end only repeat what stands before them, too often to have been said; 0 if they do not."""
    for size in range(1, PHRASE_TOKENS + 1):
        repeats = max(LOOP_REPEATS, LOOP_TOKENS // size)
        end = list(tokens[-repeats * size :])
        if len(end) == repeats * size and end == end[:size] * repeats:
            return (repeats - 1) * size
    return 0
