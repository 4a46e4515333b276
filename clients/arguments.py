"""What a user types, wherever it is typed: options that several commands have, numbers with bounds, files."""

from __future__ import annotations

import argparse
import math
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from clients.errors import BadRequestError
from model.errors import WishError
from model.tasks import TASKS, Wish
from streamer.fields import CHANNEL
from streamer.latency import LATENCIES
from streamer.options import BOUNDS, CHOICES, WISHES, Options

DONE, FAILED, WRONG_USAGE, INTERRUPTED = 0, 1, 2, 128 + signal.SIGINT  # exit codes of every command
QUANTIZE = ("none", "int8", "int4")  # what weights can be packed into
MOST_THREADS = 1024  # of torch: more than any machine gains from
SLOWEST = 0.01  # times the speed of speech
COMPUTE = ("auto", "cpu", "cuda", "mps")  # what --device means for the network; all else is a microphone
DTYPES = ("auto", "float32", "bfloat16", "float16")

Complain = Callable[[str], None]  # tells the user one line
Group = argparse._ActionsContainer  # a parser, or a group of its options


def exit_code(error: Exception) -> int:
    """Of a run that an error has ended."""
    return WRONG_USAGE if isinstance(error, WishError | BadRequestError) else FAILED


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line; the usage is one option away."""

    def __init__(self, complain: Complain, **options: Any) -> None:
        """An option is not abbreviated: scripts would break when another one begins like it."""
        super().__init__(allow_abbrev=False, **options)
        self.complain = complain

    def parse_intermixed_args(  # type: ignore[override]  # nobody passes a namespace
        self, args: Sequence[str]
    ) -> argparse.Namespace:
        """As the library does it, but a file behind `--` may begin with a dash."""
        at = list(args).index("--") if "--" in args else len(args)
        files = [f"./{path}" if path.startswith("-") and path != "-" else path for path in args[at + 1 :]]
        return super().parse_intermixed_args([*args[:at], *files])

    def error(self, message: str) -> NoReturn:
        """Ends the program."""
        self.complain(f"{message} (see {self.prog} --help)")
        sys.exit(WRONG_USAGE)


def add_stream_options(group: Group) -> None:
    """What is asked of one stream; `stream_options` reads it."""
    add, plain = group.add_argument, Options()
    add("--latency", choices=LATENCIES, help=f"how early words are promised (default: {plain.latency})")
    step, longest = f"{plain.update_ms}, by --latency", f"{plain.max_segment_seconds:g}"
    for flag, kind, unit, name, text, default in (
        ("--step", int, "MS", "step_ms", "of new audio between two updates", step),
        ("--endpoint", int, "MS", "endpoint_ms", "of silence that end a segment", plain.endpoint_ms),
        ("--max-segment", float, "S", "max_segment_seconds", "seconds; longer speech is divided", longest),
    ):
        add(flag, metavar=unit, dest=name, type=number(kind, *BOUNDS[name]), help=f"{text} (default: {default})")


def add_wishes(parser: argparse.ArgumentParser) -> None:
    """What the model is to write; `stream_options` reads it."""
    add = parser.add_argument_group("what is written").add_argument
    add("--task", choices=TASKS, help="(default: transcribe)")
    add("--language", metavar="NAME", help="that is spoken, such as German or de; the model hears it by itself")
    add("--target-language", metavar="NAME", help="to translate into")
    punctuate = "with punctuation and capitals (default: translations are)"
    add("--punctuate", action=argparse.BooleanOptionalAction, help=punctuate)
    add("--keywords", metavar="A,B", type=words, help="names and words to expect")
    add("--speakers", action="store_true", default=None, help="say who speaks (granite-speech-4.1-2b-plus)")
    add("--prompt", metavar="TEXT", help="what to do, in words of your own")


def stream_options(parser: argparse.ArgumentParser, given: argparse.Namespace, partials: bool = True) -> Options:
    """What `add_stream_options` and `add_wishes` ask for.

    Raises:
        SystemExit: something is out of its bounds, or does not go together.
    """
    try:
        return Options(partials=partials, wish=Wish(**typed(given, WISHES)), **typed(given, CHOICES))
    except ValueError as error:
        parser.error(str(error))


def typed(given: argparse.Namespace, names: Sequence[str]) -> dict[str, Any]:
    """Those of the options that the user typed."""
    return {name: value for name in names if (value := getattr(given, name)) is not None}


def add_model_options(group: Group) -> None:
    """Which network writes, and how; `streamer.commands.loading.load_engine` reads it, and `--device` besides."""
    which = "nano (default, embedded), OWNER/NAME on the Hugging Face hub, or a directory"
    group.add_argument("--model", default="nano", metavar="NAME", help=which)
    group.add_argument(
        "--dtype", default="auto", choices=DTYPES, help="of the weights (default: bfloat16; float32 for nano)"
    )
    packed = "pack the weights into 8 or 4 bits (default: none)"
    group.add_argument("--quantize", default="none", choices=QUANTIZE, help=packed)
    group.add_argument("--compile", action="store_true", help="compile the network first; a start takes minutes")
    group.add_argument("--threads", metavar="N", type=threads, help="processor threads (default: all; serve: but one)")


def add_compute(group: Group) -> None:
    """`--device`, where nothing is listened to."""
    group.add_argument(
        "--device", default="auto", choices=COMPUTE, help="where to compute (default: cuda if there is one, else cpu)"
    )


def add_devices(group: Group) -> None:
    """`--device`, where it may also be a microphone; `tell_devices_apart` reads it."""
    which = "the microphone, by number or (part of its) name; auto, cpu, cuda or mps: where to compute; or one of each"
    group.add_argument("--device", action="append", default=[], metavar="NAME", help=which)


def tell_devices_apart(parser: argparse.ArgumentParser, given: argparse.Namespace) -> None:
    """Of all that `--device` said, `microphone` (or None) is what to listen to, and `device` where to compute."""
    named = [name for name in given.device if name not in COMPUTE]
    compute = [name for name in given.device if name in COMPUTE]
    if len(named) > 1:
        parser.error(f"--device names {len(named)} microphones; one can be listened to")
    given.microphone, given.device = (named or [None])[0], ([*compute] or ["auto"])[-1]


def number(kind: Callable[[str], float], least: float, most: float = math.inf) -> Callable[[str], float]:
    """Reads a number of this kind that is finite and within these bounds."""

    def parse_number(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a {'whole ' if kind is int else ''}number") from None
        if not least <= value <= most or value == math.inf:
            bounds = f"the least is {least}" + ("" if most == math.inf else f", the most {most}")
            raise argparse.ArgumentTypeError(f"{text} is out of bounds; {bounds}")
        return value

    return parse_number


def threads(text: str) -> float:
    """Reads how many threads compute."""
    return number(int, 1, MOST_THREADS)(text)


def refuse_beside_mic(parser: argparse.ArgumentParser, given: argparse.Namespace) -> None:
    """Recordings, and how fast they are played, do not go with `--mic`."""
    if given.files:
        parser.error("--mic listens to a microphone; leave it out to transcribe recordings")
    if given.speed is not None:
        parser.error("--speed is for recordings; a microphone has its own clock")


def refuse_terminal(parser: argparse.ArgumentParser, files: Sequence[str]) -> None:
    """Nobody types a recording."""
    if "-" in files and sys.stdin.isatty():
        parser.error("standard input is a terminal; pipe a recording into granite-stream, or name a file")


def add_speed(group: Group) -> None:
    """How fast a recording is played."""
    text = "times that of speech; 0: as fast as it comes (default: 1; of a pipe: 0)"
    group.add_argument("--speed", metavar="X", type=speed, help=text)


def speed(text: str) -> float:
    """Reads how many times as fast as speech; 0: as fast as it comes."""
    value = number(float, 0)(text)
    if 0 < value < SLOWEST:
        raise argparse.ArgumentTypeError(f"{text} is out of bounds; the least is {SLOWEST}, or 0: as fast as it comes")
    return value


def words(text: str) -> tuple[str, ...]:
    """Reads `a, b` as two."""
    return tuple(word.strip() for word in text.split(",") if word.strip())


def channel(text: str) -> str:
    """Reads the name of a channel."""
    if not CHANNEL.holds(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a channel's name; it must be {CHANNEL.wanted}")
    return text
