"""Makes the README's pictures of the pages from the real program: `python -m tests.pictures.browser`.

Chromium hears tests/audio/talk.flac through a fake microphone, the embedded model writes it down, and after some
segments each page is photographed. Needs what tests/test_browser.py needs.
"""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path

from model import GraniteSpeech
from tests.browsers import Browser, browsing
from tests.conftest import read
from tests.speaking import service

HERE = Path(__file__).parent
PARAGRAPHS = 3  # of captions before the picture is taken
SCENE = (  # what a stream may show behind the captions
    "radial-gradient(ellipse at 20% 108%, #24433d 0 42%, transparent 42.4%), "
    "radial-gradient(ellipse at 82% 116%, #2f5a4c 0 50%, transparent 50.4%), "
    "radial-gradient(ellipse at 48% 120%, #4a7c68 0 58%, transparent 58.4%), "
    "radial-gradient(circle at 74% 30%, #fff3d6 0 4%, #ffe3a8 4.4%, transparent 22%), "
    "linear-gradient(#5f93c4, #f3c99a 72%)"
)


async def photograph(browser: Browser, name: str) -> None:
    """Writes what is seen."""
    picture = await browser.devtools("Page.captureScreenshot", format="png")
    (HERE / name).write_bytes(base64.b64decode(picture["data"]))


async def take(browser: Browser) -> None:
    """Both pictures, of one talk."""
    browser.hears(read("talk.flac").numpy())
    async with service(GraniteSpeech.load("nano")) as here:
        address = f"http://127.0.0.1:{here.port}"
        async with browser.tab(f"{address}/overlay?channel=stage&size=30") as overlay:
            await browser.open(address)
            await browser.size(900, 560)
            await browser.click("summary")
            await browser.click("#channel")
            await browser.type("stage")
            await browser.click("summary")
            await browser.click("#start")
            count = "document.querySelectorAll('#captions p').length"
            await browser.until(f"{count} >= args[0]", PARAGRAPHS, seconds=60)
            await browser.until("document.querySelector('main p:last-child span:not(.draft) + .draft:not(:empty)')")
            await photograph(browser, "page.png")
            async with overlay():
                await browser.size(900, 506)
                await browser.js(f"document.documentElement.style.background = '{SCENE}'")
                await browser.until("document.getElementById('draft').textContent")
                await photograph(browser, "overlay.png")


def main() -> None:
    """Takes them."""
    with browsing() as browser:
        asyncio.run(take(browser))


if __name__ == "__main__":
    main()
