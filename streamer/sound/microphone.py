"""The sound of one input without gaps in time, whatever happens to the device. Knows nothing of captions.

Silence stands for sound that could not be had, and for the time in which the device was gone: so times stay those of
the clock.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import numpy as np

from streamer.sound.capture import MOST_KEPT_SECONDS, Capture, closed, opened
from streamer.sound.devices import Device, again, as_it_is, default_input, find, inputs
from streamer.sound.incoming import SAMPLE_RATE, Samples
from streamer.sound.portaudio import MicrophoneError, PortAudioThread, restart_portaudio

TURN_SECONDS = 0.1  # between two pieces at most, even if there is nothing to hear
LOOK_SECONDS = 1.0  # between two looks for a device that is gone, or at the sound server whether it still is there
CLOSING_SECONDS = 2.0  # a driver may take at the end
HANGING_SECONDS = 10.0  # without an answer: it will give none any more
MOST_HANGING = 8  # threads in drivers that do not answer, before the run is given up
SAY_SECONDS = 5.0  # between two messages about lost sound


def chosen(wanted: str | None) -> Device:
    """The device with this number or name, or the default one.

    Raises:
        MicrophoneError: there is none.
    """
    return default_input(inputs()) if wanted is None else find(wanted, inputs())


class Microphone:
    """An open input, waited for when it is gone and taken up again; use it as a context."""

    def __init__(self, wanted: str | None, device: Device, say: Callable[[str], None], look: bool = False) -> None:
        """Takes what the user wanted and the device that `chosen` made of it; `say` tells what happens to the sound.

        With `look` the device was found some time ago: since then its number may have become another device's.
        """
        self.device, self._look = device, look
        self.muted = False  # silence is given instead of what is heard
        self.gone = False  # it is being waited for
        self._follows_default, self._say = wanted is None, say
        self._thread = PortAudioThread()
        self._hanging: list[PortAudioThread] = []  # in a driver that did not answer
        self._capture: Capture
        self._keeper: asyncio.Task[None]
        self._stopped = False
        self._silent_until = 0.0  # while it is gone: up to when silence was given, by the monotonic clock
        self._unsaid_seconds, self._said_at = 0.0, 0.0  # of the lost ones

    async def __aenter__(self) -> Microphone:
        """Opens it.

        Raises:
            MicrophoneError: it is not there, or cannot be opened.
        """
        try:
            if self._look:
                self.device = await self._thread.run(self._look_again)
            self._capture = await opened(self._thread, self.device)
        except BaseException:
            self._thread.end()
            raise
        self._keeper = asyncio.create_task(self._keep())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def stop(self) -> Samples:
        """Gives the device back; the last samples `[T]`. Once more does no harm."""
        if not self._stopped:
            self._stopped = True
            self._keeper.cancel()
            try:
                async with asyncio.timeout(CLOSING_SECONDS):
                    await closed(self._thread, self._capture)
                    await self._thread.stop()
            except TimeoutError:
                self._thread.give_up()
        samples = np.concatenate([self._take(), self._capture.rest()])
        self._complain_of_losses(at_once=True)
        return np.zeros_like(samples) if self.muted else samples

    def restart(self) -> None:
        """Opens the device anew: what it has kept is old, and the time since then does not count."""
        self._capture.rest()
        self.gone, self._silent_until = True, time.monotonic()

    async def next(self) -> Samples:
        """The next samples `[T]`, 16 kHz mono, or none if nothing came for `TURN_SECONDS`."""
        if self._keeper.done():
            self._keeper.result()  # raises what broke it
        with suppress(TimeoutError):
            async with asyncio.timeout(TURN_SECONDS):
                await self._capture.news.wait()
        samples = self._take()
        now = time.monotonic()
        if not self.gone and self._capture.is_over(now):
            self._say(f"{self.device.name} {'is gone' if self._capture.ended else 'gives no sound'}; waiting for it")
            self.gone, self._silent_until = True, self._capture.heard_at
            samples = np.concatenate([samples, self._capture.rest()])
        elif self.gone and len(samples):
            samples = np.concatenate([self._silence(now - len(samples) / SAMPLE_RATE), samples])
            self.gone, before, self.device = False, self.device, self._capture.device
            self._say(f"{before.name} is back" if self.device.name == before.name else f"now it is {self.device.name}")
        if self.gone:
            samples = np.concatenate([samples, self._silence(now)])
        return np.zeros_like(samples) if self.muted else samples

    def _take(self) -> Samples:
        samples, lost_seconds = self._capture.take()
        self._unsaid_seconds += lost_seconds
        self._complain_of_losses()
        return samples

    def _silence(self, until: float) -> Samples:
        missing = max(0, int((until - self._silent_until) * SAMPLE_RATE))
        self._silent_until += missing / SAMPLE_RATE
        # as for sound: whoever was stopped for a night should not be told of it by gigabytes
        return np.zeros(min(missing, int(MOST_KEPT_SECONDS * SAMPLE_RATE)), np.float32)

    def _complain_of_losses(self, at_once: bool = False) -> None:
        now = time.monotonic()
        if self._unsaid_seconds and (at_once or now - self._said_at > SAY_SECONDS):
            self._say(f"{self._unsaid_seconds:.1f} s of sound were lost: this machine is too busy")
            self._unsaid_seconds, self._said_at = 0.0, now

    async def _keep(self) -> None:
        """Looks after the device as long as it is used."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                async with asyncio.timeout(HANGING_SECONDS):
                    await self._look_after()
            except TimeoutError:  # as PulseAudio's, when its server died in the midst of something
                self._thread.give_up()
                self._thread.end()  # if ever the driver comes back
                self._hanging = [thread for thread in (*self._hanging, self._thread) if thread.alive]
                if len(self._hanging) > MOST_HANGING:
                    why = "its driver does not answer any more; start the sound server again, and then this"
                    raise MicrophoneError(f"{self.device.name}: {why}") from None
                self._thread = PortAudioThread()

    async def _look_after(self) -> None:
        if self._capture.is_over(time.monotonic()):
            await closed(self._thread, self._capture)
            with suppress(MicrophoneError):  # it is not there yet: the next look may find it
                self._capture = await opened(self._thread, await self._thread.run(self._look_again))
            return
        device = self._capture.device
        now = await self._thread.run(partial(as_it_is, device))
        if now is None:
            self._capture.end()
        elif now != device:
            self.device = self._capture.device = now
            if now.name != device.name:
                self._say(f"now it is {now.name}")

    def _look_again(self) -> Device:
        """The same device, whatever its number is now; or the default, whatever that is now."""
        if not any(thread.alive for thread in self._hanging):  # ending PortAudio would wait for that driver, too
            restart_portaudio()
        devices = inputs()
        return default_input(devices) if self._follows_default else again(self.device, devices)
