"""Two bounds on what a language model may make of audio: repetition loops and hallucinations end here."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

# Speech has about 3 words a second, and an English word less than 2 tokens; but what the vocabulary has few pairs for
# is spelled in bytes, and Japanese may then take 12 a second.
TOKENS_PER_SECOND = 16
TIMED = 6  # times as many where `plus` writes a time behind each word
TAGGED = 4  # times as many where it says who speaks before each turn, which may be of one word
MOST_TAGGED = 240  # tokens up to which TAGGED counts: half a minute of English has as many
SPARE_TOKENS = 8  # for very short audio, and for tokens whose characters the CTC head cannot spell
LOOP_REPEATS = 5  # times that a phrase must stand in a row, at least, to be a loop
LOOP_TOKENS = 16  # that a loop of a short phrase has at least: "no, no, no" is none
PHRASE_TOKENS = 8  # of the longest phrase that is looked at
HEARD_WRONGLY = 3  # the CTC head spells one repeat in so many alike: up to so many times what it heard is no loop


def token_limit(seconds: float, spelled_bytes: int, timed: bool = False, tagged: bool = False) -> int:
    """The most tokens that audio can hold.

    Args:
        seconds: its length.
        spelled_bytes: how many the characters take that the CTC head hears in it; a token has at least one, and where
            no character is heard there are no words.
        timed: each word is followed by its time.
        tagged: each turn begins with who speaks.
    """
    words = min(int(TOKENS_PER_SECOND * seconds), spelled_bytes) + SPARE_TOKENS if spelled_bytes else 0
    if tagged:
        return max(words, min(words * TAGGED, MOST_TAGGED))
    return words * TIMED if timed else words


def loop_length(tokens: Sequence[int], times_heard: Callable[[Sequence[int]], int]) -> int:
    """How many tokens at the end only repeat what stands before them more often than it was said; 0 if they do not.

    Args:
        tokens: what is written.
        times_heard: how often some of them were heard in a row, by somebody else than the language model.
    """
    for size in range(1, PHRASE_TOKENS + 1):
        phrase, repeats = list(tokens[-size:]), 1
        while len(tokens) >= (repeats + 1) * size and list(tokens[-(repeats + 1) * size :][:size]) == phrase:
            repeats += 1
        if repeats >= max(LOOP_REPEATS, LOOP_TOKENS // size):
            # where a phrase begins is a matter of view once it is repeated
            heard = max(times_heard(phrase[first:] + phrase[:first]) for first in range(size))
            return (repeats - max(1, heard)) * size if repeats > HEARD_WRONGLY * heard else 0
    return 0


def times_in_a_row(phrase: str, heard: str) -> int:
    """The most times that a phrase stands in a row in what was heard; only letters and digits count, in any case."""
    phrase, heard = ("".join(filter(str.isalnum, text.casefold())) for text in (phrase, heard))
    runs = re.findall(f"(?:{phrase})+", heard) if phrase else []
    return max(map(len, runs), default=0) // max(1, len(phrase))
