"""`granite-stream overlay`: captions over any window. Only here does the overlay meet the network."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Coroutine, Sequence
from typing import Any

from clients.arguments import Complain
from clients.asking import read_token
from clients.background import busy, end_at_once, in_thread
from clients.overlay.arguments import parse
from clients.overlay.desktop import libraries_missing, prepare
from clients.overlay.sources import Outlet, follow, hear, hear_far, persist
from streamer.sound.devices import Device
from streamer.sound.microphone import chosen
from streamer.sound.portaudio import quiet_libraries


def main(arguments: Sequence[str], complain: Complain) -> int:
    """Runs the command and gives its exit code; `complain` tells the user one line.

    Raises:
        SystemExit: help was asked for (0), or it makes no sense (2).
        GraniteStreamError: no window can be shown, there is no such microphone, or a file cannot be read.
    """
    given = parse(arguments, complain)
    with quiet_libraries():
        try:
            limits = prepare()
            from clients.overlay import app  # loads Qt
        except ImportError as error:
            raise libraries_missing(error) from None
        if given.order:
            return app.order(given.order, complain)
        token = read_token(given.token_file)
        device = None if given.channel else chosen(given.microphone)
        if limits:
            complain(limits)
        code = app.run(given, lambda outlet: _source(given, token, device, outlet), complain)
        if busy():
            end_at_once(code)
        return code


def _source(given: Namespace, token: str | None, device: Device | None, outlet: Outlet) -> Coroutine[Any, Any, None]:
    if device is None:
        return follow(given.url, token, given.channel, outlet)
    if given.url:
        return hear_far(given.url, token, given.choices, given.microphone, device, outlet)
    return _hear_here(given, device, outlet)


async def _hear_here(given: Namespace, device: Device, outlet: Outlet) -> None:
    """Writes down here what a microphone hears."""
    outlet.trouble(f"Loading {given.model} …")

    def load() -> Any:
        from streamer.commands.loading import load_engine  # loads torch

        return load_engine(given, given.options)

    engine = await in_thread(load)
    from streamer.worker import Worker

    async with Worker(engine) as worker:
        feed = lambda run, _screen: worker.open(given.options, run.take)  # noqa: E731
        await persist(lambda again: hear(given.microphone, device, outlet, feed, again=again), outlet)
