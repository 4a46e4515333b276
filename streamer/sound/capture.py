"""One input, opened: PortAudio's thread puts sound in, the event loop takes 16 kHz mono samples out.

Knows nothing of what becomes of the samples, nor what to do when the device is gone.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from contextlib import suppress
from functools import partial
from threading import Lock
from typing import Any

import numpy as np

from streamer.sound.devices import Device
from streamer.sound.incoming import RATES, Incoming, Samples
from streamer.sound.portaudio import MicrophoneError, PortAudioThread, sounddevice

MOST_KEPT_SECONDS = 10.0  # of sound that the event loop has not taken yet; what comes on top is lost, and said
STILL_SECONDS = 3.0  # without sound a device is taken for gone: some drivers do not tell
DRIVER_SECONDS = 0.1  # of sound that the driver keeps for a callback that is late
USUAL_RATES = (48_000, 44_100, 16_000)  # samples a second, if a device does not open at its own


class Capture:
    """An open input. Made by `opened`; PortAudio calls `hear` on a thread of its own, all else is for the loop."""

    def __init__(self, device: Device, rate: int, channels: int) -> None:
        self.device = device
        self.ended = False  # PortAudio has given up
        self.news = asyncio.Event()  # set when there is something to take, or it has ended
        self.heard_at = time.monotonic()  # when sound came last
        self._rate, self._loop = rate, asyncio.get_running_loop()
        self._channels = channels
        self._incoming: Incoming | None = None  # while there is sound: one that outlives Python complains at its end
        # Frames, and between them how many are missing. Bounded: a loop that stands still must not fill the memory.
        self._kept: deque[bytes | int] = deque()
        self._kept_frames = 0
        self._most_frames = int(MOST_KEPT_SECONDS * rate)
        self._lock = Lock()
        self._due_at = 0.0  # when the driver should have the next frame, in its own time
        self._over = False  # the resampler has given all
        self._stream: Any = None

    # --- on PortAudio's thread ---

    def hear(self, data: Any, frames: int, times: Any, status: Any) -> None:
        """Takes what the driver has. Whatever is missing is counted, never passed over."""
        if self._over:
            return
        missing = 0
        if status.input_overflow and self._due_at:
            missing = max(0, round((times.inputBufferAdcTime - self._due_at) * self._rate))
        self._due_at = times.inputBufferAdcTime + frames / self._rate
        with self._lock:
            if missing:
                self._miss(missing)
            if self._kept_frames + frames <= self._most_frames:
                self._kept.append(bytes(data))
                self._kept_frames += frames
            else:
                self._miss(frames)
        self._wake()

    def end(self) -> None:
        """There will be no more sound. Also called on the loop, when nobody wants any more."""
        self.ended = True
        self._wake()

    def _miss(self, frames: int) -> None:
        if self._kept and isinstance(self._kept[-1], int):
            self._kept[-1] += frames
        else:
            self._kept.append(frames)

    def _wake(self) -> None:
        with suppress(RuntimeError):  # the loop is closed already: nobody listens any more
            self._loop.call_soon_threadsafe(self.news.set)

    # --- on the event loop ---

    def is_over(self, now: float) -> bool:
        """Whether nothing more is to be expected; `now` is the monotonic clock."""
        return self.ended or now - self.heard_at > STILL_SECONDS

    def take(self) -> tuple[Samples, float]:
        """Samples `[T]` since the last call, and how many seconds were lost; silence stands for them."""
        self.news.clear()
        with self._lock:
            kept, self._kept, self._kept_frames = self._kept, deque(), 0
        if not kept or self._over:
            return np.empty(0, np.float32), 0.0
        if self._incoming is None:
            self._incoming = Incoming("pcm_f32le", self._rate, self._channels)
        self.heard_at = time.monotonic()
        missing = sum(each for each in kept if isinstance(each, int))
        # a program that was stopped for a night should not be told of it by gigabytes
        most, width = self._most_frames, self._incoming.frame_bytes
        sound = b"".join(bytes(min(each, most) * width) if isinstance(each, int) else each for each in kept)
        return self._incoming.feed(sound), missing / self._rate

    def rest(self) -> Samples:
        """The last samples `[T]`, once all have been taken; what comes later is not heard any more."""
        self._over = self.ended = True
        incoming, self._incoming = self._incoming, None
        return incoming.finish() if incoming else np.empty(0, np.float32)


async def opened(thread: PortAudioThread, device: Device) -> Capture:
    """Opens the device at its own rate, or at another if it refuses that.

    Raises:
        MicrophoneError: it cannot be opened.
    """
    reason = ""
    for rate in dict.fromkeys((device.rate, *USUAL_RATES)):
        if not RATES[0] <= rate <= RATES[1]:
            continue
        capture = Capture(device, rate, device.channels)
        try:
            await thread.run(partial(_start, capture, rate))
        except MicrophoneError as error:
            reason = reason or str(error)
        except asyncio.CancelledError:  # it may be opened just now, and nobody would close it
            thread.do(partial(_give_back, capture))
            raise
        else:
            capture.heard_at = time.monotonic()  # some take seconds to open, and are not silent for that
            return capture
    raise MicrophoneError(f"{device.name}: cannot be opened ({reason}); is another program using it?")


def _start(capture: Capture, rate: int) -> None:
    device, portaudio = capture.device, sounddevice()
    if device.source is not None:
        os.environ["PULSE_SOURCE"] = device.source
    try:
        capture._stream = portaudio.RawInputStream(
            rate,
            device=device.portaudio,
            channels=device.channels,
            dtype="float32",
            latency=DRIVER_SECONDS,
            callback=capture.hear,
            finished_callback=capture.end,
        )
        capture._stream.start()
    except (portaudio.PortAudioError, ValueError) as error:
        _give_back(capture)
        raise MicrophoneError(" ".join(str(error).split())) from None


def _give_back(capture: Capture) -> None:
    stream, capture._stream = capture._stream, None
    if stream is not None:
        stream.close(ignore_errors=True)


async def closed(thread: PortAudioThread, capture: Capture) -> None:
    """Gives the device back; once more does no harm."""
    await thread.run(partial(_give_back, capture))
