"""The overlay on a real screen: Xvfb, a window manager, other windows, the real daemon."""

from __future__ import annotations

import asyncio
import getpass
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from clients.connection import connect
from model import GraniteSpeech
from streamer.access import Access, digest
from tests.desktops import NOTICE, ROOT, WORDS, Desktop, aside, desktop, needs_desktop
from tests.sound import wait_until
from tests.speaking import recording, say, service

pytestmark = needs_desktop
NOWHERE = ("ws://127.0.0.1:9", "--channel", "stage", "--hide", "0")  # it says that nobody listens there
PLACE = ("--position", "300,400", "--width", "600", "--lines", "2", "--size", "30")
BOX = (300, 400, 600, 100)  # where captions are then


@pytest.fixture(scope="module")
def screen() -> Iterator[Desktop]:
    with desktop() as screen:
        yield screen


@pytest.fixture
def there(screen: Desktop) -> Desktop:
    """The screen, with an overlay to come that is locked as if it had been so last time."""
    look_file(screen).parent.mkdir(exist_ok=True)
    look_file(screen).write_text('{"locked": true}')
    return screen


def look_file(screen: Desktop) -> Path:
    return screen.home / "granite-stream" / "overlay.json"


def remembered(screen: Desktop) -> dict[str, object]:
    return json.loads(look_file(screen).read_text())


async def test_what_somebody_says_on_a_channel_appears(there: Desktop, nano: GraniteSpeech) -> None:
    async with service(nano) as daemon:
        overlay = there.overlay(daemon.url, "--channel", "stage", "--hide", "0", *PLACE)
        async with aside(there.backdrop("dark")), aside(overlay) as process:
            await asyncio.to_thread(wait_until, lambda: daemon.server.sessions.channels.watchers == 1, "it watches")
            async with connect(daemon.url, encoding="pcm_f32le", channel="stage") as captions:
                await say(captions, recording(0))
            await asyncio.to_thread(wait_until, lambda: WORDS in there.colors(BOX), "white words")
            assert process.poll() is None


async def test_a_wrong_token_is_said_where_captions_would_be(there: Desktop, nano: GraniteSpeech) -> None:
    async with service(nano) as daemon:
        daemon.server.access = Access(frozenset({digest("correct-horse-battery")}))
        async with aside(there.backdrop("dark")), aside(there.overlay(daemon.url, "--channel", "stage", *PLACE)):
            await asyncio.to_thread(wait_until, lambda: NOTICE in there.colors(BOX), "amber words")


def test_it_stands_where_it_was_asked_to_above_a_full_screen_window_and_clicks_go_through_it(there: Desktop) -> None:
    with there.overlay(*NOWHERE, *PLACE):
        assert there.place()[:3] == (300, 400, 600)
        with there.backdrop("dark") as clicks:  # opened later, and as large as the screen
            wait_until(lambda: NOTICE in there.colors(there.place()), "amber words above it")
            there.click(600, 450)
            wait_until(lambda: (600, 450) in clicks, "the window below gets the click")
    assert remembered(there)["position"] == "300,400"


def test_unlocked_it_takes_clicks_and_can_be_dragged_and_keeps_its_place(there: Desktop) -> None:
    with there.overlay(*NOWHERE, *PLACE) as process, there.backdrop("dark") as clicks:
        assert there.command("--unlock").returncode == 0
        wait_until(lambda: there.place()[1] < 400, "it has a bar")
        there.drag((600, 450), (500, 250))
        wait_until(lambda: remembered(there)["position"] == "200,200", "it remembers where it was dragged to")
        assert (600, 450) not in clicks
        there.drag((798, 250), (898, 250))
        wait_until(lambda: remembered(there)["width"] == "700", "it was made wider")
        assert there.command("--lock").returncode == 0
        wait_until(lambda: there.place()[:3] == (200, 200, 700), "captions stay where they are when the bar goes")
        second = there.command(*NOWHERE)
        assert (second.returncode, second.stderr.count("\n")) == (1, 1)
        assert "an overlay is running; granite-stream overlay --unlock" in second.stderr
        assert there.command("--quit").returncode == 0
        assert process.wait(60) == 0


def test_an_overlay_that_no_order_would_reach_is_not_locked(there: Desktop) -> None:
    name = there.home / f"granite-stream-overlay-{getpass.getuser()}"  # in a directory of this user alone
    name.mkdir()
    try:
        with there.overlay(*NOWHERE, *PLACE) as process, there.backdrop("dark"):
            assert there.place()[1] < 400, "it has a bar"
            there.drag((600, 450), (500, 250))
            wait_until(lambda: remembered(there)["position"] == "200,200", "it can be moved")
            process.terminate()
            assert f"not locked, as --unlock could not reach it: {name} is taken" in process.stderr.read()
    finally:
        name.rmdir()


def test_with_none_running_there_is_nothing_to_unlock(there: Desktop) -> None:
    result = there.command("--unlock")
    assert (result.returncode, result.stderr.count("\n")) == (1, 1)
    assert "no overlay is running" in result.stderr


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (("--screen", "NOPE-1"), "--screen NOPE-1: there is no such screen; there are 0 "),
        (("--font", "No Such Font"), "--font No Such Font: no such family is installed"),
    ],
)
def test_a_screen_or_font_that_is_not_there_is_said_and_not_remembered(
    there: Desktop, typed: tuple[str, str], message: str
) -> None:
    before = look_file(there).read_text()
    result = there.command(*NOWHERE, *typed)
    assert (result.returncode, result.stderr.count("\n")) == (1, 1)
    assert message in result.stderr
    assert look_file(there).read_text() == before


def test_where_windows_cannot_be_translucent_only_the_box_is_seen() -> None:
    with desktop(composited=False) as screen:
        look_file(screen).parent.mkdir()
        look_file(screen).write_text('{"locked": true}')
        with screen.backdrop("light"), screen.overlay(*NOWHERE, *PLACE, "--lines", "5"):
            left, top, width, height = screen.place()
            wait_until(lambda: NOTICE in screen.colors((left, top, width, height)), "amber words")
            assert screen.colors((left, top, width, 10)) == {"#ffffff"}, "the backdrop above it"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"DISPLAY": ""}, "there is no display; start it within a desktop session"),
        ({"DISPLAY": ":987"}, "the display ':987' cannot be opened"),
    ],
)
def test_without_a_display_it_says_so_in_one_line(there: Desktop, change: dict[str, str], message: str) -> None:
    here = Desktop({**there.environment, **change}, there.home)
    result = here.command(*NOWHERE)
    assert (result.returncode, result.stdout, result.stderr.count("\n")) == (1, "", 1)
    assert message in result.stderr


def test_without_qt_it_says_what_to_install(there: Desktop) -> None:
    script = "import sys; sys.modules['PySide6'] = None; from streamer.command import main; sys.exit(main())"
    line = [sys.executable, "-c", script, "overlay", *NOWHERE]
    result = subprocess.run(line, env=there.environment, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert (result.returncode, result.stderr.count("\n")) == (1, 1)
    assert "pip install 'granite-stream[overlay]'" in result.stderr
