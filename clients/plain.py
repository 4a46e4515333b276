"""Text from elsewhere, made harmless: it cannot command the terminal that it is shown on, nor break a line."""

from __future__ import annotations

from unicodedata import category

UNSEEN = ("Cc", "Cs", "Zl", "Zp")  # control characters, halves of characters, ends of lines and paragraphs


def printable(text: str) -> str:
    """The same, character for character; what is none to look at is a space."""
    return "".join(character if category(character) not in UNSEEN else " " for character in text)


def one_line(text: str) -> str:
    """The same without line ends and what else is none to look at, one space between words."""
    return " ".join(printable(text).split())
