"""`granite-stream connect` against a daemon with the real network."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import jiwer
import pytest
import srt

from clients import succession
from clients.arguments import exit_code
from clients.connecting import main
from clients.errors import of_close
from model import GraniteSpeech, Wish
from model.errors import GraniteStreamError
from streamer.access import Access, digest
from streamer.options import Options
from streamer.sessions import Limits
from tests.servers import until
from tests.speaking import FINALS_ONLY, Service, finals, local, service

AUDIO = Path(__file__).parent / "audio"
CLOCKS, HOTEL, TALK = (str(AUDIO / name) for name in ("af_heart_36.flac", "am_michael_37.flac", "talk.flac"))
COMMAND = "import sys; from streamer.command import main; sys.exit(main())"
TOKEN = "correct-horse-battery"


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str


Connect = Callable[..., Awaitable[Result]]


@pytest.fixture
async def there(nano: GraniteSpeech) -> AsyncIterator[Service]:
    async with service(nano) as running:
        yield running


@pytest.fixture
def connect(capsys: pytest.CaptureFixture[str]) -> Connect:
    """Runs the command with these arguments on a thread of this process."""

    async def connect(*arguments: object) -> Result:
        complaints: list[str] = []

        def run() -> int:
            try:
                return main([str(argument) for argument in arguments], complaints.append)
            except SystemExit as leaving:
                return int(leaving.code or 0)
            except GraniteStreamError as error:  # as the command does it, on the main thread
                complaints.append(str(error))
                return exit_code(error)

        code = await asyncio.to_thread(run)
        return Result(code, capsys.readouterr().out, "\n".join(complaints))

    return connect


async def start(
    *arguments: object, stdin: int = asyncio.subprocess.DEVNULL, stdout: int = asyncio.subprocess.PIPE
) -> asyncio.subprocess.Process:
    """Starts the command as a process of its own."""
    pipe = asyncio.subprocess.PIPE
    given = [sys.executable, "-c", COMMAND, "connect", *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    root = AUDIO.parent.parent
    return await asyncio.create_subprocess_exec(
        *given, stdin=stdin, stdout=stdout, stderr=pipe, env=environment, cwd=root
    )


@pytest.mark.usefixtures("nothing_promised")
async def test_the_finals_of_a_recording_are_printed_as_they_would_be_without_a_daemon(
    there: Service, connect: Connect, nano: GraniteSpeech
) -> None:
    result = await connect(there.url, CLOCKS, HOTEL, "--speed", 0)
    expected = [final.text for index in range(2) for final in finals(local(nano, index, FINALS_ONLY))]
    assert (result.code, result.err) == (0, "")
    assert result.out.splitlines() == expected


async def test_events_are_those_of_the_stream(there: Service, connect: Connect) -> None:
    result = await connect(there.url.removeprefix("ws://"), CLOCKS, "--events", "--speed", 0)
    events = [json.loads(line) for line in result.out.splitlines()]
    assert (events[0]["type"], events[-2]["type"]) == ("speech_started", "final")
    assert events[-1] == {"type": "done", "audio_seconds": 3.328}


async def test_a_recording_is_sent_at_the_speed_of_speech(there: Service, connect: Connect) -> None:
    began = asyncio.get_running_loop().time()
    assert (await connect(there.url, CLOCKS)).code == 0
    assert asyncio.get_running_loop().time() - began > 3.3


@pytest.mark.parametrize(("form", "suffix"), [("srt", "srt"), ("json", "json"), ("text", "txt")])
async def test_output_writes_a_file_and_shows_the_captions(
    there: Service, connect: Connect, tmp_path: Path, form: str, suffix: str
) -> None:
    result = await connect(there.url, CLOCKS, "--speed", 0, "--format", form, "--output", tmp_path / "new")
    assert (result.code, result.err) == (0, "")
    written = (tmp_path / "new" / f"af_heart_36.{suffix}").read_text()
    if form == "srt":
        assert [word for cue in srt.parse(written) for word in cue.content.split()] == result.out.split()
    elif form == "json":
        assert json.loads(written)["model"] == "nano"
        assert json.loads(written)["text"].split() == result.out.split()
    else:
        assert written == result.out


async def test_what_the_user_wants_reaches_the_stream(there: Service, connect: Connect) -> None:
    seen: list[Options] = []
    opened = there.worker.open
    there.worker.open = lambda options, take: (seen.append(options), opened(options, take))[1]
    wanted = [
        "--latency",
        "low",
        "--step",
        900,
        "--endpoint",
        800,
        "--max-segment",
        20,
        "--prompt",
        "Write.",
        "--keywords",
        "Ada, Granite",
    ]
    assert (await connect(there.url, CLOCKS, "--speed", 0, *wanted)).code == 0
    assert seen == [Options(900, 800, 20.0, Wish(prompt="Write.", keywords=("Ada", "Granite")), latency="low")]


async def test_what_is_to_be_written_reaches_the_stream(there: Service, connect: Connect) -> None:
    seen: list[Options] = []
    check = there.worker.check
    there.worker.check = lambda options: (seen.append(options), check(options))[1]
    wanted = ["--task", "translate", "--language", "de", "--target-language", "Italian", "--no-punctuate"]
    assert (await connect(there.url, CLOCKS, "--speed", 0, *wanted)).code == 2, "nano cannot"
    assert (await connect(there.url, CLOCKS, "--speed", 0, "--task", "transcribe", "--language", "en")).code == 0
    asked = [Wish("translate", "de", "Italian", punctuate=False), Wish("transcribe", "en")]
    assert list(dict.fromkeys(options.wish for options in seen)) == asked


async def test_one_bad_file_does_not_stop_the_others(there: Service, connect: Connect, tmp_path: Path) -> None:
    result = await connect(there.url, tmp_path / "missing.wav", CLOCKS, "--speed", 0)
    assert result.code == 1
    assert result.err == f"{tmp_path}/missing.wav: no such file; check the path"
    assert result.out.count("\n") == 1
    await there.all_gone()


async def test_what_is_no_recording_never_reaches_the_daemon(connect: Connect, tmp_path: Path) -> None:
    result = await connect("127.0.0.1:9", tmp_path / "missing.wav", "--format", "json")
    assert (result.code, result.out) == (1, "")
    assert result.err == f"{tmp_path}/missing.wav: no such file; check the path"


async def test_a_reader_that_leaves_ends_it_quietly(there: Service) -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    with os.fdopen(theirs, "w") as nobody:
        process = await start(there.url, CLOCKS, "--speed", 0, stdout=nobody.fileno())
        async with asyncio.timeout(60):
            _, err = await process.communicate()
    assert (process.returncode, err) == (0, b"")
    await there.all_gone()


async def test_a_full_disk_is_one_line(there: Service) -> None:
    with os.fdopen(os.open("/dev/full", os.O_WRONLY), "w") as full:
        process = await start(there.url, CLOCKS, "--speed", 0, stdout=full.fileno())
        async with asyncio.timeout(60):
            _, err = await process.communicate()
    assert (process.returncode, err) == (1, b"granite-stream: No space left on device\n")
    await there.all_gone()


async def test_who_comes_while_the_model_is_loaded_waits_for_it(there: Service, connect: Connect) -> None:
    there.server.health.loading = True
    visit = asyncio.create_task(connect(there.url, CLOCKS, "--speed", 0))
    await until(lambda: b'reason="loading"' in there.server.metrics.page())
    assert not visit.done()
    there.server.health.loading = False
    result = await visit
    assert result.code == 0
    assert result.out
    assert result.err == "the server is still loading its model; waiting for it"


async def test_recordings_wait_while_the_server_is_full(
    there: Service, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clients.connection.ROOM_SECONDS", 0.05)
    monkeypatch.setattr(there.worker, "refusal", lambda: "this machine carries one such stream")
    visit = asyncio.create_task(connect(there.url, CLOCKS, HOTEL, "--speed", 0))
    await until(lambda: b'granite_stream_refusals_total{reason="load"} 2.0' in there.server.metrics.page())
    assert not visit.done()
    monkeypatch.setattr(there.worker, "refusal", lambda: None)
    result = await visit
    assert result.code == 0
    assert len(result.out.splitlines()) >= 2
    assert result.err == "try again later: this machine carries one such stream (waiting until there is room)"


async def test_a_token_is_read_from_its_file(there: Service, connect: Connect, tmp_path: Path) -> None:
    there.server.access = Access(frozenset({digest(TOKEN)}))
    (tmp_path / "token").write_text(f"# of the kitchen\n\n{TOKEN}\n")
    assert (await connect(there.url, CLOCKS, "--speed", 0, "--token-file", tmp_path / "token")).code == 0
    refused = await connect(there.url, CLOCKS)
    assert refused.code == 1
    assert "wants a token that it knows; pass the one of its --token-file" in refused.err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["not an address", CLOCKS], 2, "write ws://HOST:PORT"),
        (["exa..mple", CLOCKS], 1, "is not a server's address; write ws://HOST:PORT"),
        (["127.0.0.1:9", CLOCKS], 1, "nobody listens (Connection refused); start it there: granite-stream serve"),
        (["{url}/elsewhere", CLOCKS], 1, "no captions at this path; try /v1/stream"),
        (["{url}", CLOCKS, "--token-file", "/nowhere"], 2, "/nowhere: No such file or directory; check the path"),
        (["{url}", CLOCKS, "--token-file", "/dev/null"], 2, "/dev/null: holds no token; copy the one"),
        (["{url}"], 2, "name a recording, - for standard input, or --mic (see granite-stream connect --help)"),
        (["{url}", CLOCKS, "--mic"], 2, "--mic listens to a microphone; leave it out to transcribe recordings"),
        (["{url}", "--mic", "--speed", "1"], 2, "--speed is for recordings; a microphone has its own clock"),
        (["{url}", CLOCKS, "--device", "desk"], 2, "--device and --save go with --mic"),
        (["{url}", CLOCKS, "--step", "0"], 2, "0 is out of bounds; the least is 1"),
        (["{url}", CLOCKS, "--endpoint", "5"], 2, "--endpoint: 5 is out of bounds; the least is 64"),
        (["{url}", CLOCKS, "--task", "translate"], 2, "translating needs a target language: English, French"),
        (["{url}", CLOCKS, "--prompt", "Write.", "--punctuate"], 2, "leave out either it or punctuate (see"),
        (["{url}", CLOCKS, "--punctuate"], 2, "this model only transcribes plain English"),
        (["{url}", CLOCKS, "--speakers"], 2, "only granite-speech-4.1-2b-plus writes speakers and times"),
        (["{url}", CLOCKS, "--events", "--format", "srt"], 2, "goes with it only if --output says where"),
        (["{url}", CLOCKS, HOTEL, "--format", "srt"], 2, "several files as srt need --output DIR"),
    ],
)
async def test_what_cannot_be_done_is_one_line_that_says_what_to_do(
    there: Service, connect: Connect, arguments: list[str], code: int, message: str
) -> None:
    result = await connect(*(argument.format(url=there.url) for argument in arguments))
    assert (result.code, result.out) == (code, "")
    assert message in result.err
    assert "\n" not in result.err


async def test_an_interruption_still_brings_the_captions_of_what_was_heard(there: Service) -> None:
    process = await start(there.url, TALK, "--events")
    async with asyncio.timeout(60):
        async for line in process.stdout:
            if json.loads(line).get("committed"):
                break
        process.send_signal(signal.SIGINT)
        out, err = await process.communicate()
    *_, final, done = map(json.loads, out.splitlines())
    assert (process.returncode, err) == (130, b"")
    assert (final["type"], done["type"]) == ("final", "done")
    assert done["audio_seconds"] < 30
    await there.all_gone()


async def test_another_signal_behind_an_interruption_ends_it_without_a_word(there: Service) -> None:
    there.server.sessions.limits = Limits(resume_seconds=1)  # who is ended at once may not have said farewell
    process = await start(there.url, TALK, "--events", "--speed", "1")
    async with asyncio.timeout(60):
        await process.stdout.readline()
        process.send_signal(signal.SIGINT)
        for _ in range(2):
            process.send_signal(signal.SIGTERM)
        _, err = await process.communicate()
    assert process.returncode in (128 + signal.SIGINT, 128 + signal.SIGTERM)  # whichever it came to first
    assert err == b""
    await there.all_gone()


async def test_a_daemon_that_is_restarted_goes_on_with_the_recording(
    there: Service, connect: Connect, tmp_path: Path
) -> None:
    undisturbed = await connect(there.url, TALK, "--speed", 0, "--format", "json")
    process = await start(there.url, TALK, "--speed", 4, "--format", "json", "--output", tmp_path)
    async with asyncio.timeout(120):
        await process.stdout.readline()
        there.server.sessions.drain()
        told = await process.stderr.readline()
        there.server.health.draining = False
        _, err = await process.communicate()
    assert process.returncode == 0
    assert told == b"granite-stream: " + f"{of_close(1012, '')}. Trying again …\n".encode()
    assert err == b"granite-stream: the server is back\n"
    assert os.listdir(tmp_path) == ["talk.json"]
    written = json.loads((tmp_path / "talk.json").read_text())
    expected = json.loads(undisturbed.out)
    assert written["audio_seconds"] == pytest.approx(expected["audio_seconds"], abs=0.01)
    # the segment that was cut is heard in two parts
    assert written["segments"][-1]["end"] == pytest.approx(expected["segments"][-1]["end"], abs=1.0)
    assert jiwer.wer(expected["text"], written["text"]) < 0.2


async def test_an_end_before_the_last_word_leaves_a_file_that_says_it_is_not_whole(
    there: Service, connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(succession, "OUTAGE_SECONDS", 0.0)
    visit = asyncio.create_task(connect(there.url, TALK, "--format", "json", "--output", tmp_path))
    part = tmp_path / "talk.json.part"
    await until(part.exists)  # the first final
    there.server.sessions.drain()
    result = await visit
    assert result.code == 1
    assert result.err.splitlines() == [f"{part} is as far as it was heard", str(of_close(1012, ""))]
    assert json.loads(part.read_text())["text"].split() == result.out.split()
    assert os.listdir(tmp_path) == [part.name]


@pytest.mark.parametrize("name", [signal.SIGTERM, signal.SIGHUP])
async def test_who_is_told_to_leave_does_and_keeps_what_was_said(
    there: Service, tmp_path: Path, name: signal.Signals
) -> None:
    process = await start(there.url, TALK, "--speed", 4, "--output", tmp_path)
    part = tmp_path / "talk.txt.part"
    async with asyncio.timeout(60):
        await until(part.exists)
        process.send_signal(name)
        _, err = await process.communicate()
    assert process.returncode == 128 + name
    assert err == f"granite-stream: {part} is as far as it was heard\n".encode()


async def test_standard_input_is_streamed_and_its_silence_can_be_interrupted(there: Service) -> None:
    recorded = await asyncio.to_thread(Path(CLOCKS).read_bytes)
    process = await start(there.url, "-", "--events", stdin=asyncio.subprocess.PIPE)
    async with asyncio.timeout(60):
        process.stdin.write(recorded)
        await process.stdin.drain()
        assert json.loads(await process.stdout.readline())["type"] == "speech_started"
        process.send_signal(signal.SIGINT)
        out, err = await process.communicate()
    assert (process.returncode, err) == (130, b"")
    assert json.loads(out.splitlines()[-1])["type"] == "done"
