"""PortAudio, the library behind all microphones: found, started again, called by one thread, and kept quiet."""

from __future__ import annotations

import asyncio
import atexit
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from queue import SimpleQueue
from threading import Thread
from types import ModuleType
from typing import TypeVar

from model.errors import GraniteStreamError

Result = TypeVar("Result")


class MicrophoneError(GraniteStreamError):
    """Sound cannot be had."""


def sounddevice() -> ModuleType:
    """The binding of PortAudio.

    Raises:
        MicrophoneError: it, or PortAudio itself, is not installed.
    """
    try:
        import sounddevice  # late: it loads PortAudio, which looks for devices
    except ImportError:
        raise MicrophoneError("the microphone needs sounddevice; pip install 'granite-stream[mic]'") from None
    except OSError:
        cure = "apt install libportaudio2 (Debian, Ubuntu), dnf install portaudio (Fedora)"
        raise MicrophoneError(f"the microphone needs the PortAudio library; {cure}") from None
    except Exception as error:  # PortAudio has looked and stumbled; its own error class cannot be imported then
        raise MicrophoneError(_no_start(error)) from None
    return sounddevice


def restart_portaudio() -> None:
    """Makes PortAudio look again: it sees only the devices that were there when it was started.

    Raises:
        MicrophoneError: it does not start again.
    """
    portaudio = sounddevice()
    with suppress(portaudio.PortAudioError):  # an earlier start failed: there is nothing to end
        portaudio._terminate()
    try:
        portaudio._initialize()
    except portaudio.PortAudioError as error:
        raise MicrophoneError(_no_start(error)) from None


class PortAudioThread:
    """Runs what may take long: PortAudio wants to be called by one thread at a time, and a driver may hang.

    The thread is a daemon, so that a driver that hangs does not keep the program alive.
    """

    def __init__(self) -> None:
        self._orders: SimpleQueue[Callable[[], None] | None] = SimpleQueue()  # of somebody who waits for each: short
        self._thread = Thread(target=self._obey, name="portaudio", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """It has not ended, be it that nobody told it to or that it is in the midst of something."""
        return self._thread.is_alive()

    async def run(self, work: Callable[[], Result]) -> Result:
        """What it returns or raises. If the caller is cancelled, work under way goes on and its result is lost."""
        answer: Future[Result] = Future()

        def order() -> None:
            if not answer.set_running_or_notify_cancel():
                return
            try:
                result = work()
            except Exception as error:  # whatever it is, it belongs to whoever asked
                answer.set_exception(error)
            else:
                answer.set_result(result)

        self.do(order)
        return await asyncio.wrap_future(answer)

    def do(self, order: Callable[[], None]) -> None:
        """Has something done, behind all else, that cannot fail and that nobody waits for."""
        self._orders.put(order)

    async def stop(self) -> None:
        """Waits until all is done, also what nobody waits for any more, and ends the thread."""
        await self.run(self.end)

    def end(self) -> None:
        """Ends the thread when all is done, without waiting."""
        self._orders.put(None)

    def give_up(self) -> None:
        """Does not wait for a driver that hangs, also when Python ends: the system will take the device back."""
        atexit.unregister(sounddevice()._exit_handler)

    def _obey(self) -> None:
        while (order := self._orders.get()) is not None:
            order()


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Keeps PortAudio and ALSA from writing over the captions whatever they stumble over; Python may still complain."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    python = sys.stderr
    try:
        os.dup2(nowhere, 2)
        if _descriptor(python) == 2:
            sys.stderr = os.fdopen(kept, "w", 1, encoding=python.encoding, errors=python.errors, closefd=False)
        yield
    finally:
        sys.stderr.flush()
        sys.stderr = python
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _descriptor(stream: object) -> int | None:
    try:
        return stream.fileno()  # type: ignore[attr-defined]
    except (AttributeError, OSError, ValueError):
        return None  # somebody has put another kind of stream there


def _no_start(error: Exception) -> str:
    return f"PortAudio does not start: {' '.join(str(error).split())}; check the sound settings"
