"""What a user may ask of a daemon, and the token that opens it."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import cast

from clients.arguments import Parser, number, words
from clients.connection import Choices
from clients.errors import CaptionsError
from streamer.latency import LATENCIES
from streamer.options import Options, instruct


def add_choices(parser: Parser) -> None:
    """What a daemon may be asked for."""
    add = parser.add_argument
    add("--latency", choices=LATENCIES, help="how early words are promised (default: balanced)")
    add("--step", metavar="MS", dest="step_ms", type=number(int, 1), help="of new audio between two updates")
    add("--endpoint", metavar="MS", dest="endpoint_ms", type=number(int, 1), help="of silence that end a segment")
    longest = "seconds; longer speech is divided"
    add("--max-segment", metavar="S", dest="max_segment_seconds", type=number(float, 1), help=longest)
    add("--prompt", metavar="TEXT", help="what the model is asked to do")
    add("--keywords", metavar="A,B", type=words, help="names and words that it should expect")


def choices(parser: Parser, given: Namespace) -> Choices:
    """What of it the daemon has to know."""
    names = ("latency", "step_ms", "endpoint_ms", "max_segment_seconds")
    numbers = {name: value for name in names if (value := getattr(given, name)) is not None}
    try:
        Options(**numbers, instruction=instruct(given.prompt, given.keywords or ()))
    except ValueError as error:
        parser.error(str(error))
    asked = {name: value for name in ("prompt", "keywords", "channel") if (value := getattr(given, name))}
    return cast(Choices, {**numbers, **asked})


def read_token(path: Path | None) -> str | None:
    """The first token of a file as a daemon has it.

    Raises:
        CaptionsError: there is none in it.
        OSError: it cannot be read.
    """
    if path is None:
        return None
    lines = [line.strip() for line in path.read_text().splitlines()]
    tokens = [line for line in lines if line and not line.startswith("#")]  # as the daemon reads it
    if not tokens:
        raise CaptionsError(f"{path}: holds no token; copy the one of the daemon's --token-file")
    return tokens[0]
