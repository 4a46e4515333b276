"""What clients do wrong, by malice or by accident, through real sockets to the real network. Nobody else may notice."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

import numpy as np
import pytest
import pytest_asyncio

from clients.connection import connect
from model import GraniteSpeech
from streamer import server as serving
from streamer.access import Access, digest
from streamer.sessions import Limits
from streamer.wire import Close
from tests.servers import Talk, dialing, get, hear, hear_all, until
from tests.servers import say as tell
from tests.speaking import FINALS_ONLY, Service, captions_of, finals, local, recording, service
from tests.speaking import say as speak

pytestmark = pytest.mark.asyncio(loop_scope="module")

STREAM = "/v1/stream"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def daemon(nano: GraniteSpeech) -> AsyncIterator[Service]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(serving, "OPEN_SECONDS", 2.0)
        async with service(nano, Limits(resume_seconds=0.2)) as there:
            yield there


@pytest_asyncio.fixture(loop_scope="module")
async def there(daemon: Service) -> AsyncIterator[Service]:
    """A daemon that is as it was when the test is over: no session, no stream, no task is left."""
    before = asyncio.all_tasks()
    yield daemon
    await daemon.all_gone()
    await until(lambda: not daemon.server.access._connections)
    mine = asyncio.current_task()
    await until(lambda: not [task for task in asyncio.all_tasks() - before if task is not mine])


def start(**fields: object) -> str:
    return json.dumps({"type": "start", **fields})


BAD_MESSAGES: list[tuple[list[str | bytes], int, str, str]] = [
    (['{"type": "start"'], 1008, "bad_message", "the message is not JSON"),
    (["hello"], 1008, "bad_message", "not JSON"),
    (["[" * 60_000], 1008, "bad_message", "not JSON"),
    (["null"], 1008, "bad_message", "must be an object"),
    (["[1]"], 1008, "bad_message", "must be an object"),
    (["{}"], 1008, "bad_message", "type is null; it must be one of start, watch, finalize, stop"),
    (['{"type": "begin"}'], 1008, "bad_message", 'type is "begin"; it must be one of'),
    (['{"type": ["start"]}'], 1008, "bad_message", "it must be one of"),
    (['{"type": "stop"}'], 1008, "bad_message", "stop came before start"),
    (['{"type": "finalize", "id": "x"}'], 1008, "bad_message", "finalize came before start"),
    ([b"\x00\x01"], 1003, "bad_message", "audio came before start; send a start message first"),
    ([start(), start()], 1008, "bad_message", "start came twice"),
    ([start(), json.dumps({"type": "watch", "channel": "hall"})], 1008, "bad_message", "watch came after start"),
    ([start(), "{"], 1008, "bad_message", "not JSON"),
    ([start(), '{"type": "finalize", "id": 5}'], 1008, "bad_message", "id is 5; it must be a text"),
    ([start(), '{"type": "finalize", "id": "\\ud800"}'], 1008, "bad_message", "it must be a text"),
    ([start(sample_rate=0)], 1008, "bad_audio", "sample_rate is 0; it must lie between 8000 and 192000"),
    ([start(sample_rate=-1)], 1008, "bad_audio", "sample_rate is -1"),
    ([start(sample_rate=10**9)], 1008, "bad_audio", "sample_rate is 1000000000"),
    ([start(sample_rate=1e9)], 1008, "bad_message", "sample_rate is 1000000000.0; it must be a whole number"),
    ([start(sample_rate="16000")], 1008, "bad_message", 'sample_rate is "16000"; it must be a whole number'),
    ([start(sample_rate=True)], 1008, "bad_message", "sample_rate is true"),
    (['{"type": "start", "sample_rate": 1' + "0" * 5000 + "}"], 1008, "bad_message", "not JSON"),
    ([start(channels=65)], 1008, "bad_audio", "channels is 65; it must lie between 1 and 64"),
    ([start(channels=0)], 1008, "bad_audio", "channels is 0"),
    ([start(encoding="opus")], 1008, "bad_audio", "it must be one of pcm_s16le, pcm_f32le, mulaw, alaw"),
    ([start(encoding=1)], 1008, "bad_message", "encoding is 1; it must be a text"),
    ([start(step_ms=0)], 1008, "bad_message", "step_ms is 0; it must lie between"),
    ([start(max_segment_seconds=float("nan"))], 1008, "bad_message", "max_segment_seconds is NaN"),
    ([start(partials=1)], 1008, "bad_message", "partials is 1; it must be true or false"),
    ([start(words="no")], 1008, "bad_message", 'words is "no"'),
    ([start(prompt=["a"])], 1008, "bad_message", "prompt is"),
    ([start(prompt="a" * 5000)], 1008, "bad_message", "characters"),
    ([start(keywords="Granite")], 1008, "bad_message", "keywords is"),
    ([start(keywords=[1])], 1008, "bad_message", "keywords is"),
    ([start(task="sing")], 1008, "bad_message", "task is 'sing'; it must be one of transcribe, translate"),
    ([start(task="translate", target_language="fr")], 1008, "bad_message", "this model only transcribes plain English"),
    ([start(language="de")], 1008, "bad_message", "this model only transcribes plain English"),
    ([start(speakers=True)], 1008, "bad_message", "only granite-speech-4.1-2b-plus writes speakers"),
    ([start(prompt="<|audio|>")], 1008, "bad_message", "the prompt holds 2 <|audio|> placeholders"),
    ([start(resume="gone")], 1008, "unknown_session", "start another one"),
    ([start(resume=5)], 1008, "bad_message", "resume is 5"),
    ([start(after=-1)], 1008, "bad_message", "after is -1"),
    (["x" * 10_000_000], 1009, "", ""),
    ([start(), "x" * 10_000_000], 1009, "", ""),
    ([start(), bytes(10_000_000)], 1009, "", ""),
]


async def hear_out(url: str, messages: list[str | bytes]) -> Talk:
    async with dialing(url + STREAM) as socket:
        for message in messages:
            await socket.send(message)
        return await hear_all(socket)


@pytest.mark.parametrize(("messages", "code", "error", "words"), BAD_MESSAGES)
async def test_a_message_that_is_wrong_is_told_what_would_be_right(
    there: Service, messages: list[str | bytes], code: int, error: str, words: str
) -> None:
    talk = await hear_out(there.url, messages)
    assert talk.code == code
    assert [each["code"] for each in talk.of("error")] == ([error] if error else [])
    assert all(words in each["message"] for each in talk.of("error"))


async def test_what_the_model_cannot_do_is_refused_before_it_is_ready(there: Service) -> None:
    talk = await hear_out(there.url, [start(task="translate", target_language="fr")])
    assert [message["type"] for message in talk.messages] == ["error"]
    await there.all_gone()


async def test_all_of_them_at_once_change_no_word_of_another_speaker(there: Service, nano: GraniteSpeech) -> None:
    async def misbehave() -> None:
        for messages, *_ in BAD_MESSAGES:
            await hear_out(there.url, messages)

    async with asyncio.TaskGroup() as group:
        witnesses = [group.create_task(captions_of(there.url, index)) for index in range(4)]
        for _ in range(2):
            group.create_task(misbehave())
    assert [task.result() for task in witnesses] == [local(nano, index, FINALS_ONLY) for index in range(4)]


@pytest.mark.parametrize(("piece", "length"), [(1, 10_001), (3, 20_002), (999, None)])
async def test_odd_byte_counts_are_put_together(
    there: Service, nano: GraniteSpeech, piece: int, length: int | None
) -> None:
    data = recording(0).astype("<f4").tobytes()[:length]
    async with connect(there.url, encoding="pcm_f32le", partials=False) as captions:
        for begin in range(0, len(data), piece):
            await captions.send(data[begin : begin + piece])
        await captions.stop()
        events = [event async for event in captions]
    assert events[-1].audio_seconds == round(len(data) // 4 / 16_000, 3)
    if length is None:
        assert events == local(nano, 0, FINALS_ONLY)


async def test_what_is_no_number_is_silence(there: Service) -> None:
    quiet, samples = np.zeros(8000, np.float32), recording(1)
    wild = np.tile(np.array([np.nan, -np.nan, np.nan, np.nan], np.float32), 2000)
    heard = []
    for first in (quiet, wild):
        async with connect(there.url, encoding="pcm_f32le", partials=False) as captions:
            heard.append(await speak(captions, np.concatenate([first, samples])))
    assert finals(heard[0]) == finals(heard[1]) != []


async def test_infinities_do_no_harm(there: Service) -> None:
    wild = np.tile(np.array([np.inf, -np.inf, 3e38, np.nan], np.float32), 8000)
    async with connect(there.url, encoding="pcm_f32le", sample_rate=44_100, channels=2) as captions:
        assert (await speak(captions, wild.reshape(-1, 2)))[-1].type == "done"


async def test_who_has_no_token_or_another_one_stays_outside(there: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(there.server.access, "tokens", Access(frozenset({digest("a-token-that-is-long")})).tokens)
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic a-token-that-is-long"}):
        status, body = await get(there.port, STREAM, **headers)
        assert (status, "token" in body) == (401, True)


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [("/v1/stream", "GET", 426), ("/v1/streams", "GET", 404), ("/../etc/passwd", "GET", 404), ("/health", "POST", 405)],
)
async def test_plain_http_is_answered_as_such(there: Service, path: str, method: str, status: int) -> None:
    assert (await get(there.port, path, method))[0] == status


@pytest.mark.parametrize("size", [3, 3_000_000])
async def test_a_request_with_a_body_is_told_that_this_is_none_for_such(there: Service, size: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", there.port)
    async with asyncio.timeout(10):
        writer.write(b"POST /v1/audio/transcriptions HTTP/1.1\r\nHost: here\r\nContent-Length: %d\r\n\r\n" % size)
        writer.write(bytes(size))
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"/v1/stream" in body


@pytest.mark.parametrize(
    "opening", [b"", b"GET /v1/str", b"\x16\x03\x01\x02\x00", b"GET / HTTP/1.1\r\n" * 2, b"A" * 100_000, b"\r\n\r\n"]
)
async def test_a_handshake_that_is_none_or_never_ends_is_cut_off(there: Service, opening: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", there.port)
    async with asyncio.timeout(10):
        writer.write(opening)
        with suppress(ConnectionResetError):  # not even an answer: it had sent more than was read
            await reader.read()
    writer.close()


async def test_a_flood_of_tiny_messages_leaves_others_their_words(there: Service, nano: GraniteSpeech) -> None:
    async def flood() -> dict[str, object]:
        async with dialing(there.url + STREAM) as socket:
            await tell(socket, "start")
            for _ in range(8000):
                await socket.send(b"\x01")
            await tell(socket, "stop")
            return (await hear_all(socket)).of("done")[0]

    async with asyncio.TaskGroup() as group:
        floods = [group.create_task(flood()) for _ in range(2)]
        witness = group.create_task(captions_of(there.url, 5))
    assert witness.result() == local(nano, 5, FINALS_ONLY)
    assert [each.result()["audio_seconds"] for each in floods] == [0.25, 0.25]


@pytest.mark.parametrize("opcode", [0x9, 0xA], ids=["ping", "pong"])
async def test_who_floods_with_signs_of_life_is_cut_off_and_others_do_not_notice(
    there: Service, nano: GraniteSpeech, opcode: int
) -> None:
    async def flood() -> None:
        async with dialing(there.url + STREAM) as socket:
            socket.transport.write(bytes([0x80 | opcode, 0x80, 0, 0, 0, 0]) * 20_000)
            await socket.wait_closed()
            assert socket.close_code == Close.LOST

    async with asyncio.TaskGroup() as group:
        for _ in range(2):
            group.create_task(flood())
        witness = group.create_task(captions_of(there.url, 5))
    assert witness.result() == local(nano, 5, FINALS_ONLY)


async def test_a_message_in_too_many_pieces_is_refused_without_a_fault_of_ours(
    there: Service, caplog: pytest.LogCaptureFixture
) -> None:
    async with dialing(there.url + STREAM) as socket:
        await tell(socket, "start")
        socket.transport.write(b"\x02\x80\0\0\0\0" + b"\0\x80\0\0\0\0" * 5000)  # a binary message and 5000 goings-on
        await asyncio.sleep(0.2)
        socket.transport.abort()
    await there.all_gone()
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []


Step = Callable[..., Awaitable[object]]
AUDIO = (recording(2)[:16_000] * 32767).astype("<i2").tobytes()
DIALOGUE: list[Step] = [
    lambda socket: tell(socket, "start"),
    hear,
    lambda socket: socket.send(AUDIO[:3]),
    lambda socket: socket.send([AUDIO[3:1000], AUDIO[1000:]]),  # one message in two fragments
    hear,
    lambda socket: tell(socket, "finalize", id="x"),
    hear,
    lambda socket: tell(socket, "stop"),
    hear,
]


@pytest.mark.parametrize("point", range(len(DIALOGUE) + 1))
@pytest.mark.parametrize("how", ["abort", "close", "half a frame"])
async def test_a_client_may_vanish_at_every_point_of_the_dialogue(there: Service, point: int, how: str) -> None:
    async with dialing(there.url + STREAM) as socket:
        for step in DIALOGUE[:point]:
            await step(socket)
        if how == "close":
            await socket.close()
        elif how == "half a frame":
            socket.transport.write(b"\x82\xfe\xff")
            socket.transport.close()
        else:
            socket.transport.abort()
    await there.all_gone()


async def test_after_without_a_session_to_resume_leaves_no_session_behind(there: Service) -> None:
    talk = await hear_out(there.url, [start(after=5)])
    assert (talk.code, talk.of("error")[0]["code"]) == (1008, "bad_message")
    assert sum(there.server.sessions.counts().values()) == 0
