"""What the daemon costs besides the network, and whether anything grows. Its process against clients in this one.

overhead: CPU seconds of the daemon for each session and second of audio, 100 ms a message at the speed of speech, with
    a voice detector that hears nothing and costs nothing: sockets, sessions and the streams' book-keeping are left.
idle: sessions that have sent a second of audio and then say nothing: memory and CPU for each, and whether all still
    answer at the end.
endless: one session, faster than real time, the real network, 4 x `--minutes` (four hours): memory slope of the daemon
    as in `endless`, and words a minute.
"""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

import numpy as np

from clients.connection import Captions, connect
from clients.outgoing import to_bytes
from streamer.events import Done, Final
from tests.benchmarks.common import SAMPLE_RATE, Settings
from tests.benchmarks.daemon import Daemon, daemon
from tests.benchmarks.endless import SETTLING_MINUTES, one_minute
from tests.benchmarks.report import save, table

MESSAGE = bytes(3200)  # 100 ms
SESSIONS, OVERHEAD_SECONDS = 50, 20
IDLE_SESSIONS, IDLE_SECONDS = 500, 30
STEP_MS = 600


def run(settings: Settings) -> None:
    """All three."""
    results = asyncio.run(measure(settings))
    for name, figures in results.items():
        table(f"sockets: {name}", ("", "figure"), [item for item in figures.items() if item[0] != "minutes"])
    save("sockets", settings, {"results": results})


async def measure(settings: Settings) -> dict[str, dict[str, Any]]:
    """One daemon that hears nothing, then one that does."""
    results = {}
    async with daemon(settings, "silent", "--max-sessions", str(2 * IDLE_SESSIONS)) as there:
        results["overhead"] = await overhead(there)
        results["idle"] = await idle(there)
    async with daemon(settings, "batched") as there:
        results["endless"] = await endless(there, round(4 * settings.minutes))
    return results


async def overhead(there: Daemon) -> dict[str, Any]:
    """Speaking at the speed of speech, though nobody listens."""
    before = there.cpu_seconds
    async with asyncio.TaskGroup() as group:
        for _ in range(SESSIONS):
            group.create_task(_murmur(there.url))
    cost = there.cpu_seconds - before
    return {"sessions": SESSIONS, "ms a session and second of audio": 1000 * cost / SESSIONS / OVERHEAD_SECONDS}


async def _murmur(url: str) -> None:
    clock = asyncio.get_running_loop().time
    await asyncio.sleep(random.random())  # not all at the same moment of a second
    async with connect(url) as captions:
        began = clock()
        for count in range(1, 10 * OVERHEAD_SECONDS + 1):
            await asyncio.sleep(began + count / 10 - clock())
            await captions.send(MESSAGE)
        await _end(captions)


async def idle(there: Daemon) -> dict[str, Any]:
    """Many that say nothing."""
    memory = there.memory_mb
    full, hold, go = asyncio.Barrier(IDLE_SESSIONS + 1), asyncio.Event(), asyncio.Semaphore(20)

    async def sit() -> float:
        async with go:  # as many arrive at once as a daemon's queue of new connections holds
            entering = connect(there.url)
            captions = await entering.__aenter__()
        await captions.send(MESSAGE * 10)
        await full.wait()
        await hold.wait()
        done = await _end(captions)
        await entering.__aexit__(None, None, None)
        return done.audio_seconds

    sitting = [asyncio.create_task(sit()) for _ in range(IDLE_SESSIONS)]
    await full.wait()
    cpu, taken = there.cpu_seconds, there.memory_mb - memory
    await asyncio.sleep(IDLE_SECONDS)
    cpu = there.cpu_seconds - cpu
    hold.set()
    answered = await asyncio.gather(*sitting)
    return {
        "sessions": IDLE_SESSIONS,
        "that answer at the end": sum(seconds == 1.0 for seconds in answered),
        "kB a session": 1000 * taken / IDLE_SESSIONS,
        "CPU ms a session and second": 1000 * cpu / IDLE_SESSIONS / IDLE_SECONDS,
    }


async def endless(there: Daemon, minutes: int) -> dict[str, Any]:
    """As fast as the daemon takes it."""
    words, memory, chance, began = 0, [], random.Random(0), time.perf_counter()
    async with connect(there.url, step_ms=STEP_MS) as captions:

        async def speak() -> None:
            for index in range(minutes):
                samples = one_minute(chance, pauses=index % 2 == 0).numpy()
                for start in range(0, len(samples), SAMPLE_RATE):
                    await captions.send(to_bytes(samples[start : start + SAMPLE_RATE], "pcm_s16le", 1))
            await captions.stop()

        speaking = asyncio.create_task(speak())
        async for event in captions:
            if isinstance(event, Final):
                words += len(event.text.split())
                memory.append((event.end / 60, there.memory_mb))
        await speaking
    settled = [each for each in memory if each[0] >= min(SETTLING_MINUTES, minutes / 3)]
    slope = np.polyfit([minute for minute, _ in settled], [size for _, size in settled], 1)[0]
    return {
        "minutes of audio": minutes,
        "times real time": 60 * minutes / (time.perf_counter() - began),
        "memory slope, MB/h": 60 * float(slope),
        "memory at the end, MB": memory[-1][1],
        "words a minute": words / minutes,
        "minutes": memory[:: max(1, len(memory) // 200)],
    }


async def _end(captions: Captions) -> Done:
    await captions.stop()
    async for event in captions:
        if isinstance(event, Done):
            return event
    raise AssertionError("a stream ends with Done")
