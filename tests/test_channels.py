"""Reading along with a speaker, through real sockets."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager

import pytest
from websockets.exceptions import InvalidStatus

from clients.connecting import parse
from clients.connection import connect
from streamer.access import Access, digest
from streamer.channels import MOST_UNREAD, Channels, Watcher
from streamer.events import Final, Partial, Word
from streamer.server import Server
from streamer.sessions import Limits
from streamer.wire import unnumbered
from tests.servers import (
    dialing,
    get,
    hear,
    hear_all,
    hear_until,
    running,
    say,
    speech,
    until,
    whole,
    words_of,
)


@asynccontextmanager
async def watching(here, channel="stage", **how):
    """A watcher who has been let in."""
    async with dialing(here.url, **how) as socket:
        await say(socket, "watch", channel=channel)
        assert await hear(socket) == {"type": "watching", "channel": channel}
        yield socket


@asynccontextmanager
async def speaking(here, **start):
    """A speaker who has been greeted."""
    async with dialing(here.url) as socket:
        await say(socket, "start", **start)
        assert (await hear(socket))["type"] == "ready"
        yield socket


async def test_all_watchers_read_what_is_said_from_now_on():
    audio = speech(2.5)
    async with running() as here, watching(here) as one, watching(here) as other, watching(here, "elsewhere") as third:
        talk = await whole(here.url, audio, channel="stage")
        read = [await hear_until(socket, "done") for socket in (one, other)]
        assert read[0] == read[1]
        assert read[0].texts == words_of(audio)
        said = [{name: value for name, value in message.items() if name != "seq"} for message in talk.messages]
        unread = [
            message for message in said if message["type"] not in ("ready", "ack") and message not in read[0].messages
        ]
        assert all(message["type"] == "partial" for message in unread), "partials may be skipped"
        await say(third, "stop")
        assert (await hear_all(third)).messages == [], "another channel"


async def test_words_are_left_out_where_the_speaker_wants_none():
    async with running() as here, watching(here) as watcher:
        await whole(here.url, speech(1), channel="stage", words=False)
        assert [final["words"] for final in (await hear_until(watcher, "done")).of("final")] == [[]]


async def test_a_channel_on_which_nobody_speaks_gives_signs_of_life(monkeypatch):
    monkeypatch.setattr("streamer.dialogue.BEAT_SECONDS", 0.01)
    async with running() as here, watching(here) as watcher, speaking(here, channel="stage"):
        for _ in range(3):
            assert await hear(watcher) == {"type": "watching", "channel": "stage"}
        here.worker.feeds[0].tell(Final(0, 0.0, 1.0, "words", ()))
        assert (await hear_until(watcher, "final")).texts == ["words"]


async def test_who_comes_in_the_middle_begins_with_what_stands():
    async with running() as here, speaking(here, channel="stage"):
        here.worker.feeds[0].tell(Partial(0, 0.0, 1.0, "half", " a senten"))
        await until(lambda: here.server.sessions.channels._channels["stage"].speakers[0].open)
        async with watching(here) as watcher:
            partial = await hear(watcher)
            assert (partial["committed"], partial["draft"]) == ("half", " a senten")
            here.worker.feeds[0].tell(Final(0, 0.0, 2.0, "half a sentence", ()))
            assert (await hear(watcher))["text"] == "half a sentence"
        async with watching(here) as late:
            here.worker.feeds[0].tell(Final(1, 2.0, 3.0, "more", ()))
            assert (await hear(late))["text"] == "more", "what is final was for those who were there"


async def test_nobody_is_read_who_named_no_channel():
    async with running() as here, watching(here) as watcher:
        await whole(here.url, speech(1))
        await whole(here.url, speech(1, seed=1), channel="stage")
        assert (await hear_until(watcher, "done")).texts == words_of(speech(1, seed=1))


async def test_the_newest_speaker_has_the_channel_and_gives_it_back():
    async with running() as here, watching(here) as watcher, speaking(here, channel="stage"):
        first = here.worker.feeds[0]
        async with speaking(here, channel="stage") as newer:
            first.tell(Final(0, 0.0, 1.0, "not this", ()))
            here.worker.feeds[1].tell(Final(0, 0.0, 1.0, "this", ()))
            await hear_until(newer, "final")
            await say(newer, "stop")
            await hear_all(newer)
        await until(lambda: here.sessions["connected"] == 1)
        first.tell(Final(1, 1.0, 2.0, "this again", ()))
        said = [await hear(watcher) for _ in range(3)]
        assert [message.get("text", message["type"]) for message in said] == ["this", "done", "this again"]


async def test_what_was_committed_of_the_older_speaker_becomes_final_when_a_newer_one_comes():
    async with running() as here, watching(here) as watcher, speaking(here, channel="stage"):
        here.worker.feeds[0].tell(Partial(0, 0.0, 1.0, "half a", " senten"))
        assert (await hear(watcher))["draft"] == " senten"
        async with speaking(here, channel="stage"):
            assert (await hear(watcher))["text"] == "half a"


@pytest.mark.parametrize(
    ("text", "words", "committed", "rest", "rest_of_words"),
    [
        ("half a sentence", ["half", "a", "sentence"], "half a", "sentence", ["sentence"]),
        ("[Speaker 1]: the quick fox", ["the", "quick", "fox"], "[Speaker 1]: the quick", "fox", ["fox"]),
        ("今日はいい天気", ["今日", "は", "いい", "天気"], "今日は", "いい天気", ["いい", "天気"]),
    ],
    ids=["English", "speakers", "Japanese"],
)
async def test_who_has_the_channel_again_in_the_midst_of_a_segment_says_nothing_twice(
    text, words, committed, rest, rest_of_words
):
    placed = tuple(Word(word, at, at + 0.5, 1.0) for at, word in enumerate(words))
    async with running() as here, watching(here) as watcher, speaking(here, channel="stage"):
        first = here.worker.feeds[0]
        first.tell(Partial(0, 0.0, 1.5, committed, " more"))
        await hear(watcher)
        async with speaking(here, channel="stage") as newer:
            assert (await hear(watcher))["text"] == committed
            await say(newer, "stop")
            await hear_until(watcher, "done")
            await hear_all(newer)
        await until(lambda: here.sessions["connected"] == 1)
        first.tell(Partial(0, 0.0, 2.5, committed, " more"))
        partial = await hear(watcher)
        assert (partial["start"], partial["committed"], partial["draft"]) == (1.5, "", " more")
        first.tell(Final(0, 0.0, 3.0, text, placed))
        final = await hear(watcher)
        assert (final["text"], [word["word"] for word in final["words"]]) == (rest, rest_of_words)
        first.tell(Final(1, 3.0, 4.0, text, placed))
        assert (await hear(watcher))["text"] == text, "the next segment is nobody's rest"


async def test_a_speaker_who_lost_the_connection_speaks_on_when_it_is_back():
    async with running() as here, watching(here) as watcher:
        async with dialing(here.url) as socket:
            await say(socket, "start", channel="stage")
            session = (await hear(socket))["session"]
            socket.transport.abort()
        async with dialing(here.url) as again:
            await say(again, "start", resume=session)
            await again.send(speech(1))
            await say(again, "stop")
            assert (await hear_all(again)).texts == (await hear_until(watcher, "done")).texts == words_of(speech(1))


@pytest.mark.parametrize("end", ["it breaks", "it leaves", "it is given up"])
async def test_of_a_speaker_who_is_gone_no_draft_stays(end):
    server = Server(limits=Limits(resume_seconds=0.01))
    async with running(server) as here, watching(here) as watcher, speaking(here, channel="stage") as speaker:
        feed = here.worker.feeds[0]
        feed.tell(Partial(0, 1.0, 2.0, "half", " a senten"))
        assert (await hear(watcher))["draft"] == " a senten"
        if end == "it breaks":
            feed.breaks()
        elif end == "it leaves":
            await speaker.close()
        else:
            speaker.transport.abort()
        final = {"type": "final", "segment": 0, "start": 1.0, "end": 2.0, "text": "half", "words": []}
        assert await hear(watcher) == final
        await here.emptied()
        await say(watcher, "stop")
        assert (await hear_all(watcher)).messages == [], "once"


async def test_a_watcher_that_does_not_read_is_cut_off_and_holds_up_nobody(monkeypatch):
    monkeypatch.setattr("streamer.channels.MOST_UNREAD_BYTES", 200_000)
    long = Final(0, 0.0, 1.0, "word " * 10_000, ())
    async with (
        running() as here,
        watching(here) as reader,
        watching(here, max_queue=1) as lazy,
        speaking(here, channel="stage"),
    ):
        lazy.transport.pause_reading()
        sent = 0
        while here.server.sessions.channels.watchers == 2:
            here.worker.feeds[0].tell(long)
            sent += 1
            assert (await hear(reader))["text"] == long.text, "the other watcher gets everything"
            assert sent < 1000, "buffers cannot be that large"
        lazy.transport.resume_reading()
        assert (await hear_all(lazy)).code == 1008


def test_an_unread_partial_makes_way_and_a_final_never():
    watcher = Watcher()
    texts = [f"{number}" for number in range(200)]
    for number, text in enumerate(texts):
        for event in (*(Partial(number, 0.0, 1.0, text, draft) for draft in "abc"), Final(number, 0.0, 1.0, text, ())):
            watcher.take(event, unnumbered(event))
    watcher.take(open_one := Partial(200, 0.0, 1.0, "open", ""), unnumbered(open_one))
    read = [json.loads(text) for text in iter(watcher.next, None)]
    assert [message.get("text") for message in read] == [*texts, None]
    assert watcher._unread_bytes == 0


def test_a_watcher_is_given_up_when_too_much_is_unread():
    watcher = Watcher()
    for number in range(MOST_UNREAD + 1):
        assert not watcher.behind.is_set()
        watcher.take(Final(number, 0.0, 1.0, "", ()), "{}")
    assert watcher.behind.is_set()
    assert watcher.next() is None, "nothing of it is kept"


def test_what_is_unread_is_counted_in_bytes_and_not_in_letters(monkeypatch):
    monkeypatch.setattr("streamer.channels.MOST_UNREAD_BYTES", 6)
    watcher = Watcher()
    watcher.take(Partial(0, 0.0, 1.0, "", ""), "日本")
    watcher.take(Partial(0, 0.0, 2.0, "", ""), "日本")
    assert watcher.next() == "日本"
    for _ in range(3):
        assert not watcher.behind.is_set()
        watcher.take(Final(0, 0.0, 3.0, "", ()), "日")
    assert watcher.behind.is_set()


NAMELESS = ("", "x" * 65, 3, ["stage"], "\ud800")


@pytest.mark.parametrize(
    ("kind", "channel"), [*((kind, name) for kind in ("watch", "start") for name in NAMELESS), ("watch", None)]
)
async def test_a_channel_has_a_name(kind, channel):
    async with running() as here, dialing(here.url) as socket:
        await say(socket, kind, channel=channel)
        talk = await hear_all(socket)
        assert talk.code == 1008
        assert talk.messages[0]["message"].endswith("it must be a text of 1 to 64 characters")


@pytest.mark.parametrize(
    "message", [b"\0\0", '{"type":"start"}', '{"type":"finalize"}', '{"type":"watch","channel":"a"}', "?"]
)
async def test_a_watcher_only_reads(message):
    async with running() as here, watching(here) as watcher:
        await watcher.send(message)
        talk = await hear_all(watcher)
        assert (talk.code, talk.messages[0]["code"]) == (1008, "bad_message")


async def test_watchers_are_let_in_counted_and_limited_like_others():
    token = "0123456789abcdef"
    async with running(Server(Access(frozenset([digest(token)]), most_connections=2))) as here:
        bearer = {"additional_headers": {"Authorization": f"Bearer {token}"}}
        with pytest.raises(InvalidStatus, match="401"):
            await watching(here).__aenter__()
        async with watching(here, **bearer), watching(here, **bearer):
            _, metrics = await get(here.port, "/metrics", Authorization=f"Bearer {token}")
            assert "granite_stream_watchers 2.0" in metrics
            with pytest.raises(InvalidStatus, match="429"):
                await watching(here, **bearer).__aenter__()


async def test_one_watcher_too_many_is_told_to_come_later(monkeypatch):
    monkeypatch.setattr("streamer.watching.MOST_WATCHERS", 1)
    async with running() as here, watching(here), dialing(here.url) as second:
        await say(second, "watch", channel="stage")
        assert (await hear_all(second)).code == 1013


async def test_nothing_is_kept_of_a_channel_that_all_have_left():
    async with running() as here:
        channels = here.server.sessions.channels
        async with watching(here), speaking(here, channel="other") as speaker:
            await say(speaker, "stop")
            await hear_all(speaker)
            await until(lambda: list(channels._channels) == ["stage"])
        await until(lambda: not channels._channels)
        async with dialing(here.url) as socket:
            await say(socket, "start", channel="stage", encoding="none")
            assert (await hear_all(socket)).code == 1008
        assert not channels._channels


async def test_the_client_of_this_package_speaks_on_a_channel():
    async with running() as here, watching(here) as watcher:
        async with connect(here.url, channel="stage") as captions:
            await captions.send(speech(1))
            await captions.stop()
            said = [event.text async for event in captions if isinstance(event, Final)]
        assert (await hear_until(watcher, "done")).texts == said == words_of(speech(1))


def test_the_command_takes_the_name_of_a_channel():
    assert parse(["ws://here", "talk.wav", "--channel", "stage"], print).choices["channel"] == "stage"
    complaints = []
    for wrong in ("", "x" * 65, "\udcff"):
        with pytest.raises(SystemExit):
            parse(["ws://here", "talk.wav", "--channel", wrong], complaints.append)
    assert all("it must be a text of 1 to 64 characters" in complaint for complaint in complaints)
    assert len(complaints) == 3


def test_who_comes_later_gets_what_nobody_has_read():
    channels = Channels()
    first = channels.speak("stage", True)
    first.say([Partial(0, 0.0, 1.0, "half a", "")])
    channels.fall_silent(channels.speak("stage", True))
    watcher = channels.watch("stage")
    first.say([Final(0, 0.0, 2.0, "half a sentence")])
    assert json.loads(watcher.next())["text"] == "half a sentence"


def test_who_comes_when_the_channel_is_anothers_gets_what_the_one_before_still_says():
    channels = Channels()
    early, first = channels.watch("stage"), channels.speak("stage", True)
    first.say([Partial(0, 0.0, 3.0, "half a", "")])
    channels.fall_silent(channels.speak("stage", True))
    first.say([Partial(0, 0.0, 4.0, "half a sen", "tence")])
    late = channels.watch("stage")
    assert json.loads(late.next())["committed"] == "sen"
    first.say([Final(0, 0.0, 2.5, "half a sentence")])  # it ends before what was said of it by then
    said = []
    while text := early.next():
        said.append(json.loads(text))
    assert said[-1]["start"] <= said[-1]["end"]
