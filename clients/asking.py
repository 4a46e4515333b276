"""What a user may ask of a daemon, the token that opens it, and the stream that comes of both."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import cast

from clients.arguments import typed
from clients.connection import Captions, Choices, connect
from clients.errors import CaptionsError
from streamer.access import tokens_in
from streamer.options import CHOICES, WISHES

ENCODING = "pcm_f32le"  # what recordings and microphones give: the daemon hears exactly what a local run would


def choices(given: Namespace) -> Choices:
    """What of `add_stream_options`, `add_wishes` and `--channel` the daemon has to know; `stream_options` checks it."""
    return cast(Choices, typed(given, (*CHOICES, *WISHES, "channel")))


def read_token(path: Path | None) -> str | None:
    """The first token of a file as a daemon has it.

    Raises:
        CaptionsError: there is none in it, or it cannot be read.
    """
    if path is None:
        return None
    try:
        return tokens_in(path)[0]
    except OSError as error:
        raise CaptionsError(f"{path}: {error.strerror}; check the path") from None
    except ValueError as error:
        raise CaptionsError(f"{error}; copy the one of the daemon's --token-file") from None


def stream_at(url: str, token: str | None, asked: Choices) -> Callable[[], AbstractAsyncContextManager[Captions]]:
    """Opens a stream of `ENCODING`; each call another one."""
    return partial(connect, url, token=token, encoding=ENCODING, **asked)
