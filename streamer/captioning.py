"""`granite-stream --mic`: from a microphone to captions. Only here do sound, network and screen meet."""

from __future__ import annotations

import asyncio
from argparse import Namespace
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from clients.arguments import FAILED
from clients.console import caption, prepared
from clients.errors import CaptionsError
from clients.status import Status
from streamer.devices import Device
from streamer.listening import parse
from streamer.microphone import chosen
from streamer.portaudio import MicrophoneError, quiet_libraries

if TYPE_CHECKING:
    from streamer.engine import Engine

Complain = Callable[[str], None]


def main(arguments: Sequence[str], complain: Complain) -> int:
    """Runs the command and gives its exit code; `complain` tells the user one line."""
    given = parse(arguments, complain)
    with quiet_libraries():
        try:
            device = chosen(given.microphone)  # before anything is loaded: it may not be there
            with prepared(given, device, f"loading {given.model}", complain) as status:
                from streamer.loading import load_engine  # loads torch

                engine = load_engine(given, given.options)
            return asyncio.run(_caption(given, device, status, engine, complain))
        except (MicrophoneError, CaptionsError) as error:
            complain(str(error))
            return FAILED


async def _caption(given: Namespace, device: Device, status: Status, engine: Engine, complain: Complain) -> int:
    from streamer.worker import Worker

    async with Worker(engine) as worker:
        name = engine.model.name
        return await caption(given, device, status, name, complain, lambda run, _: worker.open(given.options, run.take))
