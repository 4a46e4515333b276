"""A live run in front of a terminal: status line, keys, signals, and the files that are written meanwhile."""

from __future__ import annotations

import asyncio
import signal
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from clients.arguments import DONE, INTERRUPTED, Complain
from clients.display import Display
from clients.formats import writer
from clients.keys import Keys
from clients.live import TOO_SLOW, Captioning, Feed
from clients.livefile import LiveFile
from clients.outputs import make_room
from clients.signals import heeded
from clients.status import Status
from streamer.sound.devices import Device
from streamer.sound.microphone import Microphone
from streamer.sound.saving import SavedSound

OpenFeed = Callable[[Captioning, Display], Feed]


@contextmanager
def prepared(given: Namespace, device: Device, notice: str, complain: Complain) -> Iterator[Status]:
    """Looks whether files can be written, and shows what is being waited for meanwhile; gives the status to go on with.

    Raises:
        GraniteStreamError: a file cannot be written.
    """
    for path in (given.save, given.transcript):
        make_room(path)
    status = Status(device.name, notice=notice)
    with Display(sys.stdout, sys.stderr, complain, status, _shown(given), events=given.events) as display:
        display.refresh()
        yield status


async def caption(
    given: Namespace,
    device: Device,
    status: Status,
    model: str,
    complain: Complain,
    open_feed: OpenFeed,
    excuse: str = TOO_SLOW,
) -> int:
    """Shows and writes down what the microphone hears, until the user has enough; gives the exit code.

    Args:
        given: what the user typed: `microphone`, `save`, `transcript`, `format`, `events`.
        device: what `chosen` made of `microphone`.
        status: what `prepared` gave.
        model: what transcripts say they were made with.
        complain: tells the user one line, where no terminal shows notices.
        open_feed: makes who writes it down; called once.
        excuse: why sound may have to be left out.

    Raises:
        CaptionsError: the feed has given up.
        MicrophoneError: the microphone cannot be opened.
        OSError: captions or sound cannot be written any more.
    """
    say = complain  # until there is a display
    async with Microphone(given.microphone, device, lambda notice: say(notice)) as microphone:
        # only now: one that cannot be opened leaves no files behind
        with ExitStack() as stack:
            transcript = LiveFile(given.transcript, writer(given.format, model)) if given.transcript else None
            sound = stack.enter_context(SavedSound(given.save)) if given.save else None
            display = Display(sys.stdout, sys.stderr, complain, status, _shown(given), model, given.events, transcript)
            stack.enter_context(display)
            say = display.say
            display.refresh()
            captioning = Captioning(microphone, display, status, sound)
            with Keys(sys.stdin, captioning.press) as captioning.keys:
                _obey_signals(captioning)
                await captioning.run(open_feed(captioning, display), excuse)
    if given.transcript:
        complain(f"the transcript is {given.transcript}")
    return INTERRUPTED if captioning.abandoned else DONE


def _shown(given: Namespace) -> str:
    """What is seen: a transcript in another format has a file of its own."""
    return "text" if given.transcript else str(given.format)


def _obey_signals(captioning: Captioning) -> None:
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):  # the last words are worth waiting for
        loop.add_signal_handler(name, captioning.stop)
    obey = {signal.SIGHUP: captioning.hang_up, signal.SIGTSTP: captioning.suspend}
    for name in heeded(*obey):
        loop.add_signal_handler(name, obey[name])
