"""Processes that are killed: the client's, the daemon's, and a daemon that is asked to go while people speak."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from clients.connection import connect
from clients.errors import CaptionsError, ExpiredError, RefusedError
from model import GraniteSpeech
from streamer.events import Done, Final, SpeechStarted
from streamer.health import Health
from streamer.server import Server
from streamer.sessions import Limits
from tests.servers import get, until
from tests.speaking import FINALS_ONLY, PIECE, captions_of, local, recording, service

SERVE = """
import sys
from streamer.command import main
from streamer.worker import Worker

Worker.refusal = lambda self: None  # the machine may be busy with other tests
sys.exit(main(["serve", *sys.argv[1:]]))
"""
CHATTER = """
import asyncio, sys
from clients.connection import connect

async def main():
    async with connect(sys.argv[1]) as captions:
        print("speaking", flush=True)
        while True:
            await captions.send(bytes(3200))

asyncio.run(main())
"""
HERE = Path(__file__).parent.parent


async def run(program: str, *arguments: str) -> Process:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, *arguments, stdin=DEVNULL, stdout=PIPE, stderr=PIPE, env=environment, cwd=HERE
    )


@asynccontextmanager
async def daemon() -> AsyncIterator[tuple[Process, int]]:
    """A daemon in a process of its own, which is ready."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = await run(SERVE, "--port", str(port), "--threads", "1")
    try:
        async with asyncio.timeout(120):
            while await _status(port) != 200:
                assert process.returncode is None, (await process.stderr.read()).decode()
                await asyncio.sleep(0.05)
        yield process, port
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def _status(port: int) -> int:
    try:
        return (await get(port, "/ready"))[0]
    except OSError:  # it does not listen yet
        return 0


async def test_a_client_that_is_killed_leaves_nothing_behind(nano: GraniteSpeech) -> None:
    async with service(nano, Limits(resume_seconds=0.5)) as there:
        chatter = await run(CHATTER, there.url)
        async with asyncio.timeout(30):
            assert await chatter.stdout.readline() == b"speaking\n"
        chatter.kill()
        await chatter.communicate()
        assert await captions_of(there.url, 0) == local(nano, 0, FINALS_ONLY)
        await there.all_gone()


async def test_a_daemon_that_is_killed_is_noticed_and_one_that_comes_back_knows_nobody() -> None:
    async with daemon() as (process, port):
        url = f"127.0.0.1:{port}"
        async with connect(url, patience_seconds=2) as hasty, connect(url, patience_seconds=60) as patient:
            for each in (hasty, patient):
                await each.send(bytes(32_000))
            await until(lambda: not hasty.waiting_seconds)  # whoever was heard is patient from the loss on, not before
            process.kill()
            with pytest.raises(ExpiredError, match=r"nobody listens .*given up after 2 s, connect again"):
                await anext(hasty)
            after = Server(health=Health(loading=False))
            async with after.listening("127.0.0.1", port):
                with pytest.raises(ExpiredError, match="start another one"):
                    await anext(patient)


async def test_a_daemon_that_is_asked_to_go_gives_everyone_their_finals() -> None:
    async def listen(url: str, index: int, speaking: asyncio.Semaphore) -> list[object]:
        events: list[object] = []
        async with connect(url, encoding="pcm_f32le") as captions:
            samples = recording(index)
            for start in range(0, 2 * len(samples) // 3, PIECE):
                await captions.send(samples[start : start + PIECE])
            try:
                async for event in captions:
                    events.append(event)
                    if isinstance(event, SpeechStarted):
                        speaking.release()
            except CaptionsError as error:
                events.append(error)
        return events

    async with daemon() as (process, port):
        speaking, url = asyncio.Semaphore(0), f"127.0.0.1:{port}"
        async with asyncio.timeout(120), asyncio.TaskGroup() as group:
            listening = [group.create_task(listen(url, index, speaking)) for index in range(6)]
            for _ in listening:
                await speaking.acquire()
            process.send_signal(signal.SIGTERM)
            _, log = await process.communicate()
    assert process.returncode == 0
    for task in listening:
        *_, final, done, error = task.result()
        assert isinstance(final, Final)
        assert isinstance(done, Done)
        assert isinstance(error, RefusedError), error
        assert "is being restarted" in str(error)
    assert b"Traceback" not in log
