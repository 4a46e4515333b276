"""Makes the README's picture of the desktop overlay from the real program: `python -m tests.pictures.desktop`.

Somebody says tests/audio/talk.flac on a channel of a daemon with the embedded model, the overlay follows it over a
window, and after some seconds the screen is photographed. Needs what tests/test_overlay_window.py needs.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from clients.connection import connect
from model import GraniteSpeech
from tests.conftest import read
from tests.desktops import Desktop, desktop
from tests.speaking import PIECE, Service, service

PICTURE = Path(__file__).parent / "desktop.png"
SAID_SECONDS = 8.5  # of the talk, before the picture is taken
LOOK = ("--size", "32", "--width", "860", "--hide", "0")


async def speak(here: Service) -> None:
    """Says the beginning of the talk at the speed of speech, and leaves the last segment open."""
    talk = read("talk.flac").numpy()[: int(SAID_SECONDS * 16_000)]
    async with connect(here.url, encoding="pcm_f32le", channel="stage") as captions:
        for start in range(0, len(talk), PIECE):
            await captions.send(talk[start : start + PIECE])
            await asyncio.sleep(PIECE / 16_000)
        await asyncio.sleep(1)


async def take(screen: Desktop) -> None:
    """The picture."""
    (screen.home / "granite-stream").mkdir()
    (screen.home / "granite-stream" / "overlay.json").write_text('{"locked": true}')
    async with service(GraniteSpeech.load("nano")) as here:
        with screen.backdrop("scene"):
            overlay = screen.overlay(here.url, "--channel", "stage", *LOOK)
            await asyncio.to_thread(overlay.__enter__)
            await speak(here)
            whole = await asyncio.to_thread(screen.picture)
            await asyncio.to_thread(overlay.__exit__, None, None, None)
    os.environ["QT_QPA_PLATFORM"] = "offscreen"
    from PySide6.QtGui import QImage

    assert QImage(str(whole)).copy(160, 280, 960, 440).save(str(PICTURE))


def main() -> None:
    """Takes it."""
    with desktop() as screen:
        asyncio.run(take(screen))


if __name__ == "__main__":
    main()
