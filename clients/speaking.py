"""`granite-stream connect URL --mic`: a microphone here, the network far away."""

from __future__ import annotations

import asyncio
from argparse import Namespace
from contextlib import AsyncExitStack

from clients.arguments import Complain
from clients.asking import stream_at
from clients.connection import once_loaded
from clients.console import caption, prepared
from clients.remote import EXCUSE, RemoteFeed
from clients.signals import Departure
from clients.succession import Succession
from streamer.sound.devices import Device
from streamer.sound.microphone import chosen
from streamer.sound.portaudio import quiet_libraries


def speak(given: Namespace, token: str | None, complain: Complain) -> int:
    """Runs until the user has enough; gives the exit code.

    Raises:
        GraniteStreamError: the daemon cannot be reached or gives up, the microphone cannot be opened, or a file cannot
            be written.
        OSError: captions or sound cannot be written any more.
    """
    with quiet_libraries():
        return asyncio.run(_speak(given, token, chosen(given.microphone), complain))


async def _speak(given: Namespace, token: str | None, device: Device, complain: Complain) -> int:
    stream, task = stream_at(given.url, token, given.choices), asyncio.current_task()
    assert task is not None, "asyncio.run makes a task"
    async with AsyncExitStack() as stack:
        departure = Departure(task)  # until the run takes the signals over: the last words are worth waiting for then
        try:
            with prepared(given, device, f"connecting to {given.url}", complain) as status:
                captions = await stack.enter_async_context(once_loaded(stream, complain))
        except asyncio.CancelledError:
            if not departure.code:
                raise
            return departure.code
        return await caption(
            given,
            device,
            status,
            captions.model,
            complain,
            lambda run, display: RemoteFeed(Succession(captions, display.say, stream), run),
            EXCUSE,
        )
