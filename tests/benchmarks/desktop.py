"""What the way from a microphone to the desktop overlay adds to the engine's delay: PulseAudio, PortAudio, socket, Qt.

A null sink clicks; a server without a network answers each click with a partial the moment it hears it. `parec` in
pieces of 10 ms notes when a click comes out of the sink, and the overlay when it has painted the caption that answers
it. (While it listens the sink works in pieces as short, as a sound card does; by itself it would be later.)
microphone: the same clicks as samples in the hands of `streamer.sound.microphone`, without overlay and socket.
CPU: what the overlay uses, sound and socket included, while the real daemon captions a talk; X is another process.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import numpy as np
import psutil
import soundfile

from streamer.sound.microphone import Microphone, chosen
from tests.benchmarks.common import SAMPLE_RATE, Settings, quantile, recordings
from tests.benchmarks.daemon import daemon
from tests.benchmarks.echo import APART_SECONDS, CLICKS, LOUD, RATE, Echo, clicks, differences
from tests.benchmarks.report import save, table
from tests.desktops import Desktop, aside, desktop
from tests.desktops import missing as screen_missing
from tests.servers import running
from tests.sound import Room, sound_server, wait_until
from tests.sound import missing as sound_missing

CPU_SECONDS = 25.0  # of captions over which it is measured
PIECE = RATE // 100  # frames of 10 ms
LOOK = ("--device", "room.monitor", "--hide", "0")
# The overlay that writes down when a caption has been painted, once each.
PROBE = """
import sys, time
from clients.overlay.window import Window
paint, seen, notes = Window.paintEvent, set(), open(sys.argv.pop(1), "w", 1)
def paint_and_note(window, event):
    paint(window, event)
    text = "".join(row.committed + row.draft for row in window._shown.rows)
    if text.isdigit() and text not in seen:
        seen.add(text)
        print(time.time(), file=notes)
Window.paintEvent = paint_and_note
from streamer.command import main
sys.exit(main())
"""


class Ear:
    """Notes when clicks come, by the system's clock."""

    def __init__(self) -> None:
        self.clicks: list[float] = []
        self._loud_at = 0.0

    def hear(self, samples: np.ndarray) -> None:
        """Takes the next samples `[T]`, as they come."""
        if np.abs(samples).max(initial=0) > LOUD:
            now = time.time()
            if now - self._loud_at > APART_SECONDS:
                self.clicks.append(now)
            self._loud_at = now


def run(settings: Settings) -> None:
    """Measures both ways, and the overlay's own share of a core."""
    if lack := sound_missing() or screen_missing():
        print(f"not installed: {lack}")
        return
    with sound_server() as room, desktop() as screen:
        sound = screen.home / "clicks.wav"
        soundfile.write(sound, clicks(3), RATE)
        delays = {
            "microphone": asyncio.run(delays_of_microphone(room, sound)),
            "overlay": asyncio.run(delays_of_overlay(room, screen, sound)),
        }
        cpu = asyncio.run(cpu_of_overlay(settings, room, screen))
    results = {name: {"p50": quantile(each, 0.5), "p95": quantile(each, 0.95)} for name, each in delays.items()}
    rows = [[name, f"{each['p50']:.0f}", f"{each['p95']:.0f}"] for name, each in results.items()]
    table(f"from {CLICKS} clicks to samples and to painted captions (ms)", ("", "p50", "p95"), rows)
    table("of a core while captions run", ("", "share"), [["overlay", f"{cpu:.1%}"]])
    save("desktop", settings, {"delay_ms": results, "cpu": {"overlay": cpu}})


async def delays_of_microphone(room: Room, sound: Path) -> list[float]:
    """Milliseconds, of each click."""
    import os

    os.environ["PULSE_RUNTIME_PATH"] = room.environment["PULSE_RUNTIME_PATH"]
    near = Ear()
    async with Microphone("room.monitor", chosen("room.monitor"), print) as microphone:
        await microphone.next()
        with listening(room) as ear:
            playing = asyncio.create_task(asyncio.to_thread(room.play, sound))
            while not (playing.done() and len(near.clicks) >= CLICKS):
                near.hear(await microphone.next())
    return in_ms(ear.clicks, near.clicks)


async def delays_of_overlay(room: Room, screen: Desktop, sound: Path) -> list[float]:
    """The same to the screen, through a daemon that answers at once."""
    screen.environment["PULSE_RUNTIME_PATH"] = room.environment["PULSE_RUNTIME_PATH"]
    notes = screen.home / "painted"
    async with running(worker=Echo()) as here:
        overlay = screen.overlay(here.url, *LOOK, command=[sys.executable, "-c", PROBE, str(notes)])
        async with aside(overlay):
            await asyncio.to_thread(wait_until, room.is_heard, "it listens")
            with listening(room) as ear:
                await asyncio.to_thread(room.play, sound)
                painted = lambda: notes.read_text().split()  # noqa: E731
                await asyncio.to_thread(wait_until, lambda: len(painted()) >= CLICKS, "all captions")
    return in_ms(ear.clicks, [float(each) for each in painted()])


async def cpu_of_overlay(settings: Settings, room: Room, screen: Desktop) -> float:
    """Share of a core, of its process."""
    talk = screen.home / "talk.wav"
    soundfile.write(talk, recordings()["talk"].numpy(), SAMPLE_RATE)
    async with daemon(settings, "batched") as there, aside(screen.overlay(there.url, *LOOK)) as overlay:
        await asyncio.to_thread(wait_until, room.is_heard, "it listens")
        program = psutil.Process(overlay.pid)
        async with aside(room.playing(talk)):
            await asyncio.sleep(2)  # the first captions are there
            before = program.cpu_times()
            await asyncio.sleep(CPU_SECONDS)
            after = program.cpu_times()
    return (after.user + after.system - before.user - before.system) / CPU_SECONDS


def in_ms(heard: list[float], seen: list[float]) -> list[float]:
    """Of each click."""
    return [1000 * late for late in differences(heard, seen)]


@contextmanager
def listening(room: Room) -> Iterator[Ear]:
    """Hears what the sink plays meanwhile."""
    command = ["parec", "--device=room.monitor", "--raw", "--format=float32le", f"--rate={RATE}", "--channels=1"]
    ear, pipe = Ear(), subprocess.PIPE
    with subprocess.Popen([*command, "--latency-msec=10"], env=room.environment, stdout=pipe) as recorder:

        def hear() -> None:
            while data := recorder.stdout.read(4 * PIECE):
                ear.hear(np.frombuffer(data, "<f4"))

        listener = Thread(target=hear)
        listener.start()
        try:
            time.sleep(0.5)  # it has begun
            yield ear
        finally:
            recorder.terminate()
            listener.join()
