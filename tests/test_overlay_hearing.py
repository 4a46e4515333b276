"""The overlay with a microphone of its own: PulseAudio plays, PortAudio captures, words appear on a real screen."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from model import GraniteSpeech
from streamer.access import Access, digest
from tests.desktops import NOTICE, ROOT, WORDS, Desktop, aside, desktop, needs_desktop
from tests.sound import Room, needs_sound, sound_server, wait_until
from tests.speaking import service

pytestmark = [needs_desktop, needs_sound]
CLOCKS = ROOT / "tests" / "audio" / "af_heart_36.flac"
LISTENING = ("--device", "room.monitor", "--position", "300,400", "--width", "600", "--hide", "0", "--size", "30")
BOX = (300, 400, 600, 100)  # where captions are then
TOKEN = "correct-horse-battery"


@pytest.fixture(scope="module")
def room() -> Iterator[Room]:
    with sound_server() as room:
        yield room


@pytest.fixture(scope="module")
def there(room: Room) -> Iterator[Desktop]:
    """A screen with sound, and with an overlay to come that is locked as if it had been so last time."""
    with desktop() as screen:
        screen.environment["PULSE_RUNTIME_PATH"] = room.environment["PULSE_RUNTIME_PATH"]
        look = screen.home / "granite-stream" / "overlay.json"
        look.parent.mkdir()
        look.write_text('{"locked": true}')
        with screen.backdrop("dark"):
            yield screen


def shows(there: Desktop, color: str) -> bool:
    return color in there.colors(BOX)


def test_without_a_daemon_it_writes_down_itself_what_the_microphone_hears(there: Desktop, room: Room) -> None:
    with there.overlay(*LISTENING) as process:
        wait_until(lambda: shows(there, NOTICE), "it says what it is doing")
        wait_until(room.is_heard, "it listens")
        assert not shows(there, WORDS)
        room.play(CLOCKS)
        wait_until(lambda: shows(there, WORDS), "white words")
        room.unplug()
        wait_until(lambda: shows(there, NOTICE), "it says that the microphone is gone")
        room.plug()
        wait_until(room.is_heard, "it listens again")
        room.play(CLOCKS)
        wait_until(lambda: shows(there, WORDS), "white words again")
        process.send_signal(signal.SIGHUP)  # the terminal that it was started from is closed
        assert process.wait(60) == 0
        assert [line for line in process.stderr.read().splitlines() if "overlay is locked" not in line] == []


async def test_with_a_daemon_that_writes_down_what_the_microphone_here_hears(
    there: Desktop, room: Room, nano: GraniteSpeech, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text(TOKEN)
    async with service(nano) as daemon:
        daemon.server.access = Access(frozenset({digest(TOKEN)}))
        async with aside(there.overlay(daemon.url, "--token-file", str(tmp_path / "token"), *LISTENING)):
            await asyncio.to_thread(
                wait_until, lambda: daemon.server.sessions.counts()["connected"] == 1, "it is there"
            )
            await asyncio.to_thread(wait_until, room.is_heard, "it listens")
            await asyncio.to_thread(room.play, CLOCKS)
            await asyncio.to_thread(wait_until, lambda: shows(there, WORDS), "white words")
        await asyncio.wait_for(daemon.server.sessions.empty.wait(), 60)


def test_what_its_model_cannot_do_ends_it_with_one_line(there: Desktop) -> None:
    with there.overlay(*LISTENING, "--task", "translate", "--target-language", "fr") as process:
        assert process.wait(120) == 2
        lines = [line for line in process.stderr.read().splitlines() if "overlay is locked" not in line]
    assert [line.partition(";")[0] for line in lines] == ["granite-stream: this model only transcribes plain English"]


def test_it_ends_at_once_when_it_is_asked_to_while_its_model_loads(there: Desktop, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "config.json")  # whoever reads it waits for somebody to write
    with there.overlay(*LISTENING, "--model", str(tmp_path)) as process:
        wait_until(lambda: shows(there, NOTICE), "it says that it loads")
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0, "nobody waits for the thread that loads: it would be for ever"
