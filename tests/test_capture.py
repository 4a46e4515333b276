"""What PortAudio's thread hands over, without PortAudio: the test calls `hear` as it would."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from streamer.sound.capture import MOST_KEPT_SECONDS, Capture, opened
from streamer.sound.devices import Device
from streamer.sound.microphone import Microphone
from streamer.sound.portaudio import MicrophoneError, PortAudioThread
from tests.media import tone
from tests.servers import until

STEREO = Device(0, "Desk", 48_000, 2, is_default=True, is_loopback=False, portaudio=0)
PLAIN = Device(0, "Desk", 16_000, 1, is_default=True, is_loopback=False, portaudio=0)


def hear(capture: Capture, samples: np.ndarray, at_seconds: float = 0.0, overflow: bool = False) -> None:
    data = np.asarray(samples, np.float32).tobytes()
    times, status = SimpleNamespace(inputBufferAdcTime=at_seconds), SimpleNamespace(input_overflow=overflow)
    capture.hear(data, len(samples), times, status)


def microphone(capture: Capture) -> tuple[Microphone, list[str]]:
    """One that is open already."""
    said: list[str] = []
    microphone = Microphone(None, capture.device, said.append)
    microphone._capture = capture
    microphone._keeper = asyncio.get_running_loop().create_task(asyncio.sleep(60))
    return microphone, said


async def test_stereo_at_its_own_rate_becomes_what_the_network_hears() -> None:
    capture, left = Capture(STEREO, 48_000, 2), tone(1.0, 48_000)
    pieces = []
    for start in range(0, 48_000, 1000):
        piece = left[start : start + 1000]
        hear(capture, np.stack([piece, np.zeros_like(piece)], 1))
        pieces.append(capture.take()[0])
    heard = np.concatenate([*pieces, capture.rest()])
    assert len(heard) == 16_000
    assert heard == pytest.approx(tone(1.0) / 2, abs=0.01)


async def test_a_device_that_is_faster_than_can_be_heard_is_opened_at_a_usual_rate(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("streamer.sound.capture._start", lambda capture, rate: SimpleNamespace(close=lambda: None))
    thread = SimpleNamespace(run=lambda work: asyncio.to_thread(work))
    capture = await opened(thread, replace(STEREO, rate=384_000))  # type: ignore[arg-type]
    hear(capture, np.zeros((48_000, 2)))
    assert len(capture.take()[0]) + len(capture.rest()) == 16_000


async def test_the_loop_is_woken_from_another_thread() -> None:
    capture = Capture(PLAIN, 16_000, 1)
    thread = threading.Thread(target=hear, args=(capture, tone(0.1)))
    thread.start()
    async with asyncio.timeout(10):
        await capture.news.wait()
    thread.join()
    assert len(capture.take()[0]) == 1600


async def test_a_loop_that_stands_still_loses_sound_and_says_how_much() -> None:
    capture = Capture(PLAIN, 16_000, 1)
    listener, said = microphone(capture)
    for _ in range(12):
        hear(capture, tone(1.0))
    samples = await listener.next()
    assert len(samples) == 12 * 16_000, "silence stands for what is lost, so that times stay true"
    kept = int(MOST_KEPT_SECONDS * 16_000)
    assert samples[:kept].any()
    assert not samples[kept:].any()
    assert said == ["2.0 s of sound were lost: this machine is too busy"]
    hear(capture, tone(1.0))
    assert (await listener.next()).any(), "there is room again"
    await listener.stop()


async def test_what_the_driver_has_lost_is_said_too() -> None:
    capture = Capture(PLAIN, 16_000, 1)
    listener, said = microphone(capture)
    hear(capture, tone(0.1), at_seconds=5.0)
    hear(capture, tone(0.1), at_seconds=5.6, overflow=True)
    samples = await listener.next()
    assert len(samples) == 0.7 * 16_000
    assert not samples[1600:9600].any()
    assert said == ["0.5 s of sound were lost: this machine is too busy"]
    await listener.stop()


async def test_many_losses_are_said_together() -> None:
    capture = Capture(PLAIN, 16_000, 1)
    listener, said = microphone(capture)
    for number in range(10):
        hear(capture, tone(0.1), at_seconds=5.0 + number, overflow=True)
        await listener.next()
    await listener.stop()
    assert [line.split()[0] for line in said] == ["0.9", "7.2"]


async def test_a_muted_microphone_gives_silence_of_the_same_length() -> None:
    capture = Capture(PLAIN, 16_000, 1)
    listener, _ = microphone(capture)
    listener.muted = True
    hear(capture, tone(0.1))
    samples = await listener.next()
    assert len(samples) == 1600
    assert not samples.any()
    listener.muted = False
    hear(capture, tone(0.1))
    assert (await listener.next()).any()
    await listener.stop()


async def test_without_sound_the_next_samples_are_none() -> None:
    listener, said = microphone(Capture(PLAIN, 16_000, 1))
    async with asyncio.timeout(10):
        assert len(await listener.next()) == 0
    assert said == []
    await listener.stop()


async def test_a_device_that_says_nothing_for_long_is_taken_for_gone() -> None:
    capture = Capture(PLAIN, 16_000, 1)
    listener, said = microphone(capture)
    capture.heard_at -= 4.0
    silence = await listener.next()
    assert said == ["Desk gives no sound; waiting for it"]
    most_seconds = time.monotonic() - capture.heard_at
    assert 4.0 * 16_000 <= len(silence) <= most_seconds * 16_000, "silence stands for the time since then"
    listener._capture = Capture(PLAIN, 16_000, 1)
    hear(listener._capture, tone(0.1))
    assert (await listener.next()).any()
    assert said[1:] == ["Desk is back"]
    await listener.stop()


async def test_a_program_that_was_stopped_for_a_night_does_not_give_hours_of_silence() -> None:
    capture = Capture(PLAIN, 16_000, 1)
    listener, said = microphone(capture)
    capture.heard_at -= 8 * 3600
    assert len(await listener.next()) == MOST_KEPT_SECONDS * 16_000
    assert len(await listener.next()) < 16_000, "from now on it is what passes"
    assert said == ["Desk gives no sound; waiting for it"]
    await listener.stop()


async def test_another_default_device_is_named() -> None:
    capture = Capture(PLAIN, 16_000, 1)
    listener, said = microphone(capture)
    capture.end()
    await listener.next()
    listener._capture = Capture(Device(1, "Headset", 16_000, 1, True, False, 1), 16_000, 1)
    hear(listener._capture, tone(0.1))
    await listener.next()
    assert said == ["Desk is gone; waiting for it", "now it is Headset"]
    await listener.stop()


async def test_the_thread_passes_errors_on_and_survives_them() -> None:
    thread = PortAudioThread()
    with pytest.raises(ZeroDivisionError):
        await thread.run(lambda: 1 // 0)
    assert await thread.run(lambda: 42) == 42
    await thread.stop()


async def test_a_microphone_that_cannot_be_opened_leaves_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(_thread: PortAudioThread, device: Device) -> Capture:
        raise MicrophoneError(f"{device.name}: cannot be opened")

    monkeypatch.setattr("streamer.sound.microphone.opened", refuse)
    before = set(threading.enumerate())
    microphone = Microphone(None, STEREO, lambda _: None)
    with pytest.raises(MicrophoneError):
        await microphone.__aenter__()
    for thread in set(threading.enumerate()) - before:
        thread.join(10)
    assert set(threading.enumerate()) <= before


class Driver:
    """PortAudio, whose second opening takes a while; `open` says of each stream whether it still is."""

    PortAudioError = OSError

    def __init__(self, broken: bool = False) -> None:
        self.open: list[bool] = []
        self.broken = broken

    def RawInputStream(self, *_given: Any, **_named: Any) -> SimpleNamespace:  # noqa: N802 - its name
        if self.open:
            time.sleep(0.5)
        index = len(self.open)
        self.open.append(True)
        return SimpleNamespace(start=self._start, close=lambda ignore_errors: self.open.__setitem__(index, False))

    def _start(self) -> None:
        if self.broken:
            raise OSError("busy")


async def test_a_device_that_is_opened_again_while_the_run_ends_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = Driver()
    monkeypatch.setattr("streamer.sound.capture.sounddevice", lambda: driver)
    monkeypatch.setattr("streamer.sound.microphone.restart_portaudio", lambda: None)
    monkeypatch.setattr("streamer.sound.microphone.inputs", lambda: [PLAIN])
    monkeypatch.setattr("streamer.sound.microphone.LOOK_SECONDS", 0.01)
    async with Microphone(None, PLAIN, lambda _: None) as microphone:
        microphone._capture.end()
        await until(lambda: driver.open == [False])
        await asyncio.sleep(0.1)  # it is being opened again
    assert driver.open == [False, False]


class Hanging(Driver):
    """PortAudio, that hangs when the first stream is closed until it is told to go on."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = threading.Event()
        self._exit_handler = lambda: None

    def RawInputStream(self, *_given: Any, **_named: Any) -> SimpleNamespace:  # noqa: N802 - its name
        self.open.append(True)
        wait = self.go_on.wait if len(self.open) == 1 else lambda: None
        return SimpleNamespace(start=lambda: None, close=lambda ignore_errors: wait())


def hanging(monkeypatch: pytest.MonkeyPatch, seconds: float) -> Hanging:
    """Such a driver in PortAudio's place, given up after `seconds`."""
    driver = Hanging()
    monkeypatch.setattr("streamer.sound.capture.sounddevice", lambda: driver)
    monkeypatch.setattr("streamer.sound.portaudio.sounddevice", lambda: driver)
    monkeypatch.setattr("streamer.sound.microphone.LOOK_SECONDS", 0.01)
    monkeypatch.setattr("streamer.sound.microphone.HANGING_SECONDS", seconds)
    return driver


async def test_a_driver_that_hangs_does_not_keep_its_device_from_being_opened_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    driver, restarts = hanging(monkeypatch, seconds=0.2), list[int]()
    monkeypatch.setattr("streamer.sound.microphone.restart_portaudio", lambda: restarts.append(1))
    monkeypatch.setattr("streamer.sound.microphone.inputs", lambda: [PLAIN])
    async with Microphone(None, PLAIN, lambda _: None) as microphone:
        microphone._capture.end()
        await until(lambda: len(driver.open) == 2)
        assert not restarts, "it would wait for the driver, too"
        driver.go_on.set()
        await until(lambda: not microphone._hanging[0].alive)
        microphone._capture.end()
        await until(lambda: len(driver.open) == 3)
        assert restarts


async def test_a_driver_that_hangs_every_time_ends_the_run_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    driver, go_on = hanging(monkeypatch, seconds=0.02), threading.Event()
    monkeypatch.setattr("streamer.sound.microphone.inputs", go_on.wait)
    async with Microphone(None, PLAIN, lambda _: None) as microphone:
        microphone._capture.end()
        await until(microphone._keeper.done)
        with pytest.raises(MicrophoneError, match="Desk: its driver does not answer any more"):
            await microphone.next()
        driver.go_on.set()
        go_on.set()


async def test_a_default_that_has_changed_is_named_while_it_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamer.sound.capture.sounddevice", Driver)
    monkeypatch.setattr("streamer.sound.microphone.as_it_is", lambda device: replace(device, name="Headset"))
    monkeypatch.setattr("streamer.sound.microphone.LOOK_SECONDS", 0.01)
    said: list[str] = []
    async with Microphone(None, PLAIN, said.append) as microphone:
        capture = microphone._capture
        await until(lambda: microphone.device.name == "Headset")
        await asyncio.sleep(0.1)
        assert microphone._capture is capture
    assert said == ["now it is Headset"]


async def test_a_device_that_opens_and_does_not_start_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = Driver(broken=True)
    monkeypatch.setattr("streamer.sound.capture.sounddevice", lambda: driver)
    thread = PortAudioThread()
    with pytest.raises(MicrophoneError, match="cannot be opened"):
        await opened(thread, PLAIN)
    await thread.stop()
    assert driver.open
    assert not any(driver.open)


@pytest.mark.parametrize("wanted", ["Desk", None], ids=["the one that was wanted", "the default"])
async def test_a_device_that_was_found_long_ago_is_looked_for_again(
    monkeypatch: pytest.MonkeyPatch, wanted: str | None
) -> None:
    """PortAudio gives numbers anew whenever it starts: that of the desk is the lamp's now."""
    lamp, desk = replace(PLAIN, name="Lamp"), replace(STEREO, index=1, is_default=False, portaudio=7)
    done: list[str] = []

    async def opened(_thread: PortAudioThread, device: Device) -> Capture:
        done.append(f"open {device.name} at {device.portaudio}")
        return Capture(device, device.rate, device.channels)

    monkeypatch.setattr("streamer.sound.microphone.restart_portaudio", lambda: done.append("restart"))
    monkeypatch.setattr("streamer.sound.microphone.inputs", lambda: [lamp, desk])
    monkeypatch.setattr("streamer.sound.microphone.opened", opened)
    microphone = Microphone(wanted, STEREO, lambda _: None, look=True)
    await microphone.__aenter__()
    microphone._keeper.cancel()
    assert done == ["restart", "open Desk at 7" if wanted else "open Lamp at 0"]
    assert microphone.device.name == (wanted or "Lamp")


async def test_a_device_that_is_slow_to_open_is_not_taken_for_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(capture: Capture, _rate: int) -> None:
        capture.heard_at -= 4.0

    monkeypatch.setattr("streamer.sound.capture._start", slow)
    thread = SimpleNamespace(run=lambda work: asyncio.to_thread(work))
    capture = await opened(thread, PLAIN)  # type: ignore[arg-type]
    assert not capture.is_over(time.monotonic())
