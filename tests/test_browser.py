"""The pages in a real Chromium that hears a fake microphone, before a real daemon or one that keeps what it hears."""

from __future__ import annotations

import asyncio
import dataclasses
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import numpy as np
import pytest
import srt
import webvtt

from clients.subtitles import SubtitleWriter
from streamer.access import Access, digest
from streamer.events import Final, Partial, SpeechStarted, Word
from streamer.server import Server
from streamer.sessions import Limits
from streamer.sound.incoming import Incoming
from tests.browsers import RATE, STATUS, Browser, browsing, lacking
from tests.servers import (
    SECOND,
    FakeWorker,
    Running,
    Way,
    dialing,
    hear_until,
    running,
    say,
    speech,
    until,
    whole,
    words_of,
)
from tests.speaking import recording, service

TONE = 997  # Hz
TAB, ENTER, SPACE = "\ue004", "\ue007", "\ue00d"  # as WebDriver calls them
TOKEN = "0123456789abcdef"
LINK = "document.querySelector('#overlay a').href"  # to the overlay, on the page
SHOWN = "document.getElementById('text').textContent"  # on the overlay
IN_SIGHT = (
    "(([box, draft]) => draft.top >= box.top && draft.bottom <= box.bottom + 1)"
    "(['box', 'draft'].map(id => document.getElementById(id).getBoundingClientRect()))"
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if lack := lacking():
        pytest.skip(lack)
    with browsing() as one:
        yield one


class Keeper(FakeWorker):
    """Keeps what it hears, stream by stream."""

    def open(self, options, take):
        feed = super().open(options, take)
        feed.heard, feed.texts, push, tell = [], [], feed.push, feed.tell

        def keep(samples):
            feed.heard.append(samples)
            push(samples)

        def write_down(*events):
            feed.texts += [event.text for event in events if isinstance(event, Final)]
            tell(*events)

        feed.push, feed.tell = keep, write_down
        return feed

    def heard(self, feed: int = -1) -> np.ndarray:
        return np.concatenate(self.feeds[feed].heard)

    def said(self, feed: int = -1) -> list[str]:
        """The texts of a stream's finals."""
        return self.feeds[feed].texts


FORBIDDEN = """
Object.defineProperty(window, "sessionStorage", { get() { throw new DOMException("no", "SecurityError"); } });
"""


def tone(seconds: float) -> np.ndarray:
    """At the rate of the microphone, so that nothing resamples it before the page does."""
    return (0.5 * np.sin(2 * np.pi * TONE * np.arange(round(seconds * RATE)) / RATE)).astype(np.float32)


def heard_of(captured: bytes) -> np.ndarray:
    """What a stream hears of these samples of the microphone."""
    incoming = Incoming("pcm_s16le", RATE)
    return np.concatenate([incoming.feed(captured), incoming.finish()])


async def keep_captured(browser: Browser) -> None:
    """From now on the page keeps what its microphone gives: on a busy machine a fake microphone stutters by itself."""
    await browser.js(
        "import('/web/connection.js').then(({ Connection: { prototype } }) => {"
        "  const send = prototype.send;"
        "  window.captured = [];"
        "  prototype.send = function (samples) {"
        "    if (!this.stopping && !this.ended) window.captured.push(...samples);"
        "    return send.call(this, samples);"
        "  };"
        "})"
    )


async def captured(browser: Browser) -> bytes:
    """All of it, as the wire has it."""
    return np.array(await browser.js("window.captured"), "<i2").tobytes()


async def keep_tracks(browser: Browser) -> None:
    """From now on the page keeps what it was given to listen to."""
    await browser.js(
        "(() => {"
        "  const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);"
        "  window.tracks = [];"
        "  navigator.mediaDevices.getUserMedia = async (wanted) => {"
        "    const media = await ask(wanted);"
        "    tracks.push(media.getTracks()[0]);"
        "    return media;"
        "  };"
        "})()"
    )


async def keep_contexts(browser: Browser) -> None:
    """From now on the page keeps what its sound goes through."""
    await browser.js(
        "(() => { window.contexts = [];"
        "  window.AudioContext = class extends AudioContext {"
        "    constructor(wanted) { super(wanted); contexts.push(this); } }; })()"
    )


async def name_channel(browser: Browser, name: str) -> None:
    """As somebody would who types it."""
    await browser.js(
        "(() => { const field = document.getElementById('channel');"
        "  field.closest('details').open = true;"
        "  field.value = args[0]; field.dispatchEvent(new Event('input')); })()",
        name,
    )


@asynccontextmanager
async def opened(browser: Browser, here: Running | Way, path: str = "/") -> AsyncIterator[None]:
    """The page, as somebody sees it who was never there."""
    await browser.open(f"http://127.0.0.1:{here.port}{path}")
    await browser.js("sessionStorage.clear()")
    await browser.open(f"http://127.0.0.1:{here.port}{path}")
    try:
        yield
    finally:
        await browser.open("about:blank")


async def listen(browser: Browser, paragraphs: int) -> None:
    """Waits until so many segments stand on the page."""
    await browser.until("document.querySelectorAll('#captions p').length >= args[0]", paragraphs)


async def start(browser: Browser) -> None:
    await browser.click("#start")
    await browser.status("Listening.")


async def stop(browser: Browser) -> None:
    await browser.click("#start")
    await browser.status("Done.")


async def test_a_browser_that_keeps_nothing_of_sites_shows_captions_as_well(browser):
    browser.hears(tone(3), RATE)
    async with running(worker=Keeper()) as here, browser.beginning_with(FORBIDDEN):
        await browser.open(f"http://127.0.0.1:{here.port}/")
        await start(browser)
        await listen(browser, 1)
        await stop(browser)
        assert await browser.paragraphs() == here.worker.said()
        await browser.open("about:blank")


async def test_a_broken_connection_loses_no_sample(browser):
    browser.hears(tone(30), RATE)
    async with running(worker=Keeper()) as here, opened(browser, here):
        await keep_captured(browser)
        await start(browser)
        await listen(browser, 1)
        for connection in list(here.listener.connections):
            connection.transport.abort()
        await browser.status("What you say is kept. Reconnecting…")
        await browser.status("Listening.")
        await listen(browser, 3)
        await stop(browser)
        assert len(here.worker.feeds) == 1
        np.testing.assert_array_equal(here.worker.heard(), heard_of(await captured(browser)))
        assert await browser.paragraphs() == here.worker.said()


@pytest.mark.parametrize("gently", [True, False])
async def test_a_daemon_that_starts_again_gets_what_the_one_before_did_not_finish(browser, gently):
    browser.hears(tone(30), RATE)
    async with running(worker=Keeper()) as first, opened(browser, first):
        port = first.port
        await keep_captured(browser)
        await start(browser)
        await listen(browser, 1)
        # a segment begins within the pause that has ended the one before
        started = first.worker.feeds[0].heard_seconds - 0.25
        partial = Partial(99, started, started + 1, "stands until its words are said again", "")
        first.worker.feeds[0].tell(SpeechStarted(99, started), partial)
        await browser.until("document.getElementById('captions').textContent.includes('stands until')")
        if gently:
            first.server.sessions.drain()
            await first.emptied()
        first.listener.close(code=1012)
        await first.listener.wait_closed()
        await browser.status("Reconnecting…")
        before = await browser.paragraphs()
        if not gently:
            assert before.pop() == "stands until its words are said again"
        async with running(worker=Keeper(), port=port) as second:
            await browser.status("Listening.")
            await listen(browser, len(before) + 1)
            await stop(browser)
            assert await browser.paragraphs() == before + second.worker.said()
        sound = await captured(browser)
        ahead, behind = first.worker.heard(), second.worker.heard()
        # said anew: all that the first one had not finished, and not one sample of what it had
        finished = len(ahead) if gently else SECOND * len(before)
        at = 2 * RATE * finished // SECOND
        np.testing.assert_array_equal(behind, heard_of(sound[at:]))
        np.testing.assert_array_equal(ahead[:finished], heard_of(sound[:at] if gently else sound)[:finished])


GIVE_UP = """
import("/web/connection.js").then(({ Connection }) => {
  const send = Connection.prototype.send;
  Connection.prototype.send = function (samples) {
    Connection.prototype.send = send;
    send.call(this, samples);
    this.giveUpOldest();
  };
})"""


LOST_TWICE = """
(async () => {
  const { Connection } = await import("/web/connection.js");
  const open = new Set();
  window.WebSocket = class {
    static OPEN = 1;
    constructor() { open.add(this); }
    close() { open.delete(this); }
  };
  const answers = [];
  window.fetch = () => new Promise((answer) => answers.push(answer));
  const later = (ms) => new Promise((done) => setTimeout(done, ms));
  const connection = new Connection({ sampleRate: 1000 });
  for (let second = 0; second < 20; second++) connection.send(new Int16Array(1000));
  const { socket } = connection;
  open.delete(socket);
  socket.onclose({ code: 1006, reason: "" }); // the handshake failed: it is asked why
  connection.giveUpOldest();
  await later(500); // the next attempt has begun
  for (const answer of answers) answer({ ok: true, status: 200 });
  await later(1500);
  return open.size;
})()"""


async def test_a_loss_that_is_noticed_twice_is_mended_once(browser):
    async with running() as here, opened(browser, here):
        assert await browser.js(LOST_TWICE) == 1


async def test_what_was_committed_stays_when_its_sound_had_to_be_given_up(browser):
    browser.hears(tone(30), RATE)
    async with running(worker=Keeper()) as first, opened(browser, first):
        port = first.port
        await start(browser)
        await listen(browser, 1)
        first.worker.feeds[0].tell(SpeechStarted(99, 0.5), Partial(99, 0.5, 1.0, "promised", " and not"))
        await browser.until("document.getElementById('captions').textContent.includes('promised and not')")
        first.listener.close(code=1012)
        await first.listener.wait_closed()
        await browser.status("Reconnecting…")
        await browser.js(GIVE_UP)  # as if it were away for longer than sound is kept
        await browser.status("Sound older than")
        assert (await browser.paragraphs())[-1] == "promised"
        async with running(worker=Keeper(), port=port) as second:
            await browser.status("Listening.")
            await browser.until("document.getElementById('captions').children.length > 2")
            await stop(browser)
            assert (await browser.paragraphs())[1:] == ["promised", *second.worker.said()]


async def test_the_words_on_page_and_overlay_are_those_of_the_stream(browser, nano):
    browser.hears(recording(0))
    await browser.complaints()  # those of pages before this one
    async with service(nano) as here, dialing(f"{here.url}/v1/stream", seconds=240) as watcher:
        await say(watcher, "watch", channel="stage left")
        address = f"http://127.0.0.1:{here.port}"
        async with opened(browser, here), browser.tab(f"{address}/overlay?channel=stage%20left&hide=0") as overlay:
            await browser.click("summary")
            await browser.click("#channel")
            await browser.type("stage left")
            assert await browser.js(LINK) == f"{address}/overlay?channel=stage%20left"
            await start(browser)
            await browser.until("document.querySelector('.draft:not(:empty)')")
            await browser.until("captions.textContent.split(' ').length > 7")
            await stop(browser)
            said = (await hear_until(watcher, "done")).texts
            assert await browser.paragraphs() == said
            assert len(" ".join(said).split()) > 5
            async with overlay():
                shown = await browser.js(SHOWN)
                assert " ".join(said).endswith(shown.strip())
                assert len(shown) > 10
        assert await browser.complaints() == [], "neither an error nor a breach of the policy"


async def test_an_overlay_finds_back_to_its_channel_and_says_what_is_wrong_only_before(browser):
    notice = "document.getElementById('notice')"
    said = f"!{notice}.hidden && {notice}.textContent"
    async with running(Server(Access(frozenset([digest(TOKEN)])))) as first:
        port = first.port
        async with opened(browser, first, "/overlay"):
            assert "Name a channel" in await browser.until(said)
        async with opened(browser, first, "/overlay?channel=a#token=not-that-one-of-the-server"):
            assert "does not know this one" in await browser.until(said)
        await browser.open(f"http://127.0.0.1:{port}/overlay?channel=a&hide=0#token={TOKEN}")
        assert "Waiting for somebody to speak on a." in await browser.until(said)
    shown = []
    for seed in range(2):  # each is another daemon on the same port
        async with running(port=port) as here:
            await until(lambda: here.server.sessions.channels.watchers)
            await whole(here.url, speech(1, seed), channel="a")
            shown += words_of(speech(1, seed))
            await browser.until(f"{SHOWN} === args[0]", " ".join(shown))
    assert await browser.js(f"{notice}.hidden"), "on a picture that others see stand captions and nothing else"
    await browser.open("about:blank")


async def test_an_overlay_that_comes_back_in_the_next_segment_shows_it_from_its_beginning(browser):
    async with running() as here, opened(browser, here, "/overlay?channel=a"), dialing(here.url) as speaker:
        await say(speaker, "start", channel="a")
        await until(lambda: here.server.sessions.channels.watchers and here.worker.feeds)
        tell = here.worker.feeds[0].tell
        tell(Partial(0, 0.0, 5.0, "more" + " than has room here" * 30, " and a draft"))
        await browser.until(f"{SHOWN}.endsWith('and a draft')")
        for connection in list(here.listener.connections):
            connection.transport.abort()
        tell(SpeechStarted(1, 6.0), Partial(1, 6.0, 8.0, "hello everybody", " and welcome"))
        await browser.until(f"{SHOWN}.endsWith('than has room here hello everybody and welcome')")
        assert await browser.js(IN_SIGHT)


async def test_an_overlay_leaves_a_dead_connection_and_none_on_which_nobody_speaks(browser, monkeypatch):
    monkeypatch.setattr("streamer.dialogue.BEAT_SECONDS", 0.1)
    async with running() as here, Way(here.port).open() as way, browser.hurried():
        await browser.open(f"http://127.0.0.1:{way.port}/overlay?channel=a&hide=0")
        watchers = here.server.sessions.channels._channels
        await until(lambda: "a" in watchers)
        there = list(watchers["a"].watchers)
        await browser.js("new Promise(done => setTimeout(done, 30000))")
        assert list(watchers["a"].watchers) == there
        way.kill()
        await until(lambda: len(watchers["a"].watchers) == 2)
        await whole(here.url, speech(1), channel="a")
        await browser.until(f"{SHOWN} === args[0]", " ".join(words_of(speech(1))))
        await browser.open("about:blank")


async def test_an_overlay_says_that_too_many_read_along_and_tries_again(browser, monkeypatch):
    monkeypatch.setattr("streamer.watching.MOST_WATCHERS", 0)
    async with running() as here:
        await browser.open(f"http://127.0.0.1:{here.port}/overlay?channel=a")
        notice = "document.getElementById('notice').textContent.includes(args[0])"
        await browser.until(notice, "The server says: try again later: 0 connections read along already. Trying again")
        monkeypatch.undo()
        await browser.until(notice, "Waiting for somebody to speak on a.")
        await browser.open("about:blank")


async def test_an_overlay_says_that_a_token_cannot_be_one(browser):
    async with running() as here:
        await browser.open(f"http://127.0.0.1:{here.port}/overlay?channel=a#token=no(token)of-any-server")
        await browser.until("document.getElementById('notice').textContent.includes('does not know this one')")
        await browser.open("about:blank")


async def test_a_handshake_that_hangs_is_given_up(browser):
    browser.hears(tone(60), RATE)
    async with (
        running(worker=Keeper()) as here,
        Way(here.port).open() as way,
        browser.hurried(),
        opened(browser, way),
    ):
        way.blocked = True
        await browser.click("#start")
        await browser.status("cannot be reached")
        way.blocked = False
        await start(browser)
        await listen(browser, 1)
        way.blocked, before = True, way.connections
        way.kill()
        await browser.status("Reconnecting…")
        await until(lambda: way.connections > before)
        way.blocked = False  # for others than the one that hangs
        await browser.status("Listening.")
        await stop(browser)
        assert await browser.paragraphs() == here.worker.said()
        assert len(here.worker.feeds) == 1


async def test_a_token_is_asked_for_and_stays_out_of_the_address(browser):
    browser.hears(tone(2), RATE)
    async with running(Server(Access(frozenset([digest(TOKEN)])))) as here, opened(browser, here):
        await browser.click("#start")
        await browser.status("This server asks for a token.")
        await browser.type("a-wrong-one-of-some-length", ENTER)
        await browser.status("does not know this one")
        await name_channel(browser, "stage")
        await browser.js("document.getElementById('token').value = ''")
        await browser.type(TOKEN, ENTER)
        await browser.status("Listening.")
        assert await browser.js("document.getElementById('access').hidden")
        assert await browser.js(LINK) == f"http://127.0.0.1:{here.port}/overlay?channel=stage#token={TOKEN}"
        await browser.click("#copy")
        await browser.until("document.getElementById('copied').textContent === 'Copied, with the token in it.'")
        assert await browser.js(STATUS) == "Listening.", "what goes on is said all the time"
        await browser.js("void Object.defineProperty(navigator, 'clipboard', {})")  # as at http:// of another machine
        await browser.click("#copy")
        await browser.until("document.getElementById('copied').textContent.includes('right click')")
        assert TOKEN not in await browser.js("location.href + document.cookie + JSON.stringify({...localStorage})")
        await stop(browser)


async def test_what_hinders_is_said(browser):
    async with running() as here, opened(browser, here):
        await browser.permit("denied")
        await browser.click("#start")
        await browser.status("not allowed to use the microphone")
        await browser.permit("granted")
        none = "Promise.reject(new DOMException('', 'NotFoundError'))"  # this browser always has one
        await browser.js(f"void (navigator.mediaDevices.getUserMedia = () => {none})")
        await browser.click("#start")
        await browser.status("No microphone was found")
        here.server.health.draining = True
        await browser.click("#start")
        await browser.status("about to stop")
        here.listener.close()
        await here.listener.wait_closed()
        await browser.click("#start")
        await browser.status("cannot be reached")


async def test_a_microphone_that_vanishes_is_waited_for_and_no_word_is_lost(browser):
    browser.hears(tone(60), RATE)
    async with running(worker=Keeper()) as here, opened(browser, here):
        await keep_tracks(browser)
        await start(browser)
        await listen(browser, 1)
        # this browser's microphone cannot be pulled out: the page is told so, as it would be
        await browser.js("void (navigator.mediaDevices.enumerateDevices = async () => [])")
        await browser.js("void tracks[0].dispatchEvent(new Event('ended'))")
        await browser.status("The microphone is gone. Plug it in again, or choose another one.")
        # silence stands for it: times stay those of the clock
        await until(lambda: not here.worker.heard()[-SECOND:].any())
        said = here.worker.said()
        assert (await browser.paragraphs())[: len(said)] == said
        assert await browser.js("tracks.map(track => track.readyState)") == ["ended"]
        await browser.js("delete navigator.mediaDevices.enumerateDevices")
        await browser.status("Listening.")
        await until(lambda: here.worker.heard()[-SECOND:].any())
        assert await browser.js("tracks.map(track => track.readyState)") == ["ended", "live"]
        await stop(browser)
        assert len(here.worker.feeds) == 1, "one stream, whatever happened to the microphone"
        assert await browser.paragraphs() == here.worker.said()


async def test_another_microphone_can_be_chosen_while_it_listens(browser):
    browser.hears(tone(60), RATE)
    async with running(worker=Keeper()) as here, opened(browser, here):
        await keep_tracks(browser)
        await start(browser)
        await browser.until("document.querySelectorAll('#microphone option').length > 2")
        await listen(browser, 1)
        await browser.js(
            "(() => { const select = document.getElementById('microphone');"
            "  select.selectedIndex = 2; select.dispatchEvent(new Event('change')); })()"
        )
        before = len(here.worker.said())
        await browser.status("Listening.")
        await listen(browser, before + 2)
        await stop(browser)
        assert len(here.worker.feeds) == 1
        assert await browser.paragraphs() == here.worker.said()
        chosen = await browser.js("document.getElementById('microphone').value")
        assert await browser.js("tracks.map(track => track.getSettings().deviceId)") == ["default", chosen]


async def test_who_starts_twice_at_once_has_one_microphone_and_one_stream(browser):
    browser.hears(tone(10), RATE)
    async with running(worker=Keeper()) as here, opened(browser, here):
        await keep_tracks(browser)
        await browser.js("void [1, 2].forEach(() => document.getElementById('access').requestSubmit())")
        await browser.status("Listening.")
        await browser.js("void document.getElementById('access').requestSubmit()")
        await listen(browser, 1)
        await stop(browser)
        assert await browser.js("tracks.map(track => track.readyState)") == ["ended"]
        assert len(here.worker.feeds) == 1


async def test_what_is_said_is_so_whatever_happened_last(browser):
    browser.hears(tone(60), RATE)
    async with running() as here, opened(browser, here):
        await start(browser)
        here.server.health.draining = True
        for connection in list(here.listener.connections):
            connection.transport.abort()
        await browser.status("What you say is kept. Reconnecting…")
        await browser.click("#mute")
        assert await browser.js("document.getElementById('mute').ariaPressed") == "true"
        assert "Reconnecting…" in await browser.js(STATUS), "muted as well, but nobody listens"
        here.server.health.draining = False
        await browser.status("Muted.")
        await browser.click("#mute")
        await browser.status("Listening.")
        await stop(browser)


async def test_a_microphone_that_the_browser_pauses_goes_on_or_is_said_to_be_paused(browser):
    browser.hears(tone(60), RATE)
    async with running() as here, opened(browser, here):
        await keep_contexts(browser)
        await start(browser)
        await browser.js("contexts[0].suspend().then(() => 'paused')")
        await browser.until("contexts[0].state === 'running'")
        await browser.status("Listening.")
        await browser.js("void (contexts[0].resume = () => Promise.reject(new Error('a call')))")
        await browser.js("contexts[0].suspend().then(() => 'paused')")
        await browser.status("The browser has paused the microphone.")
        await browser.js("delete contexts[0].resume && contexts[0].resume().then(() => 'on')")
        await browser.status("Listening.")
        await stop(browser)


async def test_a_permission_that_is_taken_back_ends_it_and_says_so(browser):
    browser.hears(tone(60), RATE)
    async with running(worker=Keeper()) as here, opened(browser, here):
        await start(browser)
        await listen(browser, 1)
        await browser.permit("denied")
        try:
            await browser.status("not allowed to use the microphone")
            await browser.until("!document.getElementById('start').disabled")
            assert await browser.paragraphs() == here.worker.said()
        finally:
            await browser.permit("granted")
        await start(browser)
        await stop(browser)


async def test_words_that_stood_committed_stay_when_the_stream_is_lost(browser):
    browser.hears(tone(10), RATE)
    async with running(worker=Keeper()) as here, opened(browser, here):
        await start(browser)
        here.worker.feeds[0].tell(Partial(0, 0.0, 1.0, "these stay", " and these"))
        await browser.until("document.querySelector('.draft:not(:empty)')")
        (session,) = here.server.sessions._entries
        async with dialing(here.url) as thief:
            await say(thief, "start", resume=session)
            await browser.status("This stream goes on in another place.")
        assert (await browser.paragraphs())[-1] == "these stay"
        assert (await browser.saved("txt")).read_text().splitlines()[-1] == "these stay"


async def test_a_full_server_is_waited_for(browser):
    browser.hears(tone(10), RATE)
    async with (
        running(Server(limits=Limits(most_sessions=1, resume_seconds=0.1)), Keeper()) as here,
        opened(browser, here),
    ):
        async with dialing(here.url) as other:
            await say(other, "start")
            await hear_until(other, "ready")
            await browser.click("#start")
            await browser.status("try again later: all 1 sessions are taken")
        await browser.status("Listening.")
        await listen(browser, 1)
        await stop(browser)


async def test_a_keyboard_is_enough(browser):
    browser.hears(tone(10), RATE)
    async with running() as here, opened(browser, here):
        await browser.type(TAB)
        await browser.type(ENTER)
        await browser.status("Listening.")
        await browser.type(TAB)
        await browser.type(SPACE)
        await browser.status("Muted.")
        assert await browser.js("document.activeElement.ariaPressed") == "true"
        await browser.type(SPACE)
        await browser.status("Listening.")
        await browser.until("!document.querySelector('[data-save]').disabled")
        order = []
        for _ in range(6):
            await browser.type(TAB)
            order.append(
                await browser.js("[document.activeElement].map(e => e.id || e.dataset.save || e.localName)[0]")
            )
        assert order == ["microphone", "captions", "txt", "srt", "vtt", "summary"]
        await browser.js("document.getElementById('start').focus()")
        await browser.type(SPACE)
        await browser.status("Done.")


async def test_captions_stay_at_their_end_whatever_becomes_of_the_page_until_somebody_moves_up(browser):
    browser.hears(tone(20), RATE)
    left = "[captions].map(c => c.scrollHeight - c.scrollTop - c.clientHeight)[0]"
    async with running() as here, opened(browser, here):
        await browser.js(
            "import('/web/captions.js').then(({ SegmentView }) => { for (let i = 0; i < 40; i++) {"
            " const view = new SegmentView(); captions.append(view.element); view.show('words '.repeat(30), ''); } })"
        )
        await browser.type(TAB)
        await browser.type(ENTER)
        segments = "captions.children.length"
        await browser.until(f"{segments} > 40 && {left} < 5")
        await browser.js("captions.style.maxHeight = '120px'")
        await browser.until(f"captions.clientHeight < 130 && {segments} > 42 && {left} < 5")
        await browser.js("captions.style.maxWidth = '200px'")
        await browser.until(f"captions.clientWidth < 210 && {segments} > 44 && {left} < 5")
        await browser.js("captions.scrollTop = 100")
        await browser.until(f"{segments} > 46")
        assert await browser.js("captions.scrollTop") == 100, "whoever reads is left alone"


async def test_a_screen_reader_hears_of_committed_words_only(browser):
    async with running() as here, opened(browser, here):
        await browser.js(
            "import('/web/captions.js').then(({ SegmentView }) => { const view = new SegmentView();"
            " document.getElementById('captions').append(view.element); view.show('settled words', ' doubtful'); })"
        )
        tree = (await browser.devtools("Accessibility.getFullAXTree"))["nodes"]
        spoken = [node["name"]["value"] for node in tree if not node["ignored"] and node.get("name", {}).get("value")]
        assert "settled words" in spoken
        assert not any("doubtful" in text for text in spoken)
        logs = [node for node in tree if node.get("role", {}).get("value") == "log"]
        assert [node["name"]["value"] for node in logs] == ["Captions"]
        assert [node["role"]["value"] for node in tree].count("main") == 1


async def test_a_reload_keeps_the_transcript_and_a_second_start_goes_on_behind_it(browser):
    browser.hears(tone(10), RATE)
    async with running() as here, opened(browser, here):
        await start(browser)
        await listen(browser, 1)
        await stop(browser)
        first = await browser.paragraphs()
        await browser.open(f"http://127.0.0.1:{here.port}/")
        assert await browser.paragraphs() == first
        await start(browser)
        await listen(browser, len(first) + 1)
        await stop(browser)
        both = await browser.paragraphs()
        assert both[: len(first)] == first
        cues = list(srt.parse((await browser.saved("srt")).read_text()))
        assert [cue.content for cue in cues] == both
        assert [caption.text for caption in webvtt.read(await browser.saved("vtt"))] == both
        assert (await browser.saved("txt")).read_text().splitlines() == both
        places = [place for cue in cues for place in (cue.start, cue.end)]
        assert places == sorted(places), "the second start counts on from where the first one ended"
        await browser.click("#clear")
        await browser.until("document.querySelectorAll('#captions p').length === 0")
        await browser.open(f"http://127.0.0.1:{here.port}/")
        assert await browser.paragraphs() == []


async def test_a_reload_keeps_what_was_committed_and_the_time_that_was_heard(browser):
    browser.hears(tone(20), RATE)
    elapsed = "document.getElementById('elapsed').textContent"
    async with running() as here, opened(browser, here):
        await start(browser)
        await listen(browser, 1)
        here.worker.roomy.clear()  # no more finals
        await asyncio.sleep(0.5)  # but what one more piece brings
        feed = here.worker.feeds[0]
        said = feed.segments
        feed.tell(Partial(said, said + 0.0, said + 1.0, "promised words", " and doubtful ones"))
        await browser.until("captions.textContent.includes('doubtful')")
        before = await browser.paragraphs()
        kept = [*before[:-1], "promised words"]
        assert (await browser.saved("txt")).read_text().splitlines() == kept
        await browser.until(f"{elapsed} >= '0:04'")
        await browser.open(f"http://127.0.0.1:{here.port}/")
        assert await browser.paragraphs() == kept
        assert await browser.js(elapsed) >= "0:04"


async def test_the_page_says_when_a_reload_would_lose_what_comes_now(browser):
    browser.hears(tone(5), RATE)
    async with running() as here, opened(browser, here):
        await browser.js("Storage.prototype.setItem = () => { throw new DOMException('', 'QuotaExceededError'); }")
        await browser.click("#start")
        await browser.status("this tab can keep no more")
        await listen(browser, 2)
        await stop(browser)


async def test_subtitles_of_the_page_are_those_of_the_command(browser):
    chance = random.Random(5)
    talk = [spoken(chance, start=10.0 * index) for index in range(60)]
    given = [dataclasses.asdict(final) for final in talk]
    async with running() as here, opened(browser, here):
        for kind in ("srt", "vtt"):
            writer = SubtitleWriter(kind)
            expected = "".join(map(writer.add, talk)) + writer.finish(600.0)
            assert (
                await browser.js(f"import('/web/subtitles.js').then(({{ {kind} }}) => {kind}(args[0]))", given)
                == expected
            )


def spoken(chance: random.Random, start: float) -> Final:
    """A final with pauses, sentence ends, long words, odd characters, turns of speakers, or without spaces."""
    words, at = [], start
    letters_of, speakers = chance.choice(
        [("abcdef<&>ü🎈", [None]), ("今日はとても、天気ー", [None]), ("abc", [None, 1, 1, 2])]
    )
    for _ in range(chance.randint(0, 24)):
        letters = "".join(chance.choices(letters_of, k=chance.choice([1, 3, 5, 8, 50])))
        end = round(at + 0.002 * chance.randint(25, 150), 3)
        words.append(Word(letters + chance.choice(["", "", "", ".", ","]), at, end, 1.0, chance.choice(speakers)))
        at = round(end + chance.choice([0.0, 0.05, 0.25, 0.6, 1.2]), 3)
    kept = tuple(words) if chance.random() < 0.8 else ()
    # so that no half of a millisecond is rounded: Python and JavaScript do not agree on that
    return Final(0, start, at if kept else start + 0.12 * len(words), " ".join(word.word for word in words), kept)


ROLLING = """
(async () => {
  const { Roll } = await import("/web/roll.js");
  const [roll, committed, draft] = ["roll", "committed", "draft"].map((id) => document.getElementById(id));
  const view = new Roll(roll, committed, draft, 2);
  const box = document.getElementById("box").getBoundingClientRect();
  const faults = [];
  let [gone, places, most] = [0, new Map(), 0];
  for (const [text, guess] of args[0]) {
    gone += view.show(text.slice(gone), guess);
    if (committed.textContent !== text.slice(gone)) faults.push(`lost at ${text.length}`);
    most = Math.max(most, roll.getBoundingClientRect().height);
    for (let at = gone; at < text.length; at++) {
      const range = document.createRange();
      range.setStart(committed.firstChild, at - gone);
      range.setEnd(committed.firstChild, at - gone + 1);
      const { left, top } = range.getBoundingClientRect();
      const [x, y] = places.get(at) ?? [left, top];
      const fell = top > y && y > box.top; // it was in sight
      if (text[at] !== " " && (x !== left || fell)) faults.push(`${at} moved from ${x},${y} to ${left},${top}`);
      places.set(at, [left, top]);
    }
  }
  return [faults.slice(0, 3), gone, most];
})()
"""


async def test_no_committed_word_of_the_overlay_moves_but_upwards(browser):
    chance = random.Random(7)
    words = ["".join(chance.choices("abcdefgh", k=chance.randint(1, 11))) for _ in range(150)]
    steps, at = [], 0
    while at < len(words):
        at += chance.randint(0, 3)
        guess = "".join(f" {word}" for word in chance.choices(words, k=chance.randint(0, 9)))
        steps.append([" ".join(words[:at]), guess if at else guess.strip()])
    async with running() as here, opened(browser, here, "/overlay"):
        faults, gone, most = await browser.js(ROLLING, steps)
        assert faults == []
        assert gone > 500, "what has rolled out of sight is forgotten"
        assert most < 700, "so the page does not grow"
