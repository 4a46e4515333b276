"""Text from elsewhere, made harmless: it cannot command the terminal that it is shown on, nor break a line."""

from __future__ import annotations

from unicodedata import category

UNSEEN = ("Cc", "Cs", "Zl", "Zp")  # control characters, halves of characters, ends of lines and paragraphs


def printable(text: str) -> str:
    """The same, character for character; control characters become spaces."""
    return "".join(character if category(character) not in UNSEEN else " " for character in text)


def one_line(text: str) -> str:
    """The same on one line: without control characters, one space between words."""
    return " ".join(printable(text).split())
