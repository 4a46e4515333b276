"""Scripts that put no spaces between words: Japanese and Chinese. Loads nothing: clients use it too."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from unicodedata import category

# Code points of what stands without spaces: kana, ideographs, their punctuation, and their wide and narrow forms.
SPACELESS = (range(0x3000, 0x3100), range(0x3400, 0xA000), range(0xF900, 0xFB00), range(0xFF00, 0xFFF0))


def spaceless(character: str) -> bool:
    """Whether no space is written beside this character."""
    return any(ord(character) in block for block in SPACELESS)


def begins_word(text: str) -> bool:
    """Whether a piece of text may begin a word by itself: it opens with a space, or with a letter of such a script."""
    first = text[:1]
    return first.isspace() or (first != "" and spaceless(first) and category(first) == "Lo")


def apart(before: str, after: str) -> bool:
    """Whether a space stands between two words."""
    return bool(before and after) and not (spaceless(before[-1]) or spaceless(after[0]))


@lru_cache(4096)
def columns(text: str) -> int:
    """How wide text is, in Latin letters: characters of these scripts are twice as wide."""
    return len(text) if text.isascii() else sum(2 if spaceless(character) else 1 for character in text)


def joined(words: Iterable[str]) -> str:
    """Words as a line of text, with spaces where their scripts have them."""
    text = ""
    for word in words:
        text += f" {word}" if apart(text, word) else word
    return text
