"""Deepgram's dialect: its own client against this server, and moments that a client rarely brings about."""

import asyncio
import hashlib
import json

import pytest
from deepgram import AsyncDeepgramClient
from deepgram.environment import DeepgramClientEnvironment

from model.tasks import Wish
from streamer import Engine, Options
from streamer.access import Access, digest
from streamer.dialects.deepgram import Query, Results
from streamer.events import Done, Final, Finalized, Partial, SpeechStarted, Word
from streamer.fields import WireError
from streamer.server import Server
from streamer.worker import Worker
from tests import servers
from tests.conftest import pcm
from tests.servers import dialing, hear_all, hear_until, running, say, speech, until, words_of

KEY = "a-token-of-many-letters"
RAW = "encoding=linear16&sample_rate=16000"


def url(here, query=RAW):
    return f"ws://127.0.0.1:{here.port}/v1/listen?{query}"


def listening(here, **wanted):
    """A connection of Deepgram's client."""
    there = f"ws://127.0.0.1:{here.port}"
    environment = DeepgramClientEnvironment(base=there, production=there, agent=there, agent_rest=there)
    client = AsyncDeepgramClient(api_key=KEY, environment=environment)
    return client.listen.v1.connect(model="nova-3", encoding="linear16", sample_rate=16_000, **wanted)


async def whole(connection, audio, piece_bytes=3200):
    """Everything that the client is told, from the first piece of audio to the end."""
    for at in range(0, len(audio), piece_bytes):
        await connection.send_media(audio[at : at + piece_bytes])
    await connection.send_close_stream()
    async with asyncio.timeout(60):
        return [message async for message in connection]


def transcripts(messages, final=True):
    results = [message for message in messages if message.type == "Results" and message.is_final == final]
    return [result.channel.alternatives[0].transcript for result in results]


# --- the client of Deepgram's package ---


@pytest.mark.usefixtures("nothing_promised")
async def test_what_is_written_is_what_the_native_protocol_writes(nano, talk):
    audio = pcm(talk.samples[: 12 * 16_000])
    async with Worker(Engine(nano)) as worker, running(Server(), worker, "nano") as here:
        expected = await servers.whole(here.url, audio, endpoint_ms=400)
        async with listening(here, interim_results=True, endpointing=400) as connection:
            messages = await whole(connection, audio)
    assert transcripts(messages) == expected.texts
    words = [
        word for message in messages if message.type == "Results" for word in message.channel.alternatives[0].words
    ]
    times = [(word["word"], word["start"], word["end"]) for final in expected.of("final") for word in final["words"]]
    assert [(word.punctuated_word, word.start, word.end) for word in words] == times
    assert messages[-1].type == "Metadata"
    assert (messages[-1].duration, messages[-1].sha256) == (12.0, hashlib.sha256(audio).hexdigest())


async def test_drafts_come_for_those_who_ask():
    audio = speech(2)
    async with running() as here:
        async with listening(here, interim_results=True, vad_events=True) as connection:
            messages = await whole(connection, audio)
        assert [message.type for message in messages[:3]] == ["SpeechStarted", "Results", "Results"]
        assert transcripts(messages) == transcripts(messages, final=False) == words_of(audio)
        async with listening(here) as connection:
            messages = await whole(connection, audio)
        assert not here.worker.feeds[1].options.partials  # so that they are not computed either
        assert transcripts(messages, final=False) == []
        assert "SpeechStarted" not in [message.type for message in messages]


async def test_finalize_is_answered_also_where_nothing_was_said():
    async with running() as here, listening(here) as connection:
        await connection.send_keep_alive()
        await connection.send_finalize()
        await connection.send_media(audio := speech(0.5))
        await connection.send_finalize()
        messages = await whole(connection, b"")
    assert [each.from_finalize for each in messages[:2]] == [True, True]
    assert transcripts(messages) == ["", *words_of(audio)]


async def test_only_what_a_finalize_has_ended_says_so():
    audio = speech(1.4)
    async with running() as here, listening(here) as connection:
        await connection.send_media(audio)
        for _ in range(2):
            await connection.send_finalize()
        messages = await whole(connection, audio)
    flags = [each.from_finalize for each in messages if each.type == "Results"]
    assert flags == [False, True, True, False, False]
    assert transcripts(messages) == [*words_of(audio), "", *words_of(audio)]


# --- what else may come ---


async def test_a_wrong_message_is_answered_and_the_stream_goes_on():
    audio = speech(1)
    async with running() as here, dialing(url(here)) as socket:
        for wrong in ('{"type": "Stop"}', "{", "[]"):
            await socket.send(wrong)
            assert (await hear_until(socket, "Error")).messages[-1]["variant"] == "SchemaError"
        await say(socket, "Configure", keyterms=["Ada"])
        assert (await hear_until(socket, "ConfigureFailure")).messages[-1]["description"]
        await socket.send(audio)
        await socket.send(b"")  # the end, as older clients say it
        talk = await hear_all(socket)
    assert talk.of("Results")[0]["channel"]["alternatives"][0]["transcript"] == words_of(audio)[0]
    assert talk.code == 1000


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("", "encoding is ''; it must be one of linear16, mulaw, alaw"),
        ("encoding=opus", "encoding is 'opus'"),
        (f"{RAW}&multichannel=true", "multichannel is not supported"),
        (f"{RAW}&interim_results=1", "interim_results is '1'; it must be true or false"),
        (f"{RAW}&endpointing=soon", "endpointing is 'soon'; it must be a whole number"),
        ("encoding=linear16&sample_rate=1", "sample_rate is 1; it must lie between"),
        (f"{RAW}&keyterm={'x' * 2000}", "prompt and keywords have 2000 characters"),
    ],
)
async def test_a_wish_that_cannot_be_fulfilled_is_refused(query, said):
    async with running() as here, dialing(url(here, query)) as socket:
        talk = await hear_all(socket)
        assert said in talk.messages[0]["description"]
        assert talk.code == 1008


async def test_audio_behind_the_end_is_left_alone():
    audio = speech(1)
    async with running() as here, dialing(url(here)) as socket:
        await socket.send(audio)
        await say(socket, "CloseStream")
        await socket.send(audio)
        talk = await hear_all(socket)
    assert [message["type"] for message in talk.messages] == ["Results", "Metadata"]
    assert talk.code == 1000


async def test_a_model_that_formats_nothing_is_asked_for_nothing():
    async with running() as here:
        for plain, asked, expected in (
            (False, "punctuate", Wish(punctuate=True)),
            (False, "smart_format", Wish(punctuate=True)),
            (True, "punctuate", Wish()),
        ):
            here.worker.plain = plain
            async with dialing(url(here, f"{RAW}&{asked}=true")) as socket:
                await say(socket, "CloseStream")
                assert (await hear_all(socket)).code == 1000
            assert here.worker.feeds[-1].options.wish == expected
        async with dialing(url(here, f"{RAW}&language=de")) as socket:  # but what it would write wrongly is refused
            assert (await hear_all(socket)).code == 1008


@pytest.mark.parametrize(
    ("how", "chosen"),
    [
        ({"additional_headers": {"Authorization": f"Token {KEY}"}}, None),
        ({"subprotocols": ["token", KEY]}, "token"),
        ({"subprotocols": ["token", KEY, "x-deepgram-session-id", "0c5b"]}, "token"),  # as its JavaScript has it
        ({"subprotocols": ["bearer", KEY, "x-deepgram-session-id", "0c5b"]}, "bearer"),
    ],
)
async def test_the_key_is_the_token(how, chosen):
    server = Server(access=Access(tokens=frozenset({digest(KEY)})))
    async with running(server) as here, dialing(url(here), **how) as socket:
        await say(socket, "CloseStream")
        assert (await hear_all(socket)).code == 1000
        assert socket.subprotocol == chosen


async def test_what_the_query_asks_for_is_done():
    more = "&keyterm=Ada&keyterm=Charles&language=en-US&endpointing=10&punctuate=true"
    async with running() as here, dialing(url(here, RAW + more)) as socket:
        await until(lambda: here.worker.feeds)
        wanted = Wish(keywords=("Ada", "Charles"), language="en", punctuate=True)
        assert here.worker.feeds[0].options == Options(partials=False, wish=wanted, endpoint_ms=64)
        await say(socket, "CloseStream")
        await hear_all(socket)


def results(more=""):
    return Results(Query.of(f"/v1/listen?{RAW}{more}", Options()), "nano")


def final(text, start, end, word_end):
    return Final(0, start, end, text, (Word(text, start, word_end, 1.0),))


def test_a_long_silence_is_said_once():
    it = results("&utterance_end_ms=1000")
    it.render(SpeechStarted(0, 0.0))
    assert it.heard(b"", 1.5) == []  # somebody speaks
    it.render(final("so", 0.0, 1.5, 0.9))
    assert it.heard(b"", 1.8) == []
    (said,) = it.heard(b"", 2.0)
    assert json.loads(said) == {"type": "UtteranceEnd", "channel": [0, 1], "last_word_end": 0.9}
    assert it.heard(b"", 9.0) == []


def test_a_silence_is_not_long_because_the_machine_is_behind():
    it = results("&utterance_end_ms=1000")
    it.heard(b"", 12.0)
    it.render(final("so", 0.0, 2.5, 2.0))
    assert it.heard(b"", 12.1) == []
    assert it.render(SpeechStarted(1, 2.7)) == []
    it.render(final("then", 2.7, 4.0, 3.5))
    (said,) = it.render(SpeechStarted(2, 6.0))
    assert json.loads(said)["last_word_end"] == 3.5
    it.render(final("so", 6.0, 7.0, 6.5))
    assert [json.loads(said)["type"] for said in it.render(Done(12.0))] == ["UtteranceEnd", "Metadata"]


def test_speech_is_over_where_a_pause_ended_it():
    it = results()
    (paused,) = it.render(final("so", 0.0, 1.6, 1.0))
    (cut,) = it.render(final("then", 1.6, 30.0, 29.98))
    assert [json.loads(said)["speech_final"] for said in (paused, cut)] == [True, False]


def test_the_answer_to_a_finalize_stands_where_the_last_final_ended():
    it = results()
    it.render(final("so", 0.0, 1.6, 1.0))
    it.finalize(2.0)
    (said,) = it.render(Finalized(""))
    assert (json.loads(said)["start"], json.loads(said)["duration"]) == (1.6, 0.0)


@pytest.mark.parametrize("more", ["diarize=true&keyterm=Ada", "diarize=true&punctuate=true", "punctuate=true"])
def test_formatting_that_does_not_go_with_the_rest_is_left_out(more):
    prompted = Options(wish=Wish(prompt="write what is said"))
    query = Query.of(f"/v1/listen?{RAW}&{more}", prompted)
    assert query.start == query.modest
    assert query.start.options.wish.prompt


@pytest.mark.parametrize(
    ("usual", "more", "wanted"),
    [
        (Wish(speakers=True), "", Wish(speakers=True)),
        (Wish(speakers=True), "&diarize=false", Wish()),
        (Wish(punctuate=True), "&smart_format=false", Wish(punctuate=False)),
        (Wish(punctuate=True), "&smart_format=false&punctuate=true", Wish(punctuate=True)),
        (Wish(), "&diarize=true&punctuate=true", Wish(speakers=True)),
    ],
)
def test_a_client_may_do_without_what_the_service_writes(usual, more, wanted):
    assert Query.of(f"/v1/listen?{RAW}{more}", Options(wish=usual)).start.options.wish == wanted


def test_words_are_bare_and_speakers_count_from_zero():
    (said,) = results().render(Final(0, 0.0, 1.0, "Well,", (Word("Well,", 0.1, 0.4, 0.5, speaker=1),)))
    (word,) = json.loads(said)["channel"]["alternatives"][0]["words"]
    assert (word["word"], word["punctuated_word"], word["speaker"], word["confidence"]) == ("well", "Well,", 0, 0.5)


def test_without_endpoints_no_result_says_that_speech_has_ended():
    (said,) = results("&endpointing=false").render(Final(0, 0.0, 1.0, "so"))
    assert not json.loads(said)["speech_final"]


def test_numbers_are_numbers():
    with pytest.raises(WireError, match="channels"):
        Query.of(f"/v1/listen?{RAW}&channels=-1", Options())


def test_keywords_lose_their_boost_and_multi_is_no_language():
    wish = Query.of(f"/v1/listen?{RAW}&keywords=Ada:2&keywords=Grace&language=multi", Options()).start.options.wish
    assert (wish.keywords, wish.language) == (("Ada", "Grace"), None)


def test_no_words_are_no_draft():
    assert results("&interim_results=true").render(Partial(0, 0.0, 1.0, "", "")) == []


def test_metadata_says_how_many_channels_there_were():
    (said,) = results("&channels=2").render(Done(1.0))
    assert json.loads(said)["channels"] == 2
