"""What a user may ask of a daemon, and the token that opens it."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import cast

from clients.arguments import Parser
from clients.connection import Choices
from clients.errors import CaptionsError
from streamer.access import tokens_in
from streamer.options import CHOICES, asked


def choices(parser: Parser, given: Namespace) -> Choices:
    """What of `add_stream_options` and `--channel` the daemon has to know."""
    try:
        asked(given)
    except ValueError as error:
        parser.error(str(error))
    names = (*CHOICES, "prompt", "keywords", "channel")
    return cast(Choices, {name: value for name in names if (value := getattr(given, name))})


def read_token(path: Path | None) -> str | None:
    """The first token of a file as a daemon has it.

    Raises:
        CaptionsError: there is none in it.
        OSError: it cannot be read.
    """
    if path is None:
        return None
    try:
        return tokens_in(path)[0]
    except ValueError as error:
        raise CaptionsError(f"{error}; copy the one of the daemon's --token-file") from None
