"""What a user may type with `granite-stream --mic`, checked. Loads nothing."""

from __future__ import annotations

import argparse
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from clients.arguments import (
    Complain,
    Parser,
    add_devices,
    add_model_options,
    add_stream_options,
    add_wishes,
    refuse_beside_mic,
    stream_options,
    tell_devices_apart,
)
from clients.outputs import add_transcript, settle_format, transcript_path

EPILOG = """\
keys: m mutes and unmutes, k marks the moment, q quits; so does Ctrl-C, and the last words are still written down
granite-stream devices   lists the microphones, and what plays on this machine

exit codes: 0 ended as asked, 1 failed at run time, 2 wrong usage"""


def parse(arguments: Sequence[str], complain: Complain) -> Namespace:
    """The run that these arguments describe: `microphone` (or None), `device`, `transcript` (or None), `options`, ….

    Raises:
        SystemExit: help was asked for (0), or it makes no sense (2).
    """
    parser = _parser(complain)
    given = parser.parse_intermixed_args(arguments)
    refuse_beside_mic(parser, given)
    settle_format(parser, given)
    tell_devices_apart(parser, given)
    given.transcript = transcript_path(given.output, given.save, given.format)
    given.options = stream_options(parser, given)
    return given


def _parser(complain: Complain) -> Parser:
    parser = Parser(
        complain,
        prog="granite-stream --mic",
        usage="granite-stream --mic [--device NAME] [options]",
        description="Live captions of a microphone, or of what plays on this machine.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for flag in ("--mic", "--live"):  # said already
        parser.add_argument(flag, action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("files", nargs="*", help=argparse.SUPPRESS)
    parser.add_argument("--speed", help=argparse.SUPPRESS)
    add_devices(parser)
    parser.add_argument("--save", type=Path, metavar="FILE", help="keep what is heard as a WAV file (16 kHz, mono)")
    parser.add_argument("--events", action="store_true", help="one JSON event a line")
    add_transcript(
        parser, "write the transcript to a file there, final by final; it is called like --save, or by date and time"
    )
    add_stream_options(parser)
    add_wishes(parser)
    add_model_options(parser)
    return parser
