"""A sound server of its own for each test module: what is played into its room can be heard there."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ctypes.util import find_library
from pathlib import Path

import pytest

PLUGIN = "/usr/lib/*-linux-gnu/alsa-lib/libasound_module_pcm_pulse.so"
PATIENCE_SECONDS = 120.0  # a model is loaded in it, on a machine that does other things too


def missing() -> str:
    """What the tests with real sound lack on this machine, or nothing."""
    tools = [tool for tool in ("pulseaudio", "pactl", "paplay") if shutil.which(tool) is None]
    if importlib.util.find_spec("sounddevice") is None:
        tools.append("sounddevice")
    if find_library("portaudio") is None:
        tools.append("libportaudio2")
    if not list(Path("/").glob(PLUGIN.lstrip("/"))):
        tools.append("libasound2-plugins")
    return ", ".join(tools)


needs_sound = pytest.mark.skipif(bool(missing()), reason=f"not installed: {missing()}")


def wait_until(condition: Callable[[], bool], what: str, seconds: float = PATIENCE_SECONDS) -> None:
    """Looks again and again, less and less often: each look may start a program, and the rest needs the time too."""
    deadline, pause = time.monotonic() + seconds, 0.02
    while not _holds(condition):
        assert time.monotonic() < deadline, f"in vain: {what}"
        time.sleep(pause)
        pause = min(1.3 * pause, 0.5)


def _holds(condition: Callable[[], bool]) -> bool:
    try:
        return condition()
    except subprocess.SubprocessError:  # what a program was asked about went away just then: the next look tells
        return False


class Room:
    """A null sink named `room`; its monitor is the microphone. A second one keeps the server from being empty."""

    def __init__(self, home: Path) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PULSE_", "DBUS_"))}
        self.environment = {
            **kept,
            "HOME": str(home),
            "LC_ALL": "C.UTF-8",
            "XDG_RUNTIME_DIR": str(home),
            "PULSE_RUNTIME_PATH": str(home / "pulse"),
            "OMP_NUM_THREADS": "1",
        }

    def pactl(self, *command: str) -> str:
        line = ["pactl", *command]
        return subprocess.run(line, env=self.environment, check=True, capture_output=True, text=True, timeout=20).stdout

    def plug(self, name: str = "room", rate: int = 48_000) -> None:
        self.pactl("load-module", "module-null-sink", f"sink_name={name}", f"rate={rate}", "channels=2")

    def unplug(self, name: str = "room") -> None:
        modules = self.pactl("list", "short", "modules").splitlines()
        (module,) = [line.split("\t")[0] for line in modules if f"sink_name={name} " in f"{line} "]
        self.pactl("unload-module", module)

    def is_heard(self) -> bool:
        """Whether somebody listens here. (The first sound of a room where nothing plays takes up to two seconds.)"""
        sources = [line.split("\t") for line in self.pactl("list", "short", "sources").splitlines()]
        here = [f"Source: {number}\n" for number, name, *_ in sources if name == "room.monitor"]
        # all of them, since a server moves those of a lost source to another one
        listeners = self.pactl("list", "source-outputs").split("Source Output #")
        return any("Corked: no" in each and place in each for each in listeners for place in here)

    def play(self, path: Path) -> None:
        """Plays a recording to its end."""
        with self.playing(path) as player:
            assert player.wait(120) == 0

    @contextmanager
    def playing(self, path: Path) -> Iterator[subprocess.Popen[bytes]]:
        """Plays a recording meanwhile."""
        with subprocess.Popen(["paplay", "--device=room", str(path)], env=self.environment) as player:
            try:
                yield player
            finally:
                player.terminate()


@contextmanager
def sound_server() -> Iterator[Room]:
    """Starts a private PulseAudio; its sockets need a short path."""
    with tempfile.TemporaryDirectory(prefix="room") as home:
        room = Room(Path(home))
        command = ["pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", "--disable-shm=yes"]
        command += ["-L", "module-native-protocol-unix", "-L", "module-null-sink sink_name=elsewhere rate=48000"]
        with (
            open(Path(home) / "log", "w") as log,
            subprocess.Popen(command, env=room.environment, stdout=log, stderr=log) as server,
        ):
            try:
                wait_until(lambda: _answers(room) or server.poll() is not None, "pulseaudio starts")
                assert server.poll() is None, (Path(home) / "log").read_text()
                room.plug()
                yield room
            finally:
                server.terminate()


def _answers(room: Room) -> bool:
    try:
        return bool(room.pactl("info"))
    except subprocess.CalledProcessError:
        return False
