"""`granite-stream connect URL --mic`: the real microphone path, to a real daemon."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from model import GraniteSpeech
from streamer.access import Access, digest
from tests.listeners import COMMAND, ROOT
from tests.sound import Room, needs_sound, sound_server, wait_until
from tests.speaking import Service, service

pytestmark = needs_sound
CLOCKS = ROOT / "tests" / "audio" / "af_heart_36.flac"


@pytest.fixture
async def there(nano: GraniteSpeech) -> AsyncIterator[Service]:
    async with service(nano) as running:
        yield running


def hear(room: Room, url: str, saved: Path) -> list[dict[str, object]]:
    """The events of a recording that is played to the command's microphone."""
    line = [*COMMAND, "connect", url, "--mic", "--device", "room.monitor", "--events", "--save", str(saved)]
    with subprocess.Popen(line, env=room.environment, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            wait_until(lambda: room.is_heard() or process.poll() is not None, "the command listens")
            room.play(CLOCKS)
            process.terminate()
            out, _ = process.communicate(timeout=120)
        finally:
            process.kill()
    assert process.returncode == 0
    return [json.loads(line) for line in out.splitlines()]


async def test_what_the_microphone_hears_is_written_down_by_the_daemon(there: Service, tmp_path: Path) -> None:
    with sound_server() as room:
        events = await asyncio.to_thread(hear, room, there.url, tmp_path / "heard.wav")
    assert [event["type"] for event in events].count("final") >= 1
    assert events[-1]["type"] == "done"
    saved_seconds = ((tmp_path / "heard.wav").stat().st_size - 44) / 32_000
    assert events[-1]["audio_seconds"] == pytest.approx(saved_seconds, abs=0.001), "all that was heard was sent"
    await there.all_gone()


async def test_a_wrong_token_ends_it_with_one_line(there: Service) -> None:
    there.server.access = Access(frozenset({digest("correct-horse-battery")}))
    with sound_server() as room:
        line = [*COMMAND, "connect", there.url, "--mic", "--device", "room.monitor"]
        run = await asyncio.to_thread(
            subprocess.run, line, env=room.environment, cwd=ROOT, capture_output=True, text=True, timeout=120
        )
    assert (run.returncode, run.stdout, run.stderr.count("\n")) == (1, "", 1)
    assert "wants a token that it knows" in run.stderr
