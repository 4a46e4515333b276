"""The command listening to a room, and how what it kept compares with what was played there."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from tests.sound import Room, wait_until

ROOT = Path(__file__).parent.parent
COMMAND = [sys.executable, "-c", "import sys; from streamer.command import main; sys.exit(main())"]


class Listener:
    """The command, listening; its lines are kept as they come."""

    def __init__(self, room: Room, *arguments: str) -> None:
        self.room, pipe = room, subprocess.PIPE
        command = [*COMMAND, "--mic", "--device", "room.monitor", *arguments]
        self.process = subprocess.Popen(
            command, env=room.environment, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True
        )
        self.out: list[str] = []
        self.err: list[str] = []
        self._readers = [
            threading.Thread(target=lines.extend, args=(stream,), daemon=True)
            for lines, stream in ((self.out, self.process.stdout), (self.err, self.process.stderr))
        ]
        for reader in self._readers:
            reader.start()
        wait_until(lambda: room.is_heard() or self.process.poll() is not None, "the command listens")
        assert self.process.poll() is None, self.err

    def ends(self, request: int = signal.SIGINT) -> int:
        """Ends it; gives the exit code."""
        self.process.send_signal(request)
        code = self.process.wait(60)
        for reader in self._readers:
            reader.join()
        return code

    def close(self) -> None:
        for reader, stream in zip(self._readers, (self.process.stdout, self.process.stderr), strict=True):
            reader.join()
            stream.close()

    @property
    def events(self) -> list[dict]:
        return [json.loads(line) for line in self.out]

    def finals(self) -> list[dict]:
        return [event for event in self.events if event["type"] == "final"]


@contextmanager
def listening(room: Room, *arguments: str) -> Iterator[Listener]:
    listener = Listener(room, *arguments)
    try:
        yield listener
    finally:
        listener.process.kill()
        listener.process.wait()
        listener.close()


def shift(played: np.ndarray, recorded: np.ndarray) -> tuple[float, float]:
    """By how many samples, to a sixteenth, the recording lies behind its middle place, and how alike the two are."""
    likeness = np.correlate(recorded, played, "valid")[:-1]
    spectrum = np.fft.rfft(likeness, norm="forward")
    fine = np.fft.irfft(spectrum, 16 * len(likeness), norm="forward")
    norms = np.linalg.norm(played) * np.linalg.norm(recorded)
    return np.argmax(fine) / 16 - len(likeness) / 2, fine.max() / norms
