"""The Wyoming protocol: the client of its own package against a port of its own."""

import asyncio
import json
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import pytest
from wyoming.asr import Transcribe, Transcript, TranscriptChunk
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.client import AsyncTcpClient
from wyoming.error import Error
from wyoming.info import Describe, Info
from wyoming.ping import Ping, Pong

from streamer import Engine
from streamer.access import Access
from streamer.commands.serving import parse
from streamer.dialects.wyoming import listening
from streamer.events import Final
from streamer.server import Limits, Server
from streamer.worker import Worker
from tests.conftest import pcm
from tests.servers import running, speech, until, whole, words_of

FORMAT = {"rate": 16_000, "width": 2, "channels": 1}


@asynccontextmanager
async def wyoming(here):
    """A port beside a running server; gives a way to connect to it."""
    server = here.server
    async with listening("127.0.0.1", 0, server.sessions, server.access) as listener:
        port = listener.sockets[0].getsockname()[1]

        @asynccontextmanager
        async def connection():
            async with asyncio.timeout(60), AsyncTcpClient("127.0.0.1", port) as client:
                yield client

        yield connection


async def send(client, audio, piece_bytes=2048, **format_):
    """A whole recording, as Home Assistant sends it."""
    await client.write_event(AudioStart(**{**FORMAT, **format_}).event())
    for at in range(0, len(audio), piece_bytes):
        await client.write_event(AudioChunk(audio=audio[at : at + piece_bytes], **{**FORMAT, **format_}).event())
    await client.write_event(AudioStop().event())


async def until_stop(client):
    """Everything that belongs to one transcript."""
    events = []
    while not events or events[-1].type not in ("transcript-stop", "error"):
        events.append(await client.read_event())
        assert events[-1], "the connection ended early"
    return events


def transcript(events):
    (only,) = [Transcript.from_event(event).text for event in events if Transcript.is_type(event.type)]
    return only


def chunks(events):
    return [TranscriptChunk.from_event(event).text for event in events if TranscriptChunk.is_type(event.type)]


async def drain_amid(here, client, audio):
    """The service ends once a client has said this."""
    await client.write_event(AudioStart(**FORMAT).event())
    await client.write_event(AudioChunk(audio=audio, **FORMAT).event())
    await until(lambda: here.worker.feeds and here.worker.feeds[0].pieces)
    here.server.sessions.drain()


async def refused(client):
    """The error that ends a connection."""
    error = Error.from_event(await client.read_event())
    assert await client.read_event() is None
    return error


@pytest.mark.usefixtures("nothing_promised")
async def test_what_is_written_is_what_the_native_protocol_writes(nano, talk):
    audio = pcm(talk.samples[: 12 * 16_000])
    async with Worker(Engine(nano)) as worker, running(Server(), worker, "nano") as here:
        expected = " ".join((await whole(here.url, audio)).texts)
        async with wyoming(here) as connection, connection() as client:
            await send(client, audio)
            events = await until_stop(client)
    assert transcript(events) == "".join(chunks(events)) == expected


async def test_one_connection_gets_one_transcript_after_another():
    first, second = speech(2.5, seed=1), speech(1, seed=2)
    async with running() as here, wyoming(here) as connection, connection() as client:
        for audio in (first, second):
            await client.write_event(Transcribe(language="en-US", transcript_names=["Ada"]).event())
            await send(client, audio)
            events = await until_stop(client)
            assert [event.type for event in (events[0], *events[-2:])] == [
                "transcript-start",
                "transcript",
                "transcript-stop",
            ]
            assert transcript(events) == "".join(chunks(events)) == " ".join(words_of(audio))
        assert [feed.options.wish.keywords for feed in here.worker.feeds] == [("Ada",), ("Ada",)]
        assert here.worker.feeds[0].options.wish.language == "en"
        assert all(feed.dropped for feed in here.worker.feeds)


async def test_what_is_committed_comes_while_somebody_speaks():
    async with running() as here, wyoming(here) as connection, connection() as client:
        await client.write_event(AudioStart(**FORMAT).event())
        await client.write_event(AudioChunk(audio=speech(1), **FORMAT).event())
        assert (await client.read_event()).type == "transcript-start"
        assert (await client.read_event()).type == "transcript-chunk"


async def test_silence_is_an_empty_transcript():
    async with running() as here, wyoming(here) as connection, connection() as client:
        await send(client, b"")
        assert transcript(await until_stop(client)) == ""


async def test_it_describes_itself():
    async with running() as here, wyoming(here) as connection, connection() as client:
        here.server.sessions.languages = ("en", "de")
        await client.write_event(Describe().event())
        (program,) = Info.from_event(await client.read_event()).asr
        assert program.supports_transcript_streaming
        assert [(model.name, model.languages) for model in program.models] == [("fake", ["en", "de"])]
        await client.write_event(Ping("x").event())
        assert Pong.from_event(await client.read_event()).text == "x"
        await client.write_event(Ping().event())
        assert Pong.from_event(await client.read_event()).text is None


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"{\n", "not JSON"),
        (b"[]\n", "it must be an object"),
        (b'{"type": 1}\n', "type is 1; it must be a text"),
        (b'{"type": "audio-chunk", "payload_length": 99999999}\n', "at most 1048576 bytes are read"),
        (b'{"type": "audio-chunk", "payload_length": -1}\n', "payload_length is -1"),
        (b'{"type": "audio-start", "data": {"width": 3}}\n', "width is 3; it must be 2 bytes a sample"),
        (b'{"type": "audio-start", "data": {"rate": 5}}\n', "sample_rate is 5; it must lie between"),
        (b'{"type": "transcribe", "data": {"language": "xx"}}\n', "xx"),
        (b"x" * 70_000 + b"\n", "the line is too long"),
        (b'{"type": "ping", "data": {"text": "\\ud800"}}\n', "text is"),
        (b'{"type": "ping", "data": {"text": ' + b"[" * 700 + b"]" * 700 + b"}}\n", "text is"),
        (b'{"type": "audio-start"}\n{"type": "audio-chunk", "data": {"rate": 8000}}\n', "it began with 16000"),
    ],
)
async def test_what_is_wrong_is_said(line, said):
    async with running() as here, wyoming(here) as connection, connection() as client:
        client._writer.write(line)
        assert said in (await refused(client)).text
        await until(lambda: not here.server.access._connections)


async def test_who_cannot_be_taken_is_told_so():
    server = Server(access=Access(most_connections=1), limits=Limits(most_sessions=1))
    async with running(server) as here, wyoming(here) as connection:
        async with connection() as first, connection() as second:
            await first.write_event(Describe().event())
            await first.read_event()
            assert "at most 1 connections from one address" in (await refused(second)).text
        await until(lambda: not server.access._connections)
        here.worker.refuses = "this machine is busy"
        async with connection() as client:
            await client.write_event(AudioStart(**FORMAT).event())
            assert "this machine is busy" in (await refused(client)).text
        server.health.loading = True
        async with connection() as client:
            assert "loading" in (await refused(client)).text


async def test_nothing_is_kept_of_a_client_that_has_left():
    async with running() as here, wyoming(here) as connection:
        async with connection() as client:
            await client.write_event(AudioStart(**FORMAT).event())
            await client.write_event(AudioChunk(audio=speech(0.5), **FORMAT).event())
            await until(lambda: here.worker.feeds and here.worker.feeds[0].pieces)
        await here.emptied()
        assert here.worker.feeds[0].dropped


async def test_who_says_nothing_for_long_is_left():
    impatient = Server(limits=Limits(idle_seconds=0.1))
    async with running(impatient) as here, wyoming(here) as connection, connection() as client:
        assert "nothing came for 0.1 s" in (await refused(client)).text


async def test_who_does_not_read_is_left(monkeypatch):
    monkeypatch.setattr("streamer.dialogue.SLOW_SECONDS", 0.2)
    monkeypatch.setattr("streamer.dialects.wyoming.CLOSE_SECONDS", 0.2)
    async with running() as here, wyoming(here) as connection, connection() as client:
        await client.write_event(AudioStart(**FORMAT).event())
        client._reader._transport.pause_reading()
        with suppress(ConnectionError):
            for _ in range(60):
                client._writer.writelines([b'{"type": "describe"}\n'] * 1000)
                await asyncio.sleep(0)
        await here.emptied()
        await until(lambda: not here.server.access._connections)


async def test_a_stream_that_breaks_ends_its_connection():
    async with running() as here, wyoming(here) as connection, connection() as client:
        await client.write_event(AudioStart(**FORMAT).event())
        await until(lambda: here.worker.feeds)
        here.worker.feeds[0].breaks()
        assert (await refused(client)).text == "this stream broke"
        await here.emptied()


async def test_a_service_that_ends_gives_what_it_has_but_no_transcript_of_half_a_command():
    audio = speech(1.5)
    async with running() as here, wyoming(here) as connection, connection() as client:
        await drain_amid(here, client, audio)
        *events, last = await until_stop(client)
        assert "".join(chunks(events)) == " ".join(words_of(audio))
        assert not any(Transcript.is_type(event.type) for event in events)
        assert "restarting" in Error.from_event(last).text
        await here.emptied()


async def test_a_service_that_ends_is_read_also_by_who_goes_on_speaking():
    audio = speech(1.5)
    async with running() as here, wyoming(here) as connection, connection() as client:
        await drain_amid(here, client, audio)
        for _ in range(200):
            await client.write_event(AudioChunk(audio=bytes(2048), **FORMAT).event())
            await asyncio.sleep(0.002)
        assert "".join(chunks(await until_stop(client))) == " ".join(words_of(audio))


async def test_when_the_port_ends_so_do_its_connections():
    async with running() as here:
        async with wyoming(here) as connection, AsyncExitStack() as left_open:
            idle, speaking = [await left_open.enter_async_context(connection()) for _ in range(2)]
            await speaking.write_event(AudioStart(**FORMAT).event())
            await until(lambda: here.worker.feeds)
            ends = [asyncio.create_task(client.read_event()) for client in (idle, speaking)]
            left_open.pop_all()
        assert await asyncio.gather(*ends) == [None, None]
        await here.emptied()


async def test_more_words_to_expect_than_fit_are_no_mistake():
    names = [f"somebody number {number}" for number in range(200)]
    async with running() as here, wyoming(here) as connection, connection() as client:
        await client.write_event(Transcribe(language="en", transcript_names=names).event())
        await send(client, speech(1))
        await until_stop(client)
        taken = here.worker.feeds[0].options.wish.keywords
    assert 10 < len(taken) < 40
    assert list(taken) == names[: len(taken)]


@pytest.mark.parametrize("wrong", [OSError, RuntimeError])
async def test_nothing_is_kept_of_a_connection_that_cannot_be_written_to(monkeypatch, wrong):
    async with running() as here, wyoming(here) as connection, connection() as client:
        await client.write_event(AudioStart(**FORMAT).event())
        await until(lambda: here.worker.feeds)

        async def fails(*_):
            raise wrong("no route to host, or a mistake of ours")

        monkeypatch.setattr("streamer.dialects.wyoming.Pipe.send", fails)
        await client.write_event(AudioStop().event())
        await here.emptied()
        await until(lambda: not here.server.access._connections)


async def test_a_long_transcript_can_be_read():
    text = "word " * 20_000
    async with running() as here, wyoming(here) as connection, connection() as client:
        await client.write_event(AudioStart(**FORMAT).event())
        await until(lambda: here.worker.feeds)
        here.worker.feeds[0].tell(Final(0, 0.0, 1.0, text))
        await client.write_event(AudioStop().event())
        assert transcript(await until_stop(client)) == text


async def test_a_transcript_of_no_audio_is_empty():
    async with running() as here, wyoming(here) as connection, connection() as client:
        await client.write_event(Transcribe().event())
        await client.write_event(AudioStop().event())
        assert transcript(await until_stop(client)) == ""


async def test_data_may_stand_in_the_line_or_behind_it():
    async with running() as here, wyoming(here) as connection, connection() as client:
        data = json.dumps({"text": "y"}).encode()
        client._writer.write(b'{"type": "ping", "data": {"text": "x"}}\n')
        client._writer.write(b'{"type": "ping", "data_length": %d}\n%s' % (len(data), data))
        texts = [Pong.from_event(await client.read_event()).text for _ in range(2)]
        assert texts == ["x", "y"]


def test_it_wants_to_be_told_that_no_tokens_are_asked_for(tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text("a-token-of-many-letters\n")
    wyoming, complaints = ["--wyoming-port", "10300"], []
    for given in (["--host", "0.0.0.0", "--insecure"], ["--token-file", str(tokens), "--insecure"], []):
        assert parse([*given, *wyoming], complaints.append).wyoming_port == 10300
    for given in (["--host", "0.0.0.0", "--token-file", str(tokens)], ["--token-file", str(tokens)]):
        with pytest.raises(SystemExit):
            parse([*given, *wyoming], complaints.append)
        assert "its protocol knows no tokens" in complaints.pop()


async def test_what_one_transcript_wished_is_not_of_the_next():
    async with running() as here, wyoming(here) as connection, connection() as client:
        await client.write_event(Transcribe(transcript_names=["Ada"]).event())
        for _ in range(2):
            await send(client, speech(1))
            await until_stop(client)
        assert [feed.options.wish.keywords for feed in here.worker.feeds] == [("Ada",), ()]


async def test_a_second_wish_takes_the_place_of_the_first():
    async with running() as here, wyoming(here) as connection, connection() as client:
        await client.write_event(Transcribe(transcript_names=["Ada"]).event())
        await client.write_event(Transcribe(language="en").event())
        await send(client, speech(1))
        await until_stop(client)
        assert here.worker.feeds[0].options.wish.keywords == ()


async def test_who_is_ahead_is_not_read():
    async with running() as here, wyoming(here) as connection, connection() as client:
        here.worker.roomy.clear()
        sending = asyncio.create_task(send(client, speech(2)))
        await until(lambda: here.worker.feeds)
        await asyncio.sleep(0.2)
        assert here.worker.feeds[0].pieces == 0
        here.worker.roomy.set()
        await sending
        await until_stop(client)
