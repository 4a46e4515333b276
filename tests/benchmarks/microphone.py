"""An hour of `--mic` (`--minutes`): is each sample of the device in the file of `--save`, once and in its place?

PulseAudio plays into a null sink, and the command listens to its monitor while it captions. Each minute a talk, then
quiet; all of it under a noise that no two seconds have in common, so that each second played can be found in the file.
late: by how many samples (of 16 kHz, to a sixteenth) a second lies behind its place; a sample of the device that is
missing or doubled moves all later seconds by a third. likeness: 1 if a second is the same from its first to its last
sample. reported: seconds that the program itself said it had lost; player: how often it had nothing to play in time.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import soxr

from streamer.sound.incoming import SAMPLE_RATE, Samples
from tests.benchmarks.common import Settings, recordings
from tests.benchmarks.report import save, table
from tests.listeners import Listener, listening, shift
from tests.sound import Room, missing, sound_server, wait_until

DEVICE_RATE = 48_000  # of the sink: its sound is resampled once on the way to the file
NOISE = 0.03  # amplitude
LONGEST_LEAD_SECONDS = 30  # of silence in the file before the first sound
MARGIN = 8  # samples by which a second may lie elsewhere than the one before
LIKE = 0.99  # of two seconds that are the same; filters and rounding take the rest, silence of 6 ms would take more
EQUAL = 0.15  # samples by which a second may seem to lie elsewhere: half of what one missing sample makes
HEADER_BYTES = 44  # of a WAV file
LOST = re.compile(r"([\d.]+) s (?:of sound were lost|are not written down)")


def run(settings: Settings) -> None:
    """Plays, listens, compares."""
    if lack := missing():
        print(f"not installed: {lack}")
        return
    with tempfile.TemporaryDirectory() as folder, sound_server() as room:
        results = measure(room, Path(folder) / "heard.wav", round(settings.minutes * 60))
    table(f"{settings.minutes:g} minutes of --mic", ("", "figure"), list(results.items()))
    save("microphone", settings, {"results": results})


def measure(room: Room, saved: Path, seconds: int) -> dict[str, Any]:
    """All figures."""
    with listening(room, "--events", "--save", str(saved)) as listener:
        wait_until(lambda: saved.stat().st_size > HEADER_BYTES, "the first sound is saved")
        program = psutil.Process(listener.process.pid)
        memory, underruns = play(room, seconds, program)
        time.sleep(1)  # what was played last is still on its way
        cpu = program.cpu_times()
        code = listener.ends()
    heard = np.memmap(saved, "<i2", "r", HEADER_BYTES)
    return {
        **compare(heard, seconds),
        "reported lost, s": reported(listener),
        "other messages": [line.strip() for line in listener.err if not LOST.search(line)],
        "player too late, times": underruns,
        "exit code": code,
        "finals": len(listener.finals()),
        "CPU seconds a second": (cpu.user + cpu.system) / seconds,
        "memory after ten minutes, MB": memory[min(10, len(memory) - 1)],
        "memory at the end, MB": memory[-1],
    }


def play(room: Room, seconds: int, listener: psutil.Process) -> tuple[list[float], int]:
    """The listener's memory at each minute, in MB, and how often the player had nothing to play."""
    command = ["pacat", "--playback", "--device=room", "--format=s16le", f"--rate={DEVICE_RATE}", "--channels=1"]
    up = soxr.ResampleStream(SAMPLE_RATE, DEVICE_RATE, 1, dtype="float32")
    pipe, memory = subprocess.PIPE, []
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(
            [*command, "--latency-msec=4000", "--verbose"], env=room.environment, stdin=pipe, stderr=said
        ) as player,
    ):
        for second in range(seconds):
            if second % 60 == 0:
                memory.append(listener.memory_info().rss / 1e6)
            samples = up.resample_chunk(played(second), last=second == seconds - 1)
            player.stdin.write(np.round(samples * 32767).astype("<i2").tobytes())  # waits for its turn
        told = os.pread(said.fileno(), os.fstat(said.fileno()).st_size, 0)  # at the end it always runs dry
        player.stdin.close()
        player.wait()
        return [*memory, listener.memory_info().rss / 1e6], told.count(b"underrun")


def played(second: int) -> Samples:
    """What is played in this second, `[SAMPLE_RATE]`."""
    noise = np.random.default_rng(second).uniform(-NOISE, NOISE, SAMPLE_RATE + 1)
    noise = (noise[1:] + noise[:-1]) / 2  # little at the highest frequencies, which the filters would take away
    talk = recordings()["talk"].numpy()
    said = talk[second % 60 * SAMPLE_RATE :][:SAMPLE_RATE]
    return (noise + np.pad(said, (0, SAMPLE_RATE - len(said)))).clip(-1, 1).astype(np.float32)


def compare(heard: np.ndarray, seconds: int) -> dict[str, Any]:
    """Where each second played lies in the file, `[T]`; the first and the last are cut by filters, and left out."""
    first = found(played(1), heard, 0, LONGEST_LEAD_SECONDS * SAMPLE_RATE) - SAMPLE_RATE
    late, likeness, jumps = 0.0, [], []
    for second in range(1, seconds - 1):
        piece, due = played(second), first + second * SAMPLE_RATE
        place = due + round(late)
        by, like = nearby(piece, heard, place)
        if like < LIKE:  # it lies further away, or is not whole
            place = found(piece, heard, max(0, place - 2 * SAMPLE_RATE), 5 * SAMPLE_RATE)
            by, like = nearby(piece, heard, place)
        before, late = late, place + by - due
        if second > 1 and abs(late - before) > EQUAL:
            jumps.append({"second": second, "samples": late - before})
        likeness.append(like)
    return {
        "seconds compared": len(likeness),
        "jumps": jumps,
        "least likeness": min(likeness),
        "seconds not whole": sum(each < LIKE for each in likeness),
    }


def nearby(piece: Samples, heard: np.ndarray, place: int) -> tuple[float, float]:
    """How many samples behind this place a second lies in the file, and how alike the two are."""
    near = heard[place - MARGIN : place + SAMPLE_RATE + MARGIN] / np.float32(32768)
    by, _ = shift(np.diff(piece), np.diff(near))  # the noise shows the place better than the talk, which is all bass
    _, like = shift(piece, near)
    return float(by), float(like)


def found(piece: Samples, heard: np.ndarray, start: int, length: int) -> int:
    """Where in this stretch of the file a second lies."""
    stretch = heard[start : start + length] / np.float32(32768)
    size = 1 << (len(stretch) + len(piece)).bit_length()
    spectrum = np.fft.rfft(stretch, size) * np.conj(np.fft.rfft(piece, size))
    return start + int(np.argmax(np.fft.irfft(spectrum)[: len(stretch)]))


def reported(listener: Listener) -> float:
    """Seconds that the program said it had lost."""
    return sum(float(match[1]) for line in listener.err if (match := LOST.search(line)))
