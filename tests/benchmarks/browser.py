"""What the pages add to the engine's delay, and what they cost, in a real Chromium with a fake microphone.

Delay: the microphone clicks; a server without a network answers each click with a partial the moment it hears it. A
probe beside the page's own path notes when a click comes out of the microphone (buffers of 10 ms), and when the caption
that answers it has been painted. CPU: what each kind of Chromium's processes uses while the real daemon captions a
talk, drawing in software, without a graphics card.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import numpy as np
import psutil

from clients.connection import connect
from tests.benchmarks.common import Settings, recordings
from tests.benchmarks.daemon import daemon
from tests.benchmarks.echo import CLICKS, LOUD, Echo, clicks, differences
from tests.benchmarks.report import save, table
from tests.browsers import RATE, Browser, browsing, lacking
from tests.servers import running

CPU_SECONDS = 25.0  # of captions over which it is measured
PROBE = """
(() => {
  const now = () => performance.timeOrigin + performance.now();
  Object.assign(window, { clicks: [], shown: [] });
  const listen = async (track) => {
    const reader = new MediaStreamTrackProcessor({ track }).readable.getReader();
    for (let last = 0; ; ) {
      const { value } = await reader.read();
      const samples = new Float32Array(value.numberOfFrames);
      value.copyTo(samples, { planeIndex: 0, format: "f32-planar" });
      value.close();
      if (!samples.some((sample) => Math.abs(sample) > args[1])) continue;
      if (now() - last > 150) clicks.push(now());
      last = now();
    }
  };
  const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
  navigator.mediaDevices.getUserMedia = async (wanted) => {
    const media = await ask(wanted);
    listen(media.getAudioTracks()[0].clone());
    return media;
  };
  const painted = () => requestAnimationFrame(() => setTimeout(() => shown.push(now())));
  const target = document.querySelector(args[0]);
  new MutationObserver(painted).observe(target, { childList: true, characterData: true, subtree: true });
})()
"""


def run(settings: Settings) -> None:
    """Measures both pages."""
    if lack := lacking():
        print(f"the browser {lack}")
        return
    results = asyncio.run(measure(settings))
    rows = [[name, f"{each['p50']:.0f}", f"{each['p95']:.0f}"] for name, each in results["delay_ms"].items()]
    table("from the microphone to the painted caption, beyond the engine (ms)", ("", "p50", "p95"), rows)
    kinds = sorted({kind for each in results["cpu"].values() for kind in each})
    rows = [[name, *(f"{each.get(kind, 0):.1%}" for kind in kinds)] for name, each in results["cpu"].items()]
    table("of a core while captions run", ("", *kinds), rows)
    save("browser", settings, results)


async def measure(settings: Settings) -> dict[str, Any]:
    """All figures."""
    with browsing() as browser:
        delays = {"page": await delays_of_page(browser), "overlay": await delays_of_overlay(browser)}
        async with daemon(settings, "batched") as there:
            address = there.url.replace("ws:", "http:")
            cpu = {"page": await cpu_of_page(browser, address), "overlay": await cpu_of_overlay(browser, address)}
    summary = {
        name: {"p50": float(np.percentile(each, 50)), "p95": float(np.percentile(each, 95)), "clicks": len(each)}
        for name, each in delays.items()
    }
    return {"delay_ms": summary, "cpu": cpu}


async def delays_of_page(browser: Browser) -> list[float]:
    """Milliseconds, of each click."""
    browser.hears(clicks(1), RATE)
    async with running(worker=Echo()) as here:
        await browser.open(f"http://127.0.0.1:{here.port}/")
        await browser.js(PROBE, "#captions", LOUD)
        await browser.click("#start")
        await browser.until("shown.length >= args[0]", CLICKS, seconds=60)
        return differences(*await browser.js("[clicks, shown]"))


async def delays_of_overlay(browser: Browser) -> list[float]:
    """The same to another window, through a channel."""
    browser.hears(clicks(2), RATE)
    async with running(worker=Echo()) as here:
        address = f"http://127.0.0.1:{here.port}"
        await browser.open(address)
        async with browser.tab(f"{address}/overlay?channel=stage&hide=0", "window") as overlay:
            async with overlay():
                await browser.js(PROBE, "#text", LOUD)
            await browser.js(PROBE, "#captions", LOUD)
            await browser.click("summary")
            await browser.click("#channel")
            await browser.type("stage")
            await browser.click("#start")
            await browser.until("shown.length >= args[0]", CLICKS, seconds=60)
            heard = await browser.js("clicks")
            async with overlay():
                await browser.until("shown.length >= args[0]", CLICKS)
                return differences(heard, await browser.js("shown"))


async def cpu_of_page(browser: Browser, address: str) -> dict[str, float]:
    """Shares of a core, by kind of process."""
    browser.hears(recordings()["talk"].numpy())
    await browser.open(address)
    await browser.click("#start")
    await browser.until("document.querySelector('#captions p')")
    shares = await cpu_shares(browser)
    await browser.open("about:blank")
    return shares


async def cpu_of_overlay(browser: Browser, address: str) -> dict[str, float]:
    """The same; who speaks is no browser."""
    await browser.open(f"{address}/overlay?channel=stage")
    async with connect(address.replace("http:", "ws:"), encoding="pcm_f32le", channel="stage") as captions:
        talk = recordings()["talk"].numpy()
        pieces = [talk[at : at + 1600] for at in range(0, len(talk), 1600)]

        async def speak() -> None:
            for piece in pieces:
                await captions.send(piece)
                await asyncio.sleep(0.1)

        async with asyncio.TaskGroup() as tasks:
            speaking = tasks.create_task(speak())
            await browser.until("document.getElementById('text').textContent")
            shares = await cpu_shares(browser)
            speaking.cancel()
    return shares


async def cpu_shares(browser: Browser) -> dict[str, float]:
    """What Chromium's processes use from now on."""
    before = cpu_seconds(browser)
    await asyncio.sleep(CPU_SECONDS)
    after = cpu_seconds(browser)
    return {kind: (after[kind] - before[kind]) / CPU_SECONDS for kind in after if after[kind] - before[kind] > 0.01}


def cpu_seconds(browser: Browser) -> Counter[str]:
    """Since their start, by kind."""
    seconds: Counter[str] = Counter()
    for process in psutil.Process(browser.driver.service.process.pid).children(recursive=True):
        words = process.cmdline()
        kinds = [
            word.split("=")[1].split(".")[0] for word in words if word.startswith(("--type=", "--utility-sub-type="))
        ]
        times = process.cpu_times()
        seconds[kinds[-1] if kinds else "browser"] += times.user + times.system
    return seconds
