from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
import time
import wave
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import srt
import webvtt

from streamer.command import main, parse
from streamer.options import Options
from streamer.sound.recordings import open_recording
from tests.media import tone, write

AUDIO = Path(__file__).parent / "audio"
CLOCKS, HOTEL, TALK = (str(AUDIO / name) for name in ("af_heart_36.flac", "am_michael_37.flac", "talk.flac"))
COMMAND = [sys.executable, "-c", "import sys; from streamer.command import main; sys.exit(main())"]


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str


Run = Callable[..., Result]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Runs the command with these arguments, within this process."""

    def run(*arguments: object) -> Result:
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as leaving:
            code = int(leaving.code or 0)
        return Result(code, *capsys.readouterr())

    before = signal.getsignal(signal.SIGTERM)
    yield run
    signal.signal(signal.SIGTERM, before)


def start(*arguments: str, stdin: int | None = subprocess.DEVNULL) -> subprocess.Popen[str]:
    """Starts the command as a process of its own."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [*COMMAND, *arguments],
        stdin=stdin,
        stdout=pipe,
        stderr=pipe,
        text=True,
        env=environment,
        cwd=AUDIO.parent.parent,
    )


def test_a_recording_is_written_down(run: Run) -> None:
    result = run(CLOCKS)
    assert (result.code, result.err) == (0, "")
    assert len(result.out.split()) > 5
    assert result.out.count("\n") == 1


def test_standard_streams_that_are_closed_are_not_needed(tmp_path: Path) -> None:
    command = shlex.join([*COMMAND, CLOCKS, "--output", str(tmp_path)])
    code = subprocess.run(
        ["sh", "-c", f"exec {command} <&- >&- 2>&-"], env={**os.environ, "OMP_NUM_THREADS": "1"}
    ).returncode
    assert code == 0
    assert len((tmp_path / "af_heart_36.txt").read_text().split()) > 5


def test_every_format_says_the_same(run: Run) -> None:
    text = run(CLOCKS).out.split()
    values = json.loads(run(CLOCKS, "--format", "json").out)
    assert values["text"].split() == text
    assert values["model"] == "nano"
    assert values["audio_seconds"] == pytest.approx(3.328)
    assert [word["word"] for segment in values["segments"] for word in segment["words"]] == text
    assert [word for cue in srt.parse(run(CLOCKS, "--format", "srt").out) for word in cue.content.split()] == text
    captions = webvtt.from_string(run(CLOCKS, "--format", "vtt").out)
    assert [word for caption in captions for word in caption.text.split()] == text


@pytest.mark.parametrize(("name", "suffix"), [("text", "txt"), ("json", "json"), ("srt", "srt"), ("vtt", "vtt")])
def test_output_writes_a_file_for_each_recording(run: Run, tmp_path: Path, name: str, suffix: str) -> None:
    result = run(CLOCKS, HOTEL, "--format", name, "--output", tmp_path / "new" / "folder")
    assert result == Result(0, "", "")
    written = {path.name: path.read_text() for path in (tmp_path / "new" / "folder").iterdir()}
    assert set(written) == {f"af_heart_36.{suffix}", f"am_michael_37.{suffix}"}
    assert written[f"af_heart_36.{suffix}"] == run(CLOCKS, "--format", name).out


def test_one_bad_file_does_not_stop_the_others(run: Run, tmp_path: Path) -> None:
    result = run(tmp_path / "missing.wav", CLOCKS)
    assert result.code == 1
    assert result.out == run(CLOCKS).out
    assert result.err == f"granite-stream: {tmp_path}/missing.wav: no such file; check the path\n"


def test_sound_in_six_channels_at_another_rate_is_understood(run: Run, tmp_path: Path) -> None:
    with open_recording(CLOCKS) as recording:
        speech = np.concatenate(list(recording.chunks(16_000)))
    channels = np.zeros((6, 3 * len(speech)), np.float32)
    channels[2] = np.repeat(speech, 3)  # the centre
    result = run(write(tmp_path / "film.mkv", channels, rate=48_000, layout="5.1", codec="flac"))
    assert result.code == 0
    assert len(set(result.out.split()) & set(run(CLOCKS).out.split())) > 5


@pytest.mark.parametrize("length", [0, 1, 100, 256, 257])
def test_a_recording_too_short_for_words_is_an_empty_text(run: Run, tmp_path: Path, length: int) -> None:
    path = tmp_path / "short.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(bytes(2 * length))
    assert run(path) == Result(0, "", "")
    values = json.loads(run(path, "--format", "json").out)
    assert (values["text"], values["segments"]) == ("", [])
    assert values["audio_seconds"] == pytest.approx(length / 16_000, abs=0.001)


def test_of_a_truncated_mp3_what_is_there_is_written_down(run: Run, tmp_path: Path) -> None:
    path = write(tmp_path / "cut.mp3", tone(10.0), codec="libmp3lame")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    result = run(path)
    assert result.code == 0
    assert result.err.count("\n") == 1
    assert "cut.mp3: damaged or cut short" in result.err


@pytest.mark.parametrize(
    ("arguments", "cure"),
    [
        (["missing.wav"], "no such file; check the path"),
        (["notes.wav"], "not a recording"),
        (["empty.wav"], "the file is empty"),
        (["."], "is a directory"),
        (["film.mp4"], "has no audio stream"),
        ([CLOCKS, "--output", "notes.wav"], "cannot be written"),
        ([CLOCKS, "--output", "/proc/transcripts"], "cannot be written"),
        ([CLOCKS, "--model", "nowhere"], "no model nowhere"),
        ([CLOCKS, "--device", "mps"], "leave --device out"),
    ],
)
def test_what_fails_is_one_line_that_says_what_to_do(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], cure: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("notes.wav").write_text("buy milk\n" * 100)
    Path("empty.wav").touch()
    write(Path("film.mp4"), video=True)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    result = run(*arguments)
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith("granite-stream: ")
    assert result.err.count("\n") == 1
    assert cure in result.err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_says_so(run: Run, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert "cannot be written (Permission denied)" in run(CLOCKS, "--output", tmp_path).err


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["a.wav", "--formal"],
        ["a.wav", "--form", "srt"],
        ["a.wav", "--format", "doc"],
        ["a.wav", "--speed", "2"],
        ["a.wav", "--live", "--speed", "-1"],
        ["a.wav", "--live", "--speed", "nan"],
        ["a.wav", "--live", "--speed", "1e-300"],
        ["a.wav", "--prompt", "\udcff"],
        ["a" * 252 + ".wav", "--output", "."],
        ["model.wav", "--format", "json", "--output", "DIRECTORY"],
        ["a.wav", "--step", "0"],
        ["a.wav", "--step", "many"],
        ["a.wav", "--endpoint", "1000000"],
        ["a.wav", "--threads", "0"],
        ["a.wav", "--events", "--format", "srt"],
        ["a.wav", "b.wav", "--format", "srt"],
        ["one/talk.wav", "two/Talk.mp3", "--output", "."],
        ["talk.wav", "--output", ""],
        ["DIRECTORY/over.json", "--format", "json", "--output", "DIRECTORY"],
        ["a.wav", "--threads", "100000"],
        ["a.wav", "--mic"],
        ["a.wav", "--task", "sing"],
        ["a.wav", "--task", "translate"],
        ["a.wav", "--target-language", "fr"],
        ["a.wav", "--language", "Latin"],
        ["a.wav", "--task", "translate", "--language", "fr", "--target-language", "French"],
        ["a.wav", "--prompt", "Write.", "--task", "transcribe"],
        ["a.wav", "--speakers", "--punctuate"],
    ],
)
def test_wrong_usage_is_one_line_and_touches_nothing(run: Run, arguments: list[str], tmp_path: Path) -> None:
    (tmp_path / "model.json").mkdir()
    (tmp_path / "over.json").write_text("a recording")
    result = run(*(each.replace("DIRECTORY", str(tmp_path)) for each in arguments))
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("granite-stream: ")
    assert result.err.count("\n") == 1
    assert (tmp_path / "over.json").read_text() == "a recording"


def test_a_name_that_is_complained_of_is_one_line_and_commands_no_terminal(run: Run) -> None:
    assert run("no\nsuch\x1b[31m.mp3").err == "granite-stream: no such [31m.mp3: no such file; check the path\n"


@pytest.mark.parametrize("live", [[], ["--live"], ["--events"]])
@pytest.mark.parametrize(
    ("wish", "message"),
    [
        (["--task", "translate", "--target-language", "fr"], "this model only transcribes plain English"),
        (["--speakers"], "only granite-speech-4.1-2b-plus writes speakers and times"),
        (["--prompt", "<|audio|>"], "the prompt holds 2 <|audio|> placeholders, it needs exactly 1"),
    ],
)
def test_what_the_model_cannot_do_is_wrong_usage(run: Run, wish: list[str], message: str, live: list[str]) -> None:
    result = run(CLOCKS, *wish, *live)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith(f"granite-stream: {message}")
    assert result.err.count("\n") == 1


def test_a_file_that_is_not_there_is_told_before_anything_is_loaded(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "streamer.commands.loading", None)  # whoever imports it fails
    assert run("serv") == Result(1, "", "granite-stream: serv: no such file; check the path\n")


def test_its_version_is_told() -> None:
    told = subprocess.run([*COMMAND, "--version"], capture_output=True, check=True, text=True)
    assert told.stdout == f"granite-stream {version('granite-stream')}\n"


def test_what_every_model_does_changes_nothing(run: Run) -> None:
    assert run(CLOCKS, "--task", "transcribe", "--language", "English", "--no-punctuate") == run(CLOCKS)


def test_a_file_named_like_a_command_is_reached_by_its_path() -> None:
    assert parse(["./serve", "models"]).files == ["./serve", "models"]


def test_options_may_stand_between_files() -> None:
    assert parse(["a.wav", "--live", "b.wav"]).files == ["a.wav", "b.wav"]


def test_a_file_behind_two_dashes_may_begin_with_one() -> None:
    assert parse(["--live", "--", "-a.wav", "b.wav"]).files == ["./-a.wav", "b.wav"]


def test_the_help_is_quick_and_tells_the_true_defaults() -> None:
    look = "import sys; assert not {'torch', 'av', 'rich', 'numpy'} & set(sys.modules), 'loaded too much'"
    script = f"from streamer.command import main\ntry: main(['--help'])\nfinally:\n  {look}"
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    text = " ".join(shown.split())
    options = Options()
    assert f"between two updates (default: {options.update_ms}, by --latency)" in text
    assert f"end a segment (default: {options.endpoint_ms})" in text
    assert f"is divided (default: {options.max_segment_seconds:.0f})" in text


def test_models_lists_the_embedded_one(run: Run) -> None:
    result = run("models")
    assert result.code == 0
    assert "nano" in result.out
    assert "not an IBM model" in result.out


def test_events_are_json_lines_that_end_with_done(run: Run) -> None:
    result = run(CLOCKS, "--events", "--speed", "0")
    assert (result.code, result.err) == (0, "")
    events = [json.loads(line) for line in result.out.splitlines()]
    types = [event["type"] for event in events]
    assert types[0] == "speech_started"
    assert "partial" in types
    assert types[-2:] == ["final", "done"]
    assert events[-1]["audio_seconds"] == pytest.approx(3.328)


def test_live_captions_in_a_pipe_are_the_finals(run: Run) -> None:
    events = [json.loads(line) for line in run(CLOCKS, "--events", "--speed", "0").out.splitlines()]
    finals = [event["text"] for event in events if event["type"] == "final"]
    assert run(CLOCKS, "--live", "--speed", "0").out.splitlines() == finals


def test_live_takes_as_long_as_the_speech(run: Run) -> None:
    started = time.monotonic()
    assert run(CLOCKS, "--live").code == 0
    assert time.monotonic() - started >= 3.3


def test_live_captions_can_be_kept_as_subtitles(run: Run, tmp_path: Path) -> None:
    shown = run(CLOCKS, "--live", "--speed", "0", "--format", "srt", "--output", tmp_path).out
    cues = srt.parse((tmp_path / "af_heart_36.srt").read_text())
    assert [word for cue in cues for word in cue.content.split()] == shown.split()


def test_standard_input_is_read() -> None:
    with open(CLOCKS, "rb") as recording, start("-", "--format", "json", stdin=recording.fileno()) as process:
        out, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (0, "")
    assert json.loads(out)["audio_seconds"] == pytest.approx(3.328)


def test_a_reader_that_leaves_ends_it_quietly() -> None:
    with start(CLOCKS, HOTEL) as process:
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 0


@pytest.mark.parametrize("view", ["--live", "--events"])
def test_a_reader_that_leaves_is_no_reason_not_to_write_the_files(tmp_path: Path, view: str) -> None:
    with start(CLOCKS, HOTEL, view, "--speed", "0", "--output", str(tmp_path)) as process:
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 0
    assert {path.name for path in tmp_path.iterdir()} == {"af_heart_36.txt", "am_michael_37.txt"}
    assert all(path.read_text().strip() for path in tmp_path.iterdir())


def test_python_runs_the_package_as_the_command() -> None:
    run = subprocess.run([sys.executable, "-m", "streamer", "--version"], capture_output=True, text=True, check=True)
    assert run.stdout.startswith("granite-stream ")


def test_an_interruption_writes_down_what_was_heard() -> None:
    with start(TALK, "--events") as process:
        events = map(json.loads, process.stdout)
        committed = next(event["committed"] for event in events if event.get("committed"))
        process.send_signal(signal.SIGINT)
        *_, final, done = events
        assert process.stderr.read() == ""
    assert process.returncode == 130
    assert final["type"] == "final"
    assert final["text"].startswith(committed)
    assert done["audio_seconds"] < 30


def test_an_interruption_leaves_a_file_that_says_it_is_not_whole(tmp_path: Path) -> None:
    with start(TALK, "--live", "--format", "srt", "--output", str(tmp_path)) as process:
        shown = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        shown += process.stdout.read()
        (part,) = tmp_path.iterdir()
        assert process.stderr.read() == f"granite-stream: {part} is as far as it was heard\n"
    assert process.returncode == 130
    assert part.name == "talk.srt.part"
    assert [word for cue in srt.parse(part.read_text()) for word in cue.content.split()] == shown.split()


def test_a_crash_loses_nothing_that_was_final_and_leaves_the_older_transcript(tmp_path: Path) -> None:
    (tmp_path / "talk.srt").write_text("of yesterday")
    with start(TALK, "--live", "--speed", "4", "--format", "srt", "--output", str(tmp_path)) as process:
        shown = process.stdout.readline()
        process.kill()
    part = tmp_path / "talk.srt.part"
    words = [word for cue in srt.parse(part.read_text()) for word in cue.content.split()]
    assert words[: len(shown.split())] == shown.split()
    assert (tmp_path / "talk.srt").read_text() == "of yesterday"


def test_one_interruption_ends_the_wait_for_a_live_pipe_and_what_was_heard_is_written(tmp_path: Path) -> None:
    with open_recording(TALK) as recording:
        path = write(tmp_path / "talk.wav", np.concatenate(list(recording.chunks(16_000))))
    with start("-", "--live", "--events", stdin=subprocess.PIPE) as process:
        process.stdin.buffer.write(path.read_bytes()[:300_000])
        process.stdin.flush()
        assert next(iter(process.stdout))
        time.sleep(3)  # it waits for more
        process.send_signal(signal.SIGINT)
        process.wait(60)  # its input stays open
        out, err = process.stdout.read(), process.stderr.read()
    assert (process.returncode, err) == (130, "")
    assert json.loads(out.splitlines()[-1])["type"] == "done"


def test_interruptions_end_the_wait_for_a_silent_pipe(tmp_path: Path) -> None:
    with open_recording(TALK) as recording:
        path = write(tmp_path / "talk.wav", np.concatenate(list(recording.chunks(16_000))))
    with start("-", "--events", stdin=subprocess.PIPE) as process:
        process.stdin.buffer.write(path.read_bytes()[:300_000])
        process.stdin.flush()
        assert next(iter(process.stdout))
        while process.poll() is None:
            process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(3)
        assert process.stderr.read() == ""
    assert process.returncode in (130, -signal.SIGINT)  # a shell calls both of them 130
