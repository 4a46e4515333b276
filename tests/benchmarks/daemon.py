"""A daemon as a process of its own, for benchmarks: the real one, or with a part of it changed.

python -m tests.benchmarks.daemon KIND [serve options]
batched: as it is. single: the network works on one stream at a time. silent: the voice detector hears nothing and does
nothing, so the network is never asked; sockets, sessions, the thread and the streams' book-keeping remain.
None of them refuses anybody for lack of time: what happens then is what is to be measured.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.request import urlopen

import psutil
import torch
from torch import Tensor

from model.speech import GraniteSpeech
from streamer.command import main
from streamer.voice import CHUNK, VoiceDetector
from streamer.worker import Worker
from tests.benchmarks.common import Settings

KINDS = ("batched", "single", "silent")
START_SECONDS = 120  # loading included, on a busy machine


@dataclass(frozen=True)
class Daemon:
    """Where it listens, and what it costs."""

    url: str
    process: psutil.Process

    @property
    def cpu_seconds(self) -> float:
        """Of all its threads."""
        times = self.process.cpu_times()
        return times.user + times.system

    @property
    def memory_mb(self) -> float:
        """Resident."""
        return self.process.memory_info().rss / 1e6


@asynccontextmanager
async def daemon(settings: Settings, kind: str, *options: str) -> AsyncIterator[Daemon]:
    """Runs one until the context is left."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = _start(kind, settings, "--port", str(port), *options)
    try:
        await _ready(f"http://127.0.0.1:{port}/ready", process)
        yield Daemon(f"ws://127.0.0.1:{port}", psutil.Process(process.pid))
    finally:
        process.terminate()
        try:
            await asyncio.to_thread(process.wait, 60)
        except subprocess.TimeoutExpired:
            process.kill()


def _start(kind: str, settings: Settings, *options: str) -> subprocess.Popen[bytes]:
    given = ["--model", settings.model, "--threads", str(settings.threads), *options]
    environment = {**os.environ, "OMP_NUM_THREADS": str(settings.threads)}
    return subprocess.Popen([sys.executable, "-m", "tests.benchmarks.daemon", kind, *given], env=environment)


async def _ready(url: str, process: subprocess.Popen[bytes]) -> None:
    async with asyncio.timeout(START_SECONDS):
        while True:
            assert process.poll() is None, "the daemon has ended; its last words stand above"
            try:
                with await asyncio.to_thread(urlopen, url):
                    return
            except OSError:  # not yet listening, or listening and still loading
                await asyncio.sleep(0.2)


def one_at_a_time(call: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
    """A call for many, made for each of them: the same results, without what batching saves."""

    def each(self: object, many: Sequence[Any], *others: Any) -> list[Any]:
        return [result for one in many for result in call(self, [one], *others)]

    return each


def deaf(_: VoiceDetector, audio: Sequence[Tensor], states: Sequence[object]) -> list[Tensor]:
    """No speech anywhere."""
    return [torch.zeros(len(samples) // CHUNK) for samples in audio]


def change(kind: str) -> None:
    """Changes this process's network."""
    Worker.refusal = lambda _: None  # type: ignore[method-assign]
    if kind == "single":
        listen = VoiceDetector.listen
        GraniteSpeech.encode = one_at_a_time(GraniteSpeech.encode)  # type: ignore[method-assign]
        GraniteSpeech.extend = one_at_a_time(GraniteSpeech.extend)  # type: ignore[method-assign]
        VoiceDetector.listen = lambda self, audio, states: [  # type: ignore[method-assign]
            listen(self, [samples], [state])[0] for samples, state in zip(audio, states, strict=True)
        ]
    elif kind == "silent":
        VoiceDetector.listen = deaf  # type: ignore[method-assign]


if __name__ == "__main__":
    change(sys.argv[1])
    sys.exit(main(["serve", *sys.argv[2:]]))
