"""OpenAI's dialect: its own client against this server, and moments that a client rarely brings about."""

import asyncio
import base64
import json
from contextlib import suppress

import pytest
from openai import AsyncOpenAI
from websockets.exceptions import ConnectionClosed

from streamer import Engine, Options
from streamer.access import Access, digest
from streamer.dialects.items import Items
from streamer.dialects.realtime_messages import Configuration, Update
from streamer.events import Done, Final, Finalized, Partial, SpeechStarted
from streamer.fields import WireError
from streamer.server import Limits, Server
from streamer.worker import Worker
from tests.conftest import pcm
from tests.servers import dialing, hear, hear_all, hear_until, running, say, speech, until, whole, words_of

KEY = "a-token-of-many-letters"
PCM_16K = {"type": "audio/pcm", "rate": 16_000}
COMPLETED = "conversation.item.input_audio_transcription.completed"
DELTA = "conversation.item.input_audio_transcription.delta"


def url(here):
    return f"ws://127.0.0.1:{here.port}/v1/realtime"


def client(here):
    return AsyncOpenAI(api_key=KEY, websocket_base_url=f"ws://127.0.0.1:{here.port}/v1")


def session(turns=None, **audio):
    return {"type": "transcription", "audio": {"input": {"format": PCM_16K, "turn_detection": turns, **audio}}}


async def append(connection, audio, piece_bytes=3200):
    for at in range(0, len(audio), piece_bytes):
        await connection.input_audio_buffer.append(audio=base64.b64encode(audio[at : at + piece_bytes]).decode())


async def until_completed(connection, count=1):
    """What the client was told up to so many transcripts."""
    events = []
    async with asyncio.timeout(60):
        while sum(event.type == COMPLETED for event in events) < count:
            events.append(await connection.recv())
    return events


def transcripts(events):
    return [event.transcript for event in events if event.type == COMPLETED]


def deltas(events):
    """All deltas of each item, put together."""
    texts = {}
    for event in events:
        if event.type == DELTA:
            texts[event.item_id] = texts.get(event.item_id, "") + event.delta
    return list(texts.values())


def kinds(messages):
    return [json.loads(message)["type"].rpartition(".")[2] for message in messages]


# --- the client of OpenAI's package ---


@pytest.mark.parametrize("turns", [None, {"type": "server_vad", "silence_duration_ms": 400}])
@pytest.mark.usefixtures("nothing_promised")
async def test_what_is_written_is_what_the_native_protocol_writes(nano, talk, turns):
    audio = pcm(talk.samples[: 12 * 16_000])
    async with Worker(Engine(nano)) as worker, running(Server(), worker, "nano") as here:
        expected = (await whole(here.url, audio, **({"endpoint_ms": 400} if turns else {}))).texts
        async with client(here).realtime.connect(extra_query={"intent": "transcription"}) as connection:
            assert (await connection.recv()).type == "session.created"
            await connection.session.update(session=session(turns))
            assert (await connection.recv()).type == "session.updated"
            await append(connection, audio)
            await connection.input_audio_buffer.commit()
            events = await until_completed(connection, len(expected) if turns else 1)
    assert transcripts(events) == deltas(events) == (expected if turns else [" ".join(expected)])


async def test_items_come_in_order_and_name_the_one_before():
    audio = speech(2.5)
    async with running() as here, client(here).realtime.connect() as connection:
        await connection.session.update(session=session({"type": "server_vad"}))
        await append(connection, audio)
        await connection.input_audio_buffer.commit()
        events = await until_completed(connection, 3)
    assert transcripts(events) == words_of(audio)
    committed = [event for event in events if event.type == "input_audio_buffer.committed"]
    assert [each.previous_item_id for each in committed] == [None, *(each.item_id for each in committed[:-1])]
    first = [event.type for event in events if getattr(event, "item_id", None) == committed[0].item_id]
    started, stopped = "input_audio_buffer.speech_started", "input_audio_buffer.speech_stopped"
    assert first == [started, DELTA, DELTA, stopped, "input_audio_buffer.committed", COMPLETED]
    times = [(event.type, event.audio_start_ms) for event in events if event.type == started]
    assert times == [(started, 0), (started, 1000), (started, 2000)]
    assert [event.usage.seconds for event in events if event.type == COMPLETED] == [1.0, 1.0, 0.5]


async def test_without_turns_a_commit_says_what_an_item_is():
    first, second = speech(1.5, seed=1), speech(1, seed=2)
    async with running() as here, client(here).realtime.connect() as connection:
        await connection.session.update(session=session())
        for audio in (first, second):
            await append(connection, audio)
            await connection.input_audio_buffer.commit()
        events = await until_completed(connection, 2)
    assert transcripts(events) == deltas(events) == [" ".join(words_of(first)), *words_of(second)]
    assert [event.usage.seconds for event in events if event.type == COMPLETED] == [1.5, 1.0]
    assert not [event for event in events if "speech" in event.type]


async def test_what_is_cleared_is_not_written():
    forgotten, said = speech(1.5, seed=1), speech(1, seed=2)
    async with running() as here, client(here).realtime.connect() as connection:
        await connection.session.update(session=session())
        await append(connection, forgotten)
        await connection.input_audio_buffer.clear()
        await append(connection, said)
        await connection.input_audio_buffer.commit()
        events = await until_completed(connection)
    assert transcripts(events) == words_of(said)
    at = [event.type for event in events].index("input_audio_buffer.cleared")
    assert deltas(events[at:]) == words_of(said)


@pytest.mark.parametrize("border", ["clear", "commit"])
async def test_half_a_sample_before_a_border_does_not_make_noise_of_what_follows(border):
    first, said = speech(1, seed=1), speech(2, seed=2)
    async with running() as here, client(here).realtime.connect() as connection:
        await connection.session.update(session=session())
        await append(connection, first + b"x")
        await getattr(connection.input_audio_buffer, border)()
        await append(connection, said)
        await connection.input_audio_buffer.commit()
        events = await until_completed(connection, 1 + (border == "commit"))
    assert transcripts(events)[-1] == " ".join(words_of(said))


@pytest.mark.parametrize("first_bytes", [1, 320, 3199, 3201])
async def test_the_first_piece_may_end_anywhere(first_bytes):
    audio = speech(1)
    async with running() as here, client(here).realtime.connect() as connection:
        await connection.session.update(session=session())
        await append(connection, audio[:first_bytes])
        await append(connection, audio[first_bytes:])
        await connection.input_audio_buffer.commit()
        assert transcripts(await until_completed(connection)) == words_of(audio)


@pytest.mark.parametrize(
    ("format_", "expected"),
    [
        ({"type": "audio/pcm"}, ("pcm_s16le", 24_000)),
        ({"type": "audio/pcm", "rate": 48_000}, ("pcm_s16le", 48_000)),
        ({"type": "audio/pcmu"}, ("mulaw", 8_000)),
        ({"type": "audio/pcma"}, ("alaw", 8_000)),
    ],
)
async def test_formats(format_, expected):
    async with running() as here, client(here).realtime.connect() as connection:
        await connection.session.update(session=session(format=format_))
        await append(connection, bytes(4800))
        await until(lambda: here.worker.feeds)
        (only,) = here.server.sessions._entries.values()
        assert (only.session.incoming.encoding, only.session.incoming.sample_rate) == expected


async def test_what_holds_is_shown():
    wanted = {"language": "en-GB", "model": "whisper-1", "keywords": ["Ada", "Charles"], "delay": "high", "prompt": "x"}
    async with running() as here, client(here).realtime.connect() as connection:
        assert (await connection.recv()).session.audio.input.turn_detection.silence_duration_ms == 600
        turns = {"type": "semantic_vad", "eagerness": "high"}
        await connection.session.update(session=session(turns, transcription=wanted))
        shown = (await connection.recv()).session.audio.input
        assert shown.turn_detection.eagerness == "high"
        assert (shown.transcription.model, shown.transcription.language) == ("fake", "en")
        assert shown.transcription.delay == "high"
        await append(connection, speech(0.1))
        await until(lambda: here.worker.feeds)
        options = here.worker.feeds[0].options
        assert (options.endpoint_ms, options.latency, options.wish.keywords) == (400, "accurate", ("Ada", "Charles"))


# --- what else may come ---


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ({"type": "response.create"}, 'type is "response.create"; a transcription session knows'),
        ({"type": "input_audio_buffer.append", "audio": "no base64"}, "audio is not valid base64"),
        ({"type": "input_audio_buffer.append"}, "audio is null; it must be audio in base64"),
        ({"type": "input_audio_buffer.commit"}, "nothing to commit"),
        ({"type": "session.update", "session": {"type": "realtime"}}, "session.type is"),
        ({"type": "input_audio_buffer.append", "audio": "\ud800"}, "audio is not valid base64"),
        (
            {"type": "session.update", "session": {"audio": {"input": {"format": {"rate": 5}}}}},
            "sample_rate is 5; it must lie between",
        ),
        (
            {"type": "session.update", "session": {"audio": {"input": {"transcription": {"language": "de"}}}}},
            "only transcribes plain English",
        ),
        (
            {"type": "session.update", "session": {"audio": {"input": {"format": {"type": "audio/mp3"}}}}},
            'session.audio.input.format.type is "audio/mp3"; it must be one of audio/pcm, audio/pcmu, audio/pcma',
        ),
    ],
)
@pytest.mark.parametrize("open_", [False, True])
async def test_a_wrong_message_is_answered_and_the_connection_goes_on(message, said, open_):
    async with running() as here, dialing(url(here)) as socket:
        here.worker.plain = True
        await say(socket, "session.update", session=session())
        await hear_until(socket, "session.updated")
        if open_:
            await say(socket, "input_audio_buffer.append", audio=base64.b64encode(speech(1)).decode())
            await say(socket, "input_audio_buffer.commit")
            await hear_until(socket, COMPLETED)
        await socket.send(json.dumps({**message, "event_id": "mine"}))
        error = (await hear_until(socket, "error")).messages[-1]["error"]
        fixed = open_ and message["type"] == "session.update" and error["code"] == "session_fixed"
        assert fixed or said in error["message"]
        assert (error["type"], error["event_id"]) == ("invalid_request_error", "mine")
        audio = speech(1, seed=5)
        await say(socket, "input_audio_buffer.append", audio=base64.b64encode(audio).decode())
        await say(socket, "input_audio_buffer.commit")
        assert (await hear_until(socket, COMPLETED)).messages[-1]["transcript"] == words_of(audio)[0]


async def test_no_json_and_binary_are_answered_too():
    async with running() as here, dialing(url(here)) as socket:
        for wrong in ("{", "[]", b"\0\0", '{"type": "x", "event_id": "\\ud800"}', '{"a":' * 900 + "1" + "}" * 900):
            await socket.send(wrong)
            assert (await hear_until(socket, "error")).messages[-1]["error"]["message"]


async def test_a_stream_keeps_what_it_was_opened_with():
    async with running() as here, client(here).realtime.connect() as connection:
        await connection.session.update(session=session())
        await append(connection, speech(1))
        await connection.session.update(session=session())  # nothing new: it may be said again
        await connection.session.update(session=session({"type": "server_vad"}))
        told = []
        async with asyncio.timeout(20):
            while "error" not in told:
                told.append((await connection.recv()).type)
        assert told.count("session.updated") == 2


async def test_turns_by_silence_are_as_the_service_has_them_unless_a_client_says_so():
    async with running() as here, client(here).realtime.connect() as connection:
        for turns in ({"type": "semantic_vad", "eagerness": "low"}, {"type": "server_vad"}):
            await connection.session.update(session=session(turns))
        shown = [(await connection.recv()).session.audio.input.turn_detection for _ in range(3)]
    assert shown[2].silence_duration_ms == 600


@pytest.mark.parametrize(("wanted", "held"), [(0, 64), (9000, 3000)])
async def test_turns_by_silence_out_of_bounds_get_the_nearest_and_the_rest_of_the_message_holds(wanted, held):
    async with running() as here, client(here).realtime.connect() as connection:
        await connection.recv()
        turns = {"type": "server_vad", "silence_duration_ms": wanted}
        await connection.session.update(session=session(turns, format={"type": "audio/pcmu"}))
        shown = (await connection.recv()).session.audio.input
    assert (shown.turn_detection.silence_duration_ms, shown.format.type) == (held, "audio/pcmu")


async def test_audio_may_come_before_it_is_said_what_it_is():
    audio = speech(1)
    async with running() as here, client(here).realtime.connect() as connection:
        await connection.input_audio_buffer.append(audio=base64.b64encode(bytes(480)).decode())
        await connection.input_audio_buffer.clear()
        await append(connection, audio[:3200])
        await connection.session.update(session=session())
        await append(connection, audio[3200:])
        await connection.input_audio_buffer.commit()
        events = await until_completed(connection)
    assert transcripts(events) == words_of(audio)
    assert "input_audio_buffer.cleared" in [event.type for event in events]


async def test_nothing_said_before_there_is_audio_fixes_the_session():
    async with running() as here, dialing(url(here)) as socket:
        await say(socket, "input_audio_buffer.clear")
        await hear_until(socket, "input_audio_buffer.cleared")
        await say(socket, "input_audio_buffer.commit")
        assert "nothing to commit" in (await hear_until(socket, "error")).messages[-1]["error"]["message"]
        await say(socket, "session.update", session=session())
        shown = (await hear_until(socket, "session.updated")).messages[-1]["session"]["audio"]["input"]
        assert (shown["format"]["rate"], shown["turn_detection"]) == (16_000, None)
        assert not here.worker.feeds


async def test_audio_that_is_committed_at_once_needs_no_configuration():
    async with running() as here, client(here).realtime.connect() as connection:
        await append(connection, speech(0.1))
        await connection.input_audio_buffer.commit()
        (only,) = transcripts(await until_completed(connection))
        assert only


async def test_who_reads_no_answers_is_left_before_there_is_a_stream(monkeypatch):
    monkeypatch.setattr("streamer.dialogue.SLOW_SECONDS", 0.2)
    monkeypatch.setattr("streamer.line.PART_SECONDS", 0.2)
    async with running() as here, dialing(url(here)) as socket:
        socket.transport.pause_reading()
        with suppress(ConnectionClosed):
            for _ in range(20_000):
                await socket.send('{"type": "nonsense"}')
        await until(lambda: not here.server.access._connections)


async def test_one_more_than_there_is_room_for_is_refused_before_it_says_anything():
    async with running(Server(limits=Limits(most_sessions=1))) as here, dialing(url(here)) as first:
        await say(first, "input_audio_buffer.append", audio=base64.b64encode(speech(1)).decode())
        await until(lambda: here.sessions["connected"])
        async with dialing(url(here)) as second:
            assert (await hear_all(second)).code == 1013


@pytest.mark.parametrize(
    ("how", "chosen"),
    [
        ({"additional_headers": {"Authorization": f"Bearer {KEY}"}}, None),
        ({"subprotocols": ["realtime", f"openai-insecure-api-key.{KEY}"]}, "realtime"),
    ],
)
async def test_the_key_is_the_token(how, chosen):
    server = Server(access=Access(tokens=frozenset({digest(KEY)})))
    async with running(server) as here, dialing(url(here), **how) as socket:
        assert (await hear(socket))["type"] == "session.created"
        assert socket.subprotocol == chosen


async def test_the_first_version_of_the_api():
    audio = speech(1)
    wanted = {"input_audio_format": "pcm16", "input_audio_transcription": {"language": "en"}, "turn_detection": None}
    async with running() as here, dialing(url(here)) as socket:
        await say(socket, "transcription_session.update", session=wanted)
        shown = (await hear_until(socket, "transcription_session.updated")).messages[-1]["session"]
        assert (shown["input_audio_format"], shown["turn_detection"]) == ("pcm16", None)
        await say(socket, "input_audio_buffer.append", audio=base64.b64encode(audio).decode())
        await say(socket, "input_audio_buffer.commit")
        talk = await hear_until(socket, COMPLETED)
        assert talk.of("conversation.item.created")
        assert not talk.of("conversation.item.added")


async def test_when_the_service_ends_so_does_the_connection():
    async with running() as here, dialing(url(here)) as socket:
        await say(socket, "session.update", session=session())
        await say(socket, "input_audio_buffer.append", audio=base64.b64encode(speech(1.5)).decode())
        await until(lambda: here.worker.feeds and here.worker.feeds[0].pieces)
        here.server.sessions.drain()
        talk = await hear_all(socket)
        assert talk.code == 1012
        assert "".join(each["delta"] for each in talk.of(DELTA)) == " ".join(words_of(speech(1.5)))


async def test_nothing_is_kept_of_a_client_that_has_left():
    async with running() as here:
        async with client(here).realtime.connect() as connection:
            await append(connection, speech(1))
            await until(lambda: here.worker.feeds)
        await here.emptied()
        assert here.worker.feeds[0].dropped


# --- vLLM's variant ---


async def test_vllms_clients_get_deltas_and_an_end_for_each_utterance():
    first, second = speech(1.5, seed=1), speech(1, seed=2)
    async with running() as here, dialing(url(here)) as socket:
        created = await hear(socket)
        assert (created["type"], set(created) >= {"id", "created"}) == ("session.created", True)
        await say(socket, "session.update", model="any/model")
        await say(socket, "nonsense")
        assert "type is" in (await hear(socket))["error"]
        talks = []
        for audio in (first, second):
            await say(socket, "input_audio_buffer.commit")
            await say(socket, "input_audio_buffer.append", audio=base64.b64encode(audio).decode())
            await say(socket, "input_audio_buffer.commit", final=True)
            talks.append(await hear_until(socket, "transcription.done"))
        await say(socket, "nonsense")
        assert "type is" in (await hear_until(socket, "error")).messages[-1]["error"]
    expected = [" ".join(words_of(first)), *words_of(second)]
    assert [talk.messages[-1]["text"] for talk in talks] == expected
    assert ["".join(each["delta"] for each in talk.of("transcription.delta")) for talk in talks] == expected
    assert [talk.messages[-1]["usage"]["seconds"] for talk in talks] == [1.5, 1.0]


# --- items, event by event ---


def test_a_commit_into_silence_is_an_item_without_words():
    items = Items(turns=True)
    name, messages = items.commit(1.0)
    assert messages == []
    assert kinds(items.render(Finalized(name))) == ["committed", "added", "done", "completed"]


def test_a_commit_ends_the_item_that_is_being_said():
    items = Items(turns=True)
    (started,) = map(json.loads, items.render(SpeechStarted(0, 0.5)))
    items.render(Partial(0, 0.5, 1.0, "the", " qui"))
    name, _ = items.commit(1.5)
    told = [*items.render(Final(0, 0.5, 1.5, "the quick")), *items.render(Finalized(name))]
    assert kinds(told) == ["delta", "speech_stopped", "committed", "added", "done", "completed"]
    assert {json.loads(each)["item_id"] for each in told if "item_id" in json.loads(each)} == {started["item_id"]}
    assert json.loads(told[-1])["transcript"] == "the quick"


def test_each_of_two_commits_is_answered():
    items = Items(turns=True)
    items.render(SpeechStarted(0, 0.0))
    first, _ = items.commit(1.0)
    second, _ = items.commit(2.0)
    told = [*items.render(Final(0, 0.0, 1.0, "one")), *items.render(Finalized(first)), *items.render(Finalized(second))]
    said = [json.loads(each) for each in told]
    assert [each["transcript"] for each in said if each["type"] == COMPLETED] == ["one", ""]


def test_silence_behind_an_item_that_the_server_ended_can_be_committed():
    items = Items(turns=True)
    items.render(Final(0, 0.0, 1.0, "one"))
    name, _ = items.commit(2.0)
    assert kinds(items.render(Finalized(name))) == ["committed", "added", "done", "completed"]


def test_a_clear_ends_what_is_being_said_but_not_what_had_ended():
    items = Items(turns=True)
    items.render(SpeechStarted(0, 0.0))
    name, told_at_once = items.clear(5.0)
    assert told_at_once == []
    ended = items.render(Final(0, 0.0, 3.0, "one"))  # its pause came before the clear; it was only told late
    assert kinds(ended)[-1] == "completed"
    told = [
        *items.render(SpeechStarted(1, 4.0)),
        *items.render(Partial(1, 4.0, 5.0, "tw", "o")),
        *items.render(Final(1, 4.0, 5.0, "two")),
        *items.render(Finalized(name)),
    ]
    assert kinds(told) == ["speech_started", "delta", "speech_stopped", "failed", "cleared"]
    assert kinds(items.render(SpeechStarted(2, 5.5))) == ["speech_started"]
    assert kinds(items.render(Final(2, 5.5, 6.0, "three")))[-1] == "completed"


def test_a_draft_is_never_told():
    items = Items(turns=False)
    items.render(SpeechStarted(0, 0.0))
    assert items.render(Partial(0, 0.0, 1.0, "", "perhaps")) == []
    assert items.render(Done(1.0)) == []


def test_what_is_said_behind_a_commit_that_is_on_its_way_is_of_the_next_item():
    items = Items(turns=False)
    first, messages = items.commit(1.0)
    second, _ = items.commit(2.0)
    one = json.loads(messages[0])["item_id"]
    told = [
        *items.render(SpeechStarted(0, 0.0)),
        *items.render(Final(0, 0.0, 1.0, "one")),
        *items.render(Finalized(first)),
        *items.render(SpeechStarted(1, 1.0)),
        *items.render(Final(1, 1.0, 2.0, "two")),
        *items.render(Finalized(second)),
    ]
    said = [json.loads(each) for each in told]
    assert [each["transcript"] for each in said if each["type"] == COMPLETED] == ["one", "two"]
    assert [each["item_id"] == one for each in said] == [True, True, False, False]


def test_nothing_can_be_committed_twice():
    items = Items(turns=False)
    items.commit(1.0)
    with pytest.raises(WireError, match="nothing to commit"):
        items.commit(1.0)


def test_a_clear_forgets_only_what_was_not_committed():
    items = Items(turns=False)
    name, _ = items.commit(1.0)
    cleared, told_at_once = items.clear(2.0)
    assert kinds(told_at_once) == ["cleared"]
    told = [
        *items.render(Final(0, 0.0, 1.0, "kept")),
        *items.render(Finalized(name)),
        *items.render(Final(1, 1.0, 2.0, "forgotten")),
        *items.render(Finalized(cleared)),
    ]
    assert kinds(told) == ["delta", "completed"]


def test_what_is_committed_behind_a_clear_is_told_behind_it():
    items = Items(turns=False)
    items.render(Partial(0, 0.0, 1.0, "so", ""))
    cleared, first = items.clear(1.0)
    committed, second = items.commit(2.0)
    assert kinds([*first, *second]) == ["failed", "cleared", "committed", "added", "done"]
    told = [
        *items.render(Final(0, 0.0, 1.0, "so what")),
        *items.render(Finalized(cleared)),
        *items.render(Final(1, 1.0, 2.0, "kept")),
        *items.render(Finalized(committed)),
    ]
    assert kinds(told) == ["delta", "completed"]
    assert json.loads(told[1])["transcript"] == "kept"


def test_what_was_cleared_cannot_be_committed():
    items = Items(turns=False)
    items.clear(2.0)
    with pytest.raises(WireError, match="nothing to commit"):
        items.commit(2.0)


def test_a_delay_goes_before_the_step_of_the_service():
    update = Update({"audio": {"input": {"transcription": {"delay": "minimal"}}}})
    assert Configuration(Options(step_ms=1200), 600).updated(update).options.update_ms == 300
