"""Where an overlay's captions come from, on a thread with an event loop of its own. Knows no Qt.

A source that is lost is tried again for ever, and the overlay says so: nobody should have to look after it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import aclosing
from dataclasses import dataclass, field
from threading import Thread
from typing import Any

from clients.asking import stream_at
from clients.connection import Choices
from clients.errors import HOPELESS, CaptionsError
from clients.live import TOO_SLOW, Captioning, Feed
from clients.patience import Persistence
from clients.remote import EXCUSE, RemoteFeed
from clients.status import Status
from clients.succession import Succession
from clients.watching import watch
from streamer.events import Event
from streamer.sound.devices import Device
from streamer.sound.microphone import Microphone
from streamer.sound.portaudio import MicrophoneError


@dataclass(slots=True)
class Outlet:
    """Where a source tells what it has. All are called on its thread."""

    show: Callable[[Event], None]
    say: Callable[[str], None]  # what happened
    trouble: Callable[[str], None]  # what is wrong from now on; "": nothing
    muted: bool = False  # whoever sets it also sets that of the microphone
    microphone: Microphone | None = None

    def mute(self, muted: bool) -> None:
        """From any thread. It holds for the next microphone as well."""
        self.muted = muted
        if self.microphone:
            self.microphone.muted = muted


@dataclass(slots=True)
class CaptionScreen:
    """What a `Captioning` shows on: its status line is what is wrong."""

    outlet: Outlet
    status: Status
    notice: str = field(default="", init=False)

    def show(self, event: Event) -> None:
        """Shows what was said."""
        self.outlet.show(event)

    def say(self, notice: str) -> None:
        """Tells what happened."""
        self.outlet.say(notice)

    def mark(self, number: int) -> None:
        """There is no transcript to find it in."""

    def refresh(self) -> None:
        """Tells what is wrong, if that is news."""
        if self.status.notice != self.notice:
            self.notice = self.status.notice
            self.outlet.trouble(self.notice)

    def leave(self) -> None:
        """No terminal is in use."""


async def hear(
    wanted: str | None,
    device: Device,
    outlet: Outlet,
    open_feed: Callable[[Captioning, CaptionScreen], Feed],
    excuse: str = TOO_SLOW,
    again: bool = False,
) -> None:
    """Shows what a microphone hears, until the feed gives up; `again`: it did so before, with another number perhaps.

    Raises:
        CaptionsError: it has.
        MicrophoneError: the microphone cannot be opened.
    """
    screen = CaptionScreen(outlet, Status(device.name))
    async with Microphone(wanted, device, outlet.say, again) as microphone:
        microphone.muted = outlet.muted
        outlet.microphone = microphone
        outlet.trouble("")
        outlet.say(f"Listening to {microphone.device.name}")
        captioning = Captioning(microphone, screen, screen.status)
        await captioning.run(open_feed(captioning, screen), excuse)


async def hear_far(
    url: str, token: str | None, choices: Choices, wanted: str | None, device: Device, outlet: Outlet
) -> None:
    """Has a daemon write down what a microphone hears."""

    async def once(again: bool) -> None:
        async with stream_at(url, token, choices)() as captions:
            feed = lambda run, screen: RemoteFeed(Succession(captions, screen.say), run)  # noqa: E731
            await hear(wanted, device, outlet, feed, EXCUSE, again)

    await persist(once, outlet)


async def follow(url: str, token: str | None, channel: str, outlet: Outlet) -> None:
    """Shows whoever speaks on a channel."""

    async def once(_again: bool) -> None:
        async with aclosing(watch(url, channel, token=token)) as events:
            async for event in events:
                if event is None:
                    outlet.trouble("")
                    outlet.say(f"Waiting for somebody to speak on {channel}")
                else:
                    outlet.show(event)

    await persist(once, outlet)


async def persist(once: Callable[[bool], Awaitable[None]], outlet: Outlet) -> None:
    """Does it again whenever it fails, after a while; not if that would be in vain. `once` is told if it is again."""
    clock, persistence, again = asyncio.get_running_loop().time, Persistence(), False
    while True:
        began = clock()
        try:
            await once(again)
        except HOPELESS as error:
            outlet.trouble(str(error))
            return
        except (CaptionsError, MicrophoneError) as error:
            is_news = persistence.failed(error, clock() - began)
            outlet.trouble(persistence.message)
            if is_news:  # it also takes the place of captions that are still there
                outlet.say(persistence.message)
        again = True
        await asyncio.sleep(persistence.wait_seconds())


class SourceThread(Thread):
    """Runs a source; `failed` is called on it, with the error, if it breaks for good."""

    def __init__(self, source: Coroutine[Any, Any, None], failed: Callable[[Exception], None]) -> None:
        super().__init__(name="captions", daemon=True)  # a driver that hangs must not keep the program alive
        self._source, self._failed = source, failed
        self._loop = asyncio.new_event_loop()
        self._task: asyncio.Task[None] | None = None

    def run(self) -> None:
        """The thread."""
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            try:
                runner.run(self._run())
            except asyncio.CancelledError:
                pass
            except Exception as error:  # nobody else would see it
                self._failed(error)

    def stop(self, patience_seconds: float) -> None:
        """Ends the source. What was not written down yet is of no interest any more."""
        if self.is_alive():
            self._loop.call_soon_threadsafe(self._cancel)
            self.join(patience_seconds)

    async def _run(self) -> None:
        self._task = asyncio.current_task()
        await self._source

    def _cancel(self) -> None:
        if self._task:
            self._task.cancel()
