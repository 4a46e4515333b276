"""What a user types, wherever it is typed: numbers with bounds, recordings, formats, and where transcripts go."""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from clients.formats import FORMATS

WRONG_USAGE = 2  # exit code
CHANNEL_CHARACTERS = 64  # what a daemon allows


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line; the usage is one option away."""

    complain: Callable[[str], None]

    def error(self, message: str) -> NoReturn:
        """Ends the program."""
        self.complain(f"{message} (see {self.prog} --help)")
        sys.exit(WRONG_USAGE)


def number(kind: Callable[[str], float], least: float, most: float = math.inf) -> Callable[[str], float]:
    """Reads a number of this kind that is finite and within these bounds."""

    def parse_number(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is no {'whole ' if kind is int else ''}number") from None
        if not least <= value <= most or value == math.inf:
            raise argparse.ArgumentTypeError(f"{text} is out of bounds; the least is {least}")
        return value

    return parse_number


def words(text: str) -> list[str]:
    """Reads `a, b` as two."""
    return [word.strip() for word in text.split(",") if word.strip()]


def channel(text: str) -> str:
    """Reads the name of a channel."""
    if not 1 <= len(text) <= CHANNEL_CHARACTERS:
        raise argparse.ArgumentTypeError(f"{text!r} is no name of 1 to {CHANNEL_CHARACTERS} characters")
    return text


def outputs(
    parser: argparse.ArgumentParser, files: Sequence[str], form: str, directory: Path | None
) -> list[Path | None]:
    """Where the transcript of each file goes; None is standard output."""
    if directory is None:
        if form in ("srt", "vtt") and len(files) > 1:
            parser.error(f"several files as {form} need --output DIR: each has its own times")
        return [None] * len(files)
    stems = ["stdin" if path == "-" else Path(path).stem for path in files]
    names = [f"{stem}.{FORMATS[form]}" for stem in stems]
    name, times = Counter(name.casefold() for name in names).most_common(1)[0]  # some file systems ignore case
    if times > 1:
        parser.error(f"{times} files would be written to {name}; give each of them its own --output DIR")
    return [directory / name for name in names]


def transcript_path(output: Path | None, save: Path | None, form: str) -> Path | None:
    """Where the transcript of a microphone goes: a name of its own for each run, so that none is written over."""
    if output is None:
        return None
    stem = save.stem if save else time.strftime("mic-%Y%m%d-%H%M%S")
    return output / f"{stem}.{FORMATS[form]}"
