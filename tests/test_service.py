"""The life of the service. Some tests run the real command as a process of its own, with the embedded model."""

import asyncio
import json
import os
import re
import signal
import socket
import sys
from contextlib import asynccontextmanager

import pytest
from wyoming.client import AsyncTcpClient
from wyoming.info import Describe, Info

from model import CheckpointError, Wish
from streamer import Options, calibration
from streamer.commands import service
from streamer.commands.serving import parse
from streamer.engine import Engine
from streamer.logs import LineFormatter
from streamer.server import Server
from tests import servers
from tests.conftest import NAMES, pcm, read
from tests.servers import dialing, get, hear, hear_all, say, send_audio

TOKEN = "a-token-of-many-letters"
START_SECONDS = 120  # to import torch and load the model, on a busy machine


class Process:
    """A running `granite-stream serve`, and the lines of its log so far."""

    def __init__(self, process):
        self.process, self.lines = process, []

    async def line(self, part):
        async with asyncio.timeout(START_SECONDS):
            while not any(part in line for line in self.lines):
                line = await self.process.stderr.readline()
                assert line, f"the service ended without saying {part!r}: {self.lines}"
                self.lines.append(line.decode())
        return next(line for line in self.lines if part in line)

    async def port(self):
        return int(re.search(r'port"?[=:] ?(\d+)', await self.line("listening"))[1])

    async def end(self):
        async with asyncio.timeout(START_SECONDS):
            rest = await self.process.stderr.read()
            self.lines += rest.decode().splitlines()
            return await self.process.wait()


@asynccontextmanager
async def serving(*arguments, **environment):
    command = [sys.executable, "-c", "from streamer.command import main; raise SystemExit(main())", "serve"]
    given = ["--port", "0", "--threads", "1", *arguments]
    process = await asyncio.create_subprocess_exec(
        *command, *given, stderr=asyncio.subprocess.PIPE, env={**os.environ, **environment}
    )
    try:
        yield Process(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_it_can_be_stopped_while_it_loads():
    for line in ("listening", "stopping"):  # the second one while torch is being loaded, or as early
        async with serving() as running:
            await running.line("listening")
            await asyncio.sleep(2 if line == "stopping" else 0)
            running.process.send_signal(signal.SIGTERM)
            assert await running.end() == 0


async def test_from_start_to_drain(tmp_path):
    (tmp_path / "tokens").write_text(TOKEN)
    told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    told.bind(str(tmp_path / "notify"))
    header = {"Authorization": f"Bearer {TOKEN}"}
    guard = ["--token-file", str(tmp_path / "tokens"), "--log-json", "--wyoming-port", "0", "--insecure"]
    async with serving(*guard, NOTIFY_SOCKET=str(tmp_path / "notify")) as running:
        port = await running.port()
        assert (await get(port, "/health"))[0] == 200
        assert await get(port, "/ready") == (503, "loading\n")
        await running.line('"ready"')
        assert told.recv(100) == b"READY=1"
        assert (await get(port, "/ready"))[0] == 200
        async with AsyncTcpClient("127.0.0.1", json.loads(await running.line("wyoming"))["port"]) as house:
            await house.write_event(Describe().event())
            assert Info.from_event(await house.read_event()).asr[0].models[0].languages == ["en"]
        async with dialing(f"ws://127.0.0.1:{port}/v1/stream", additional_headers=header) as client:
            await say(client, "start", partials=False)
            assert (await hear(client))["model"] == "nano"
            audio = pcm(read(NAMES[0]))
            await send_audio(client, audio)
            while (await hear(client)).get("audio_seconds", 0) < len(audio) / 32_000 - 0.5:
                pass
            running.process.send_signal(signal.SIGTERM)
            talk = await hear_all(client)
            assert talk.texts != []
            assert (talk.messages[-1]["type"], talk.code) == ("done", 1012)
        assert await running.end() == 0
        assert told.recv(100) == b"STOPPING=1"
        lines = [json.loads(line) for line in running.lines]
    told.close()
    assert [line["message"] for line in lines if "session" in line["message"]] == ["session started", "session ended"]
    ended = next(line for line in lines if line["message"] == "session ended")
    assert (ended["outcome"], ended["finals"]) == ("restart", len(talk.texts))
    logged = "".join(running.lines)
    assert TOKEN not in logged
    assert not any(word in logged for text in talk.texts for word in text.split() if len(word) > 6)


async def test_asked_to_stop_while_it_loads_it_stops():
    async with serving() as running:
        await running.port()
        running.process.send_signal(signal.SIGTERM)
        assert await running.end() == 0


@pytest.mark.parametrize("name", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
async def test_each_way_to_end_it_lets_it_end_well(name):
    before = signal.signal(name, signal.SIG_DFL)  # the tests may run under nohup
    try:
        stop = service._stop_signal()
        for _ in range(2):  # as `timeout` does it, which tells the process and then its group
            os.kill(os.getpid(), name)
        async with asyncio.timeout(START_SECONDS):
            await stop
    finally:
        for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            asyncio.get_running_loop().remove_signal_handler(each)
        signal.signal(name, before)


async def test_who_is_stopped_just_as_the_model_is_loaded_is_never_ready(nano, monkeypatch):
    stop = asyncio.get_running_loop().create_future()
    monkeypatch.setattr(calibration, "share_of_a_speaker", lambda _: loop.call_soon_threadsafe(stop.set_result, None))
    loop, server = asyncio.get_running_loop(), Server()
    assert await service._serve(server, Engine(nano), stop, 0.0) == 0
    assert server.sessions.worker is None
    assert server.health.loading


async def test_a_second_signal_ends_it_at_once():
    async with serving("--drain-seconds", "1000") as running:
        port = await running.port()
        await running.line("ready")
        async with dialing(f"ws://127.0.0.1:{port}/v1/stream") as client:
            await say(client, "start")
            await hear(client)
            client.transport.pause_reading()  # it will not answer the close frame
            running.process.send_signal(signal.SIGINT)
            await running.line("stopping")
            assert await get(port, "/ready") == (503, "draining\n")
            await asyncio.sleep(service.ONE_WISH_SECONDS)
            running.process.send_signal(signal.SIGTERM)
            assert await running.end() == 1
            client.transport.resume_reading()


async def test_it_waits_for_running_sessions_no_longer_than_asked(monkeypatch, caplog):
    caplog.set_level("INFO", "granite_stream")
    monkeypatch.setattr("tests.servers.FakeFeed.end", lambda feed: None)  # one that never comes to an end
    async with servers.running() as here, dialing(here.url) as client:
        await say(client, "start")
        await hear(client)
        async with asyncio.timeout(START_SECONDS):
            await service._drain(here.server, 0.05)
    assert [record.fields for record in caplog.records if record.message == "drained"] == [{"cut_off": 1}]


@pytest.mark.parametrize("arguments", [["--host", "0.0.0.0"], ["--port", "x"], ["--token-file", "/nowhere"]])
def test_wrong_usage_is_one_line_and_exit_code_2(arguments):
    said = []
    with pytest.raises(SystemExit) as leaving:
        service.main(arguments, said.append)
    assert leaving.value.code == 2
    (line,) = said
    assert line.endswith("(see granite-stream serve --help)")
    assert "\n" not in line


async def run(load, *arguments):
    said = []
    code = await service.run(parse(["--port", "0", *arguments], pytest.fail), load, said.append)
    return code, said


@pytest.mark.parametrize("option", ["--port", "--wyoming-port"])
async def test_a_port_that_is_taken_is_one_line_and_exit_code_1(option):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        code, (line,) = await run(lambda: None, option, str(port))
    assert code == 1
    assert line.startswith(f"127.0.0.1:{port}: ")
    assert line.endswith(f"choose another --host or {option}")


async def test_a_model_that_cannot_be_loaded_is_one_line_and_exit_code_1():
    def load():
        raise CheckpointError("no such model; name another one")

    assert await run(load) == (1, ["no such model; name another one"])


async def test_a_prompt_that_no_model_takes_is_one_line_and_exit_code_2(nano):
    def load():
        Engine(nano).prompt(Options(wish=Wish(prompt="<|audio|>")))

    assert await run(load) == (2, ["the prompt holds 2 <|audio|> placeholders, it needs exactly 1"])


@asynccontextmanager
async def running(engine, monkeypatch):
    """Gives the service's URL once it is ready, and the task that it runs in."""
    ports = []
    monkeypatch.setattr(
        service, "_log_addresses", lambda listener, *_: ports.append(listener.sockets[0].getsockname()[1])
    )
    ready = asyncio.Event()
    monkeypatch.setattr(service, "notify", lambda state: ready.set())
    task = asyncio.create_task(run(lambda: engine))
    async with asyncio.timeout(START_SECONDS):
        await ready.wait()
        yield f"ws://127.0.0.1:{ports[0]}/v1/stream", task


async def test_what_a_speaker_costs_is_guessed_before_anybody_speaks(nano, monkeypatch):
    monkeypatch.setattr(calibration, "share_of_a_speaker", lambda _: 0.9)
    async with running(Engine(nano), monkeypatch) as (url, task):
        async with dialing(url) as client, dialing(url) as second:
            await say(client, "start")
            await hear(client)
            await say(second, "start")
            refused = await hear_all(second)
        os.kill(os.getpid(), signal.SIGTERM)
        assert await task == (0, [])
    assert refused.code == 1013
    assert "carries about 1 such streams" in refused.reason


async def test_a_network_that_dies_tells_its_speakers_and_ends_the_process(nano, monkeypatch, caplog):
    caplog.set_level("INFO", "granite_stream")
    engine = Engine(nano)
    async with running(engine, monkeypatch) as (url, task):
        async with dialing(url) as client:
            await say(client, "start")
            await hear(client)
            monkeypatch.setattr(engine, "step", lambda *_: 1 / 0)
            await client.send(pcm(read(NAMES[0])))
            talk = await hear_all(client)
        assert (talk.messages[-1]["code"], talk.code) == ("internal", 1011)
        assert await task == (1, [])
    died = next(record for record in caplog.records if record.message == "the network has died")
    assert "ZeroDivisionError" in LineFormatter(as_json=False).format(died)


def test_systemd_is_told_in_its_abstract_namespace_too(monkeypatch):
    name = f"granite-stream-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind(f"\0{name}")
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
        service.notify("READY=1")
        assert told.recv(100) == b"READY=1"


def test_without_systemd_nobody_is_told_and_one_that_cannot_be_told_is_no_reason_to_end(monkeypatch, caplog):
    monkeypatch.setenv("NOTIFY_SOCKET", "/nowhere/notify")
    service.notify("READY=1")
    assert [record.message for record in caplog.records] == ["systemd was not told"]
    monkeypatch.delenv("NOTIFY_SOCKET")
    monkeypatch.setattr(socket, "socket", lambda *_: pytest.fail("a socket was made"))
    service.notify("READY=1")
