"""The real path: PulseAudio plays, ALSA and PortAudio capture, the command writes down."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import time
import wave
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import srt

from streamer.sound.recordings import open_recording
from tests.listeners import COMMAND, ROOT, listening, shift
from tests.sound import Room, needs_sound, sound_server, wait_until

pytestmark = needs_sound

AUDIO = ROOT / "tests" / "audio"
CLOCKS, HOTEL, TALK = (AUDIO / name for name in ("af_heart_36.flac", "am_michael_37.flac", "talk.flac"))


@pytest.fixture(scope="module")
def room() -> Iterator[Room]:
    with sound_server() as room:
        yield room


@dataclass(frozen=True)
class Heard:
    code: int
    events: list[dict]
    err: list[str]
    saved: np.ndarray


def samples_of(path: Path) -> np.ndarray:
    with open_recording(str(path)) as recording:
        return np.concatenate(list(recording.chunks(16_000)))


@pytest.fixture(scope="module")
def heard(room: Room, tmp_path_factory: pytest.TempPathFactory) -> Heard:
    """The talk, played to the microphone."""
    saved = tmp_path_factory.mktemp("heard") / "talk.wav"
    with listening(room, "--events", "--save", str(saved)) as listener:
        wait_until(lambda: saved.exists() and saved.stat().st_size > 44, "the first sound is saved")
        room.play(TALK)
        code = listener.ends()
    return Heard(code, listener.events, listener.err, samples_of(saved))


def test_an_interruption_ends_it_well(heard: Heard) -> None:
    assert (heard.code, heard.err) == (0, [])
    assert heard.events[-1]["type"] == "done"
    assert heard.events[-1]["audio_seconds"] == pytest.approx(len(heard.saved) / 16_000, abs=0.001)


def test_what_is_said_is_written_down_as_from_a_file(heard: Heard, nano) -> None:
    words = {word for event in heard.events if event["type"] == "final" for word in event["text"].split()}
    offline = {word for each in (samples_of(TALK),) for word in nano.transcribe(each).split()}
    assert len(words & offline) >= len(offline) / 4  # the embedded model hears badly, and cuts its segments elsewhere


def test_no_sample_is_lost(heard: Heard) -> None:
    """All seconds of the talk lie equally late in the recording: one lost sample of the device would be a third."""
    talk, saved = samples_of(TALK), heard.saved
    size = 1 << (len(saved) + len(talk)).bit_length()
    offset = int(np.argmax(np.fft.irfft(np.fft.rfft(saved, size) * np.conj(np.fft.rfft(talk, size)))))
    assert 0 <= offset <= len(saved) - len(talk)
    found = [
        shift(talk[start : start + 16_000], saved[offset + start - 20 : offset + start + 16_020])
        for start in range(16_000, len(talk) - 16_000, 16_000)
        if np.linalg.norm(talk[start : start + 16_000]) > 1  # somebody speaks
    ]
    assert len(found) > 20
    assert min(likeness for _, likeness in found) > 0.97
    assert max(late for late, _ in found) - min(late for late, _ in found) <= 0.2


def test_it_is_as_loud_as_it_was(heard: Heard) -> None:
    talk = samples_of(TALK)
    assert np.abs(heard.saved).max() == pytest.approx(np.abs(talk).max(), rel=0.05)
    assert np.sum(heard.saved**2) == pytest.approx(np.sum(talk**2), rel=0.02)


def test_a_device_that_vanishes_is_taken_up_again(room: Room) -> None:
    started = time.monotonic()
    with listening(room, "--events") as listener:
        began = time.monotonic()
        room.play(CLOCKS)
        wait_until(lambda: len(listener.finals()) >= 1, "the first final")
        room.unplug()  # the server now gives its listeners another source, and says nothing
        wait_until(lambda: any("is gone; waiting for it" in line for line in listener.err), "it says that it is gone")
        room.plug()
        wait_until(lambda: any("is back" in line for line in listener.err), "it says that it is back")
        before = len(listener.finals())
        room.play(HOTEL)
        wait_until(lambda: len(listener.finals()) > before, "a final of the second recording")
        seconds = time.monotonic() - began
        assert listener.ends() == 0
        most_seconds = time.monotonic() - started
    # a room where nothing plays keeps its first sound for up to two seconds
    assert seconds - 2.5 < listener.events[-1]["audio_seconds"] < most_seconds, "silence stands for what is missing"
    assert len([line for line in listener.err if "sound were lost" not in line]) == 2


def test_a_pipe_gets_finals_only(room: Room) -> None:
    with listening(room) as listener:
        room.play(CLOCKS)
        wait_until(lambda: len(listener.out) >= 1, "the final")
        assert listener.ends(signal.SIGTERM) == 0
    assert listener.err == []
    assert not any("\x1b" in line for line in listener.out)


@pytest.mark.parametrize("form", ["srt", "json"])
def test_a_crash_loses_nothing_that_was_final(room: Room, tmp_path: Path, form: str) -> None:
    with listening(room, "--format", form, "--output", str(tmp_path), "--save", str(tmp_path / "it.wav")) as listener:
        room.play(CLOCKS)
        wait_until(lambda: len(listener.out) >= 1, "the final")
        listener.process.kill()
        listener.process.wait()
    shown = "".join(listener.out).split()
    written = (tmp_path / f"it.{form}").read_text()
    texts = [cue.content for cue in srt.parse(written)] if form == "srt" else [json.loads(written)["text"]]
    assert " ".join(texts).split() == shown
    with wave.open(str(tmp_path / "it.wav")) as recording:
        assert recording.getnframes() * 2 + 44 == (tmp_path / "it.wav").stat().st_size
        assert recording.getnframes() > 3 * 16_000


@pytest.fixture
def pane(room: Room, tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Runs tmux commands against a server of its own, with a shell in it."""
    if shutil.which("tmux") is None:
        pytest.skip("tmux is not installed")

    def run(*command: str) -> str:
        line = ["tmux", "-S", str(tmp_path / "socket"), "-f", "/dev/null", *command]
        return subprocess.run(
            line, check=True, capture_output=True, text=True, timeout=20, env={**room.environment, "PS1": "$ "}
        ).stdout

    run("new-session", "-d", "-x", "70", "-y", "12", "-c", str(ROOT), "sh")
    yield run
    run("kill-server")


def test_in_a_real_terminal_captions_grow_above_the_status_line(room: Room, pane: Callable[..., str]) -> None:
    def shown(*look: str) -> str:
        return pane("capture-pane", "-p", *look).rstrip()

    def last() -> str:
        return shown().splitlines()[-1]

    pane("send-keys", f"clear; {shlex.join([*COMMAND, '--mic', '--device', 'room.monitor'])}; stty -a", "Enter")
    wait_until(lambda: "m mute" in shown(), "the status line")
    assert last().startswith("▯▯▯▯▯▯▯▯▯▯   0:0")
    with room.playing(TALK):
        wait_until(lambda: "▮▮▮▮" in last(), "the meter moves")
        wait_until(lambda: "\x1b[2m" in shown("-e").rpartition("\n")[0], "a draft, dimmed")
        wait_until(lambda: len(shown().splitlines()) > 2, "more lines")
    assert "m mute" in last()
    pane("send-keys", "k")
    wait_until(lambda: "[mark 1 at 0:" in shown(), "the mark")
    pane("send-keys", "m")
    wait_until(lambda: last().startswith("muted"), "it is muted")
    pane("resize-window", "-x", "40")
    wait_until(lambda: last().startswith("muted   0:") and "q quit" not in last(), "the status line fits")
    pane("send-keys", "q")
    wait_until(lambda: " icanon" in shown("-S", "-"), "the terminal is given back")
    screen = shown("-S", "-")
    assert " echo " in screen
    assert "muted" not in screen
    assert "[mark 1 at 0:" in screen
    assert pane("display-message", "-p", "#{cursor_flag}").strip() == "1"


def test_closing_the_window_loses_no_word(room: Room, tmp_path: Path) -> None:
    ours, theirs = os.openpty()
    line = [*COMMAND, "--mic", "--device", "room.monitor", "--format", "json", "--output", str(tmp_path)]
    line += ["--save", str(tmp_path / "it.wav")]
    heeding = lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL)  # noqa: E731 - also if the tests run under nohup
    with subprocess.Popen(
        line, stdin=theirs, stdout=theirs, stderr=theirs, env=room.environment, cwd=ROOT, preexec_fn=heeding
    ) as process:
        os.close(theirs)
        seen = b""
        try:
            wait_until(room.is_heard, "the command listens")
            with room.playing(TALK):
                while b"\n" not in seen:  # captions above the status line
                    seen = os.read(ours, 1024)
            os.close(ours)
            for _ in range(2):  # one by the terminal, one by its shell
                process.send_signal(signal.SIGHUP)
            process.wait(60)
        finally:
            process.kill()
    transcript = json.loads((tmp_path / "it.json").read_text())
    saved_seconds = ((tmp_path / "it.wav").stat().st_size - 44) / 32_000
    assert transcript["text"]
    assert transcript["audio_seconds"] == pytest.approx(saved_seconds, abs=0.001), "it was waited for the last words"


def command(room: Room, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], env=room.environment, cwd=ROOT, capture_output=True, text=True, timeout=120
    )


def test_devices_are_listed_with_what_plays(room: Room) -> None:
    result = command(room, "devices")
    assert (result.returncode, result.stderr) == (0, "")
    monitors = [line for line in result.stdout.splitlines() if "Monitor of" in line]
    assert len(monitors) == 2
    assert all("48000 Hz  stereo   what plays here" in line for line in monitors)
    assert [line[0] for line in result.stdout.splitlines()].count("*") == 2, "one default, and the explanation"


@pytest.mark.parametrize(
    ("arguments", "code", "cure"),
    [
        (["--device", "nonesuch"], 1, "granite-stream devices lists them"),
        (["--device", "room", "--save", "README.md"], 1, "already exists; choose another name"),
        (["--device", "room", "--output", "/proc/transcripts"], 1, "cannot be written"),
        (["--device", "room", "--punctuate", "--prompt", "Write."], 2, "leave out either it or punctuate"),
        (["--device", "room", "--punctuate"], 2, "this model only transcribes plain English"),
    ],
)
def test_what_cannot_be_is_one_line(room: Room, arguments: list[str], code: int, cure: str) -> None:
    result = command(room, "--mic", *arguments)
    assert (result.returncode, result.stdout) == (code, "")
    assert result.stderr.startswith("granite-stream: ")
    assert result.stderr.count("\n") == 1
    assert cure in result.stderr


def test_without_any_sound_system_it_says_what_to_do(room: Room, tmp_path: Path) -> None:
    nowhere = {**room.environment, "HOME": str(tmp_path), "PULSE_RUNTIME_PATH": str(tmp_path), "PULSE_SERVER": "none"}
    for arguments in (["--mic"], ["devices"]):
        result = subprocess.run(
            [*COMMAND, *arguments], env=nowhere, cwd=ROOT, capture_output=True, text=True, timeout=120
        )
        assert result.returncode == 1
        assert result.stderr.count("\n") == 1, result.stderr
        assert "no microphone was found; plug one in" in result.stderr or "cannot be opened" in result.stderr
