"""A real Chromium with a fake microphone that speaks a WAV file, as an asynchronous test drives it."""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from tests.servers import until

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
RATE = 48_000  # of the fake microphone: no resampling on its way
PATIENCE_SECONDS = 60  # for anything on a page: a browser has many processes, and a busy machine few cores
STATUS = "document.getElementById('status').textContent"
LEAD_SECONDS = 0.3  # of silence before the words
HURRY = """
(() => {
  const [later, often, abort] = [setTimeout, setInterval, AbortSignal.timeout.bind(AbortSignal)];
  const now = performance.now.bind(performance);
  window.setTimeout = (then, ms) => later(then, ms / 10);
  window.setInterval = (then, ms) => often(then, ms / 10);
  AbortSignal.timeout = (ms) => abort(ms / 10);
  performance.now = () => 10 * now();
})()
"""
FLAGS = (
    "--headless=new",
    "--no-sandbox",  # containers run as root
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
)


class Browser:
    """One browser with one microphone. Selenium blocks, so every call runs in a thread."""

    def __init__(self, driver: Any, folder: Path) -> None:
        self.driver, self.folder = driver, folder

    def hears(self, samples: np.ndarray, rate: int = 16_000) -> None:
        """What the microphone will hear from the next time on that it is opened: `[T]`, then silence."""
        silence = np.zeros(int(LEAD_SECONDS * rate), np.float32)
        soundfile.write(self.folder / "microphone.wav", np.concatenate([silence, samples]), rate, subtype="PCM_16")

    async def do(self, call: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.to_thread(call, *arguments)

    async def open(self, url: str) -> None:
        await self.do(self.driver.get, url)

    async def js(self, script: str, *arguments: Any) -> Any:
        """What an expression gives; a promise is waited for. `args` are the arguments."""
        wrapped = (
            "const args = [...arguments], done = args.pop();"
            f"(async () => ({script}))().then(value => done([value, null]), error => done([null, String(error)]))"
        )
        value, error = await self.do(self.driver.execute_async_script, wrapped, *arguments)
        assert error is None, error
        return value

    async def until(self, script: str, *arguments: Any, seconds: float = PATIENCE_SECONDS) -> Any:
        """Waits until an expression gives something true."""
        async with asyncio.timeout(seconds):
            while not (value := await self.js(script, *arguments)):  # noqa: ASYNC110 - a page announces nothing
                await asyncio.sleep(0.05)
        return value

    async def click(self, selector: str) -> None:
        await self.do(lambda: self.driver.find_element("css selector", selector).click())

    async def type(self, *keys: str) -> None:
        """Presses keys, wherever the focus is."""
        await self.do(lambda: self.driver.switch_to.active_element.send_keys(*keys))

    async def status(self, text: str) -> None:
        """Waits until the page says this."""
        try:
            await self.until(f"{STATUS}.includes(args[0])", text)
        except TimeoutError:
            raise AssertionError(f"{await self.js(STATUS)!r} instead of {text!r}") from None

    async def complaints(self) -> list[str]:
        """What stood on the console since this was last asked, whatever page it was."""
        return [entry["message"] for entry in await self.do(self.driver.get_log, "browser")]

    async def paragraphs(self) -> list[str]:
        """What stands on the page, drafts included."""
        return await self.js("[...document.querySelectorAll('#captions p')].map(p => p.textContent)")

    async def saved(self, kind: str) -> Path:
        """The file that the page offers."""
        path = self.folder / f"captions.{kind}"
        path.unlink(missing_ok=True)
        await self.click(f"[data-save={kind}]")
        await until(path.exists)
        return path

    @asynccontextmanager
    async def tab(self, url: str, kind: str = "tab") -> AsyncIterator[Callable[[], AbstractAsyncContextManager[None]]]:
        """Another tab, or window, behind this one; what it gives brings it to the front for a while."""
        front = self.driver.current_window_handle
        await self.do(self.driver.switch_to.new_window, kind)
        behind = self.driver.current_window_handle
        await self.open(url)
        await self.do(self.driver.switch_to.window, front)

        @asynccontextmanager
        async def to_the_front() -> AsyncIterator[None]:
            await self.do(self.driver.switch_to.window, behind)
            yield
            await self.do(self.driver.switch_to.window, front)

        yield to_the_front
        await self.do(self.driver.switch_to.window, behind)
        await self.do(self.driver.close)
        await self.do(self.driver.switch_to.window, front)

    async def devtools(self, command: str, **parameters: Any) -> Any:
        return await self.do(self.driver.execute_cdp_cmd, command, parameters)

    @asynccontextmanager
    async def beginning_with(self, script: str) -> AsyncIterator[None]:
        """Pages that are opened meanwhile begin with this script."""
        added = await self.devtools("Page.addScriptToEvaluateOnNewDocument", source=script)
        try:
            yield
        finally:
            await self.devtools("Page.removeScriptToEvaluateOnNewDocument", **added)

    def hurried(self) -> AbstractAsyncContextManager[None]:
        """On pages that are opened meanwhile, time goes ten times as fast."""
        return self.beginning_with(HURRY)

    async def size(self, width: int, height: int) -> None:
        """Of the page, in pixels."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        await self.devtools("Emulation.setDeviceMetricsOverride", **size)

    async def permit(self, setting: str) -> None:
        """What the user has answered to the question for the microphone: granted or denied."""
        await self.devtools("Browser.setPermission", permission={"name": "microphone"}, setting=setting)


def lacking() -> str:
    """What has to be installed; empty: nothing."""
    if not (CHROMIUM and DRIVER):
        return "needs the packages chromium and chromium-driver (apt-get install)"
    return "" if find_spec("selenium") else "needs selenium (pip install -e '.[dev]')"


@contextmanager
def browsing() -> Iterator[Browser]:
    """Starts a browser with an empty profile."""
    if lack := lacking():
        sys.exit(lack)
    from selenium import webdriver

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        options = webdriver.ChromeOptions()
        options.binary_location = CHROMIUM
        microphone = f"--use-file-for-fake-audio-capture={folder}/microphone.wav%noloop"
        for flag in (*FLAGS, microphone, f"--user-data-dir={folder}/profile", "--window-size=1000,700"):
            options.add_argument(flag)
        options.add_experimental_option("prefs", {"download.default_directory": folder})
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        options.unhandled_prompt_behavior = "accept"  # leaving while it listens is asked about
        driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
        try:
            driver.execute_cdp_cmd(
                "Browser.setPermission", {"permission": {"name": "microphone"}, "setting": "granted"}
            )
            yield Browser(driver, Path(folder))
        finally:
            driver.quit()
