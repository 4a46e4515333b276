"""`granite-stream --mic`: from a microphone to captions."""

from __future__ import annotations

import asyncio
from argparse import Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING

from clients.arguments import Complain
from clients.console import caption, prepared
from clients.status import Status
from streamer.commands.listening import parse
from streamer.sound.devices import Device
from streamer.sound.microphone import chosen
from streamer.sound.portaudio import quiet_libraries

if TYPE_CHECKING:
    from streamer.engine import Engine


def main(arguments: Sequence[str], complain: Complain) -> int:
    """Runs the command and gives its exit code; `complain` tells the user one line.

    Raises:
        SystemExit: help was asked for (0), or it makes no sense (2).
        GraniteStreamError: there is no such microphone or model, or a file cannot be written.
        OSError: captions or sound cannot be written any more.
    """
    given = parse(arguments, complain)
    with quiet_libraries():
        device = chosen(given.microphone)  # before anything is loaded: it may not be there
        with prepared(given, device, f"loading {given.model}", complain) as status:
            from streamer.commands.loading import load_engine  # loads torch

            engine = load_engine(given, given.options)
        return asyncio.run(_caption(given, device, status, engine, complain))


async def _caption(given: Namespace, device: Device, status: Status, engine: Engine, complain: Complain) -> int:
    from streamer.worker import Worker

    async with Worker(engine) as worker:
        name = engine.model.name
        return await caption(given, device, status, name, complain, lambda run, _: worker.open(given.options, run.take))
