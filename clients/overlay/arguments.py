"""What a user may type with `granite-stream overlay`, checked. Loads neither Qt nor sound."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from clients.arguments import (
    Complain,
    Parser,
    add_devices,
    add_model_options,
    add_stream_options,
    add_wishes,
    channel,
    number,
    stream_options,
    tell_devices_apart,
)
from clients.asking import choices
from clients.overlay.look import Look, config_file, remembered

ORDERS = ("lock", "unlock", "quit")  # for an overlay that is running
HIDE_SECONDS = 6.0

EPILOG = f"""\
Without URL the words are written down here; with URL by that daemon; with --channel too it shows what others say there.
Unlocked it can be dragged by its middle and made wider by its edges; locked, clicks go through it.
What was chosen last is remembered in {config_file()}

exit codes: 0 ended as asked, 1 failed at run time, 2 wrong usage"""


def parse(arguments: Sequence[str], complain: Complain) -> argparse.Namespace:
    """The overlay that these arguments describe: `look`, `order` (or None), `microphone` (or None), `choices`, ….

    Raises:
        SystemExit: help was asked for (0), or it makes no sense (2).
    """
    parser = _parser(complain)
    given = parser.parse_args(arguments)
    rest = [name for name in vars(given) if name != "order" and _is_given(parser, given, name)]
    if given.order and rest:
        parser.error(f"--{given.order} goes to an overlay that is running; leave out all else")
    if given.token_file and not given.url:
        parser.error("--token-file is for a daemon; name it: granite-stream overlay URL --token-file FILE")
    if given.channel and not given.url:
        parser.error("--channel is one of a daemon; name it: granite-stream overlay URL --channel NAME")
    tell_devices_apart(parser, given)
    if given.channel and given.microphone:
        parser.error("--channel shows what others say; --device is a microphone of your own")
    names = ("font", "size", "opacity", "lines", "position", "width", "screen")
    try:
        given.look = remembered(config_file(), **{name: getattr(given, name) for name in names})
    except ValueError as error:
        parser.error(str(error))
    given.options = stream_options(parser, given)
    given.choices = choices(given)
    _check_that_all_is_obeyed(parser, given)
    return given


def _check_that_all_is_obeyed(parser: Parser, given: argparse.Namespace) -> None:
    """What would do nothing is a misunderstanding."""
    here = [name for name in ("model", "dtype", "quantize", "compile", "threads") if _is_given(parser, given, name)]
    if given.url and (here or given.device != "auto"):
        parser.error(f"--{here[0] if here else 'device'} is for an overlay without URL; a daemon has its own")
    chosen = [name.removesuffix("_ms").removesuffix("_seconds") for name in given.choices if name != "channel"]
    if given.channel and chosen:
        option = chosen[0].replace("_", "-")
        parser.error(f"--channel shows what others say, as they have it written down; leave out --{option}")


def _is_given(parser: Parser, given: argparse.Namespace, name: str) -> bool:
    return bool(getattr(given, name) != parser.get_default(name))


def _parser(complain: Complain) -> Parser:
    parser = Parser(
        complain,
        prog="granite-stream overlay",
        usage="granite-stream overlay [URL [--channel NAME]] [options]",
        description="Captions over any window: of a microphone, or of what others say at a daemon.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("url", nargs="?", metavar="URL", help="of a daemon: ws://HOST:PORT, wss://HOST:PORT or HOST:PORT")
    add("--channel", metavar="NAME", type=channel, help="show whoever speaks on this channel of the daemon")
    add_devices(parser)
    add("--token-file", metavar="FILE", type=Path, help="holds the token that the daemon wants")
    _add_look(parser)
    _add_orders(parser)
    add_stream_options(parser)
    add_wishes(parser)
    add_model_options(parser.add_argument_group("without URL"))
    return parser


def _add_look(parser: Parser) -> None:
    add, plain = parser.add_argument_group("look").add_argument, Look()
    add("--font", metavar="NAME", help="a family (default: the desktop's own)")
    add("--size", metavar="PIXELS", type=number(int, 1), help=f"of the font (default: {plain.size})")
    box = f"of the box behind the text, 0 to 1 (default: {plain.opacity:g})"
    add("--opacity", metavar="X", type=number(float, 0), help=box)
    add("--lines", metavar="N", type=number(int, 1), help=f"at most (default: {plain.lines})")
    where = f"top, middle or bottom, perhaps with -left or -right; or X,Y in pixels (default: {plain.position})"
    add("--position", metavar="WHERE", help=where)
    width = f"of the box, such as 60% of the screen or 900 pixels (default: {plain.width})".replace("%", "%%")
    add("--width", metavar="WIDTH", help=width)
    add("--screen", metavar="NAME", help="its name or number, from 0 on (default: the first)")
    away = f"of silence after which captions go; 0: they stay (default: {HIDE_SECONDS:g})"
    add("--hide", metavar="S", type=number(float, 0), default=HIDE_SECONDS, help=away)


def _add_orders(parser: Parser) -> None:
    group = parser.add_argument_group("for an overlay that is running").add_mutually_exclusive_group()
    texts = ("clicks go through it", "it can be moved and resized", "it ends")
    for order, text in zip(ORDERS, texts, strict=True):
        group.add_argument(f"--{order}", dest="order", action="store_const", const=order, help=text)
