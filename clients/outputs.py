"""Where transcripts go, and as what: the options that say so, and what is refused before anything is heard."""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from clients.arguments import Group
from clients.formats import FORMATS
from clients.livefile import MOST_NAME_BYTES
from model.errors import GraniteStreamError


def add_transcript(group: Group, where: str = "write each transcript to a file there") -> None:
    """`--format` and `--output`; `settle_format` reads them, and `--events` besides."""
    group.add_argument("--format", choices=FORMATS, help="of the transcript (default: text)")
    group.add_argument("--output", metavar="DIR", type=directory, help=where)


def directory(text: str) -> Path:
    """Reads the name of a directory; a variable that is not set would make an empty one of it."""
    if not text:
        raise argparse.ArgumentTypeError("'' is no directory; write . for this one")
    return Path(text)


def settle_format(parser: argparse.ArgumentParser, given: argparse.Namespace) -> None:
    """`format` is text if nobody says; beside `--events` another one needs a file to go to."""
    if given.events and given.format is not None and given.output is None:
        parser.error("--events prints events; --format goes with it only if --output says where")
    given.format = given.format or "text"


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
    for name in names:
        if len(os.fsencode(name)) > MOST_NAME_BYTES:
            parser.error(f"{name} is too long for the name of a file; rename its recording")
        if (directory / name).is_dir():
            parser.error(f"{directory / name} is a directory; move it away, or choose another --output DIR")
        if any(_same(directory / name, file) for file in files):
            parser.error(f"{directory / name} is the recording itself; choose another --output DIR")
    return [directory / name for name in names]


def _same(path: Path, file: str) -> bool:
    try:
        return path.samefile(file)
    except (OSError, ValueError):  # one of them is not there, or cannot be
        return False


def to_nowhere(out: TextIO) -> None:
    """Its reader has left: what is still to be flushed goes nowhere, or the interpreter would complain at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())


def transcript_path(output: Path | None, save: Path | None, form: str) -> Path | None:
    """Where the transcript of a microphone goes: a name of its own for each run, so that none is written over."""
    if output is None:
        return None
    stem = save.stem if save else time.strftime("mic-%Y%m%d-%H%M%S")
    return output / f"{stem}.{FORMATS[form]}"


def make_directory(directory: Path) -> None:
    """Makes the directory of `--output`.

    Raises:
        GraniteStreamError: nothing can be written there.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError as error:
        raise GraniteStreamError(
            f"--output {directory}: cannot be written ({error.strerror}); choose another directory"
        ) from None


def make_room(path: Path | None) -> None:
    """Makes sure that a file can be made there, and that none is written over.

    Raises:
        GraniteStreamError: it cannot, or one is there.
    """
    if path is None:
        return
    if path.exists():
        raise GraniteStreamError(f"{path}: already exists; choose another name, or remove it")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise GraniteStreamError(f"{path.parent}: cannot be written ({error.strerror}); choose another") from None
