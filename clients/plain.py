"""Text from elsewhere, made harmless: it cannot command the terminal that it is shown on, nor break a line."""

from __future__ import annotations


def printable(text: str) -> str:
    """The same, character for character; what is none to look at is a space."""
    return "".join(character if character.isprintable() else " " for character in text)


def one_line(text: str) -> str:
    """The same without line ends and what else is none to look at, one space between words."""
    return " ".join(printable(text).split())
