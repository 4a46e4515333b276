"""`granite-stream`: what a user may type. Torch is not loaded before it is clear that it makes sense."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from importlib.metadata import version
from types import FrameType

from clients.arguments import (
    DONE,
    FAILED,
    INTERRUPTED,
    Parser,
    add_compute,
    add_model_options,
    add_speed,
    add_stream_options,
    add_wishes,
    exit_code,
    refuse_terminal,
    stream_options,
)
from clients.outputs import add_transcript, outputs, settle_format, to_nowhere
from clients.plain import one_line
from clients.signals import heeded
from model.errors import GraniteStreamError

TRACEBACK = "GRANITE_STREAM_TRACEBACK"  # environment variable: any value shows where an error comes from

COMMANDS = {  # each in a module with a `main` of its own; a file of that name: ./models
    "--mic": "streamer.commands.captioning",
    "connect": "clients.connecting",
    "devices": "streamer.sound.devices",
    "models": "streamer.commands.models",
    "overlay": "streamer.commands.overlaying",
    "serve": "streamer.commands.service",
}

ENDINGS = (signal.SIGTERM, signal.SIGHUP)

HELP = """\
granite-stream --mic    live captions of a microphone, or of what plays here
granite-stream devices  lists the microphones
granite-stream serve    the daemon: captions for many over WebSocket
granite-stream connect  a client of a daemon
granite-stream overlay  captions over any window
granite-stream models   lists the models
(each has its own --help; a file of that name: ./models)

exit codes: 0 done, 1 failed at run time, 2 wrong usage, 130 interrupted"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command and gives its exit code. Every error is one line that says what to do."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    _open_closed_streams()
    for ending in heeded(*ENDINGS):
        signal.signal(ending, _leave)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]  # a letter the terminal lacks is no error
    try:
        if "--mic" in given and given[0] not in COMMANDS:
            given = ["--mic", *given]  # wherever it stands
        if given and given[0] in COMMANDS:
            return int(import_module(COMMANDS[given[0]]).main(given[1:], complain))
        options = parse(given)
        from streamer.commands.transcription import Transcription  # loads FFmpeg, and torch for what can be read

        return DONE if Transcription(options, complain).run() else FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        to_nowhere(sys.stdout)  # the reader has what it wanted
        return DONE
    except Exception as error:
        if TRACEBACK in os.environ:
            raise
        complain(_message_of(error))
        return exit_code(error)


def _leave(number: int, _frame: FrameType | None) -> None:
    """Ends the program as an error would, so that views are closed; a second signal is not to disturb that."""
    for ending in ENDINGS:
        signal.signal(ending, signal.SIG_IGN)
    sys.exit(128 + number)


def _open_closed_streams() -> None:
    """A service manager, or `>&-`, may leave us without standard streams: Python then has None in their place."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf8"))  # noqa: SIM115 - as long as the program runs


def complain(message: str) -> None:
    """One line on standard error."""
    with suppress(OSError):  # the window was closed, the disk is full: nobody can be told
        sys.stderr.write(f"granite-stream: {one_line(message)}\n")
        sys.stderr.flush()


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """What the user typed, checked as far as it can be without loading anything.

    Raises:
        SystemExit: help was asked for (0), or it makes no sense (2).
    """
    parser = _parser()
    options = parser.parse_intermixed_args(arguments)
    if options.speed is not None and not (options.live or options.events):
        parser.error("--speed goes with --live or --events; a file is otherwise read as fast as possible")
    options.live = options.live or options.events
    settle_format(parser, options)
    refuse_terminal(parser, options.files)
    options.options = stream_options(parser, options, partials=options.live)
    options.outputs = outputs(parser, options.files, options.format, options.output)
    return options


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        complain,
        prog="granite-stream",
        usage="granite-stream FILE… [--live] [options]",
        description="Writes down speech while it is being spoken, with IBM Granite Speech, on your own machine.",
        epilog=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help="any audio or video file; - reads standard input")
    parser.add_argument("--version", action="version", version=f"granite-stream {version('granite-stream')}")
    add_transcript(parser)

    live = parser.add_argument_group("live")
    live.add_argument("--live", action="store_true", help="captions as they come, at the speed of speech")
    live.add_argument("--events", action="store_true", help="one JSON event a line; implies --live")
    add_speed(live)
    add_stream_options(live)
    add_wishes(parser)
    model = parser.add_argument_group("model")
    add_model_options(model)
    add_compute(model)
    return parser


def _message_of(error: Exception) -> str:
    message = str(error)
    if isinstance(error, GraniteStreamError):
        return message
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename is not None else ""
        return f"{where}{error.strerror or message}"
    return f"{type(error).__name__}: {message}; set {TRACEBACK}=1 to see where, and please report it"
