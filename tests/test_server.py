import asyncio
import contextlib
import json
from itertools import pairwise

import pytest
from websockets.exceptions import ConnectionClosed

from model import Wish
from streamer.health import Health
from streamer.options import Options
from streamer.server import Server
from streamer.sessions import Limits
from tests.servers import (
    FakeFeed,
    dialing,
    get,
    hear,
    hear_all,
    hear_until,
    running,
    say,
    send_audio,
    speech,
    until,
    whole,
    words_of,
)


async def test_a_stream_is_ready_then_events_then_done():
    audio = speech(2.5)
    async with running() as here:
        talk = await whole(here.url, audio)
    ready, *_, done = talk.messages
    assert ready["type"] == "ready"
    assert (ready["model"], ready["sample_rate"], ready["audio_seconds"]) == ("fake", 16_000, 0.0)
    assert "seq" not in ready
    assert talk.texts == words_of(audio)
    assert done == {"type": "done", "audio_seconds": 2.5, "seq": talk.seqs[-1]}
    assert (talk.code, talk.reason) == (1000, "")


async def test_seq_counts_the_events_and_nothing_else():
    async with running() as here:
        talk = await whole(here.url, speech(3))
    assert talk.seqs == list(range(1, len(talk.seqs) + 1))
    assert all("seq" not in message for message in talk.of("ack") + talk.of("ready"))


async def test_audio_is_acknowledged_at_least_once_a_second_and_before_done():
    async with running() as here:
        talk = await whole(here.url, speech(5))
    acks = [0.0, *(ack["audio_seconds"] for ack in talk.of("ack"))]
    assert acks == sorted(acks)
    assert max(later - sooner for sooner, later in pairwise(acks)) <= 1.0
    assert talk.messages[-2] == {"type": "ack", "audio_seconds": 5.0}


async def test_many_speakers_at_once_get_each_their_own_words():
    audios = [speech(3, seed) for seed in range(16)]
    async with running() as here, asyncio.TaskGroup() as tasks:
        talks = [tasks.create_task(whole(here.url, audio)) for audio in audios]
    assert [talk.result().texts for talk in talks] == [words_of(audio) for audio in audios]


@pytest.mark.parametrize("piece_bytes", [1, 3, 1600, 100_000])
async def test_words_do_not_depend_on_how_the_audio_is_cut(piece_bytes):
    audio = speech(1.5)
    async with running() as here, dialing(here.url) as socket:
        await say(socket, "start")
        await send_audio(socket, audio, piece_bytes)
        await say(socket, "stop")
        assert (await hear_all(socket)).texts == words_of(audio)


async def test_a_flood_of_tiny_messages_costs_the_memory_of_its_samples():
    async with running() as here, dialing(here.url) as socket:
        await say(socket, "start")
        await send_audio(socket, speech(1), 1)
        await hear_until(socket, "final")
        assert here.worker.feeds[0].pieces <= 51  # of 32,000 messages


async def test_finalize_is_answered_behind_its_final():
    audio = speech(0.25)
    async with running() as here, dialing(here.url) as socket:
        await say(socket, "start")
        await send_audio(socket, audio)
        await say(socket, "finalize", id="x")
        talk = await hear_until(socket, "finalized")
        assert talk.texts == words_of(audio)
        assert talk.messages[-1]["id"] == "x"


async def test_what_a_client_asks_for_reaches_its_stream_and_no_other():
    async with running() as here, dialing(here.url) as one, dialing(here.url) as other:
        await say(one, "start", step_ms=600, endpoint_ms=900, partials=False, prompt="Write.", keywords=["Łódź"])
        await hear(one)
        await say(other, "start", words=False)
        await send_audio(other, speech(1))
        talk = await hear_until(other, "final")
        asked, usual = (feed.options for feed in here.worker.feeds)
        assert (asked.step_ms, asked.endpoint_ms, asked.partials) == (600, 900, False)
        assert asked.wish == Wish(prompt="Write.", keywords=("Łódź",))
        assert (usual.update_ms, usual.latency, usual.wish) == (600, "balanced", Wish())
        assert talk.of("final")[0]["words"] == []


async def test_the_service_s_prompt_holds_where_a_client_brings_none():
    async with running(Server(limits=Limits(options=Options(wish=Wish(prompt="Translate."))))) as here:
        await whole(here.url, b"")
        await whole(here.url, b"", prompt="Write.")
        await whole(here.url, b"", task="transcribe")
        assert [feed.options.wish.prompt for feed in here.worker.feeds] == ["Translate.", "Write.", None]


async def test_other_rates_and_channels_are_heard_as_16_khz_mono():
    async with running() as here:
        talk = await whole(here.url, speech(6), sample_rate=48_000, channels=2)
        assert talk.of("ready")[0]["sample_rate"] == 48_000
        assert talk.messages[-2:] == [
            {"type": "ack", "audio_seconds": 1.0},
            {"type": "done", "audio_seconds": 1.0, "seq": talk.seqs[-1]},
        ]


BAD_STARTS = {
    "not json": "bad_message",
    "[1, 2]": "bad_message",
    "[" * 60_000: "bad_message",
    '{"type": "greet"}': "bad_message",
    '{"type": "stop"}': "bad_message",
    '{"type": "start", "step_ms": "fast"}': "bad_message",
    '{"type": "start", "step_ms": 0}': "bad_message",
    '{"type": "start", "sample_rate": 0}': "bad_audio",
    '{"type": "start", "sample_rate": -1}': "bad_audio",
    '{"type": "start", "sample_rate": 1000000000}': "bad_audio",
    '{"type": "start", "channels": 65}': "bad_audio",
    '{"type": "start", "encoding": "mp3"}': "bad_audio",
    '{"type": "start", "resume": "nobody"}': "unknown_session",
}


@pytest.mark.parametrize(("text", "code"), BAD_STARTS.items())
async def test_a_wrong_start_is_answered_with_an_error_and_leaves_nothing(text, code):
    async with running() as here, dialing(here.url) as socket:
        await socket.send(text)
        talk = await hear_all(socket)
        assert [message["code"] for message in talk.messages] == [code]
        assert talk.code == 1008
        await here.emptied()


@pytest.mark.parametrize("text", ["not json", '{"type": "start"}', '{"type": "finalize", "id": 7}', '{"type": []}'])
async def test_a_wrong_message_ends_its_session_and_no_other(text):
    audio = speech(2)
    async with running() as here, dialing(here.url) as good, dialing(here.url) as bad:
        await say(good, "start")
        await send_audio(good, audio[: len(audio) // 2])
        await say(bad, "start")
        await hear(bad)
        await bad.send(text)
        talk = await hear_all(bad)
        assert (talk.messages[-1]["code"], talk.code) == ("bad_message", 1008)
        await until(lambda: here.worker.feeds[1].dropped)
        await send_audio(good, audio[len(audio) // 2 :])
        await say(good, "stop")
        assert (await hear_all(good)).texts == words_of(audio)


async def test_audio_before_start_is_refused():
    async with running() as here, dialing(here.url) as socket:
        await socket.send(b"\0\0")
        talk = await hear_all(socket)
        assert (talk.messages[0]["code"], talk.code) == ("bad_message", 1003)


async def test_audio_behind_stop_takes_nothing_of_what_was_said(monkeypatch):
    async with running() as here, dialing(here.url) as socket:
        end = FakeFeed.end
        monkeypatch.setattr(FakeFeed, "end", lambda feed: None)  # one that takes its time
        await say(socket, "start")
        await send_audio(socket, audio := speech(1.5))
        await say(socket, "stop")
        await socket.send(b"\0\0")
        await hear_until(socket, "final")
        await asyncio.sleep(0.05)  # the late audio is there, too
        end(here.worker.feeds[0])
        talk = await hear_all(socket)
    assert talk.texts == words_of(audio)[1:]
    assert (talk.messages[-1]["type"], talk.code) == ("done", 1000)


@pytest.mark.parametrize("message", ["x" * 100_000, "x" * 10_000_000, b"\0" * 2_000_000])
async def test_a_message_that_is_too_long_closes_with_1009(message):
    async with running() as here, dialing(here.url) as socket:
        await say(socket, "start")
        await hear(socket)
        with contextlib.suppress(ConnectionClosed):
            await socket.send(message)
            await hear_all(socket)
        assert socket.close_code == 1009
        await here.emptied()


async def test_a_stream_that_breaks_says_so_and_reaches_no_other():
    audio = speech(1)
    async with running() as here, dialing(here.url) as bad, dialing(here.url) as good:
        for socket in (bad, good):
            await say(socket, "start")
            await hear(socket)
        here.worker.feeds[0].breaks()
        talk = await hear_all(bad)
        assert (talk.messages[-1]["code"], talk.code) == ("internal", 1011)
        await send_audio(good, audio)
        await say(good, "stop")
        assert (await hear_all(good)).texts == words_of(audio)


async def test_a_mistake_of_ours_ends_one_connection_and_is_one_line_in_the_log(monkeypatch, caplog):
    caplog.set_level("ERROR", "granite_stream")
    async with running() as here, dialing(here.url) as bad, dialing(here.url) as good:
        for socket in (bad, good):
            await say(socket, "start")
            await hear(socket)
        monkeypatch.setattr(here.worker.feeds[0], "finalize", lambda name: 1 / 0)
        await say(bad, "finalize", id="x")
        assert (await hear_all(bad)).code == 1011
        assert [record.message for record in caplog.records] == ["connection failed"]
        assert here.worker.feeds[0].dropped
        await say(good, "stop")
        assert (await hear_all(good)).code == 1000


async def test_pages_answer_without_a_socket():
    async with running() as here:
        assert (await get(here.port, "/health")) == (200, "ok\n")
        assert (await get(here.port, "/ready")) == (200, "ok\n")
        assert (await get(here.port, "/ready?verbose"))[0] == 200
        assert (await get(here.port, "/", method="HEAD")) == (200, "")
        assert (await get(here.port, "/overlay"))[0] == 200
        assert (await get(here.port, "/health", method="DELETE"))[0] == 405
        assert (await get(here.port, "/nothing"))[0] == 404
        assert (await get(here.port, "/v1/stream"))[0] == 426


@pytest.mark.parametrize("state", ["loading", "draining", "broken"])
async def test_who_comes_while_no_session_can_begin_is_told_503(state):
    async with running() as here:
        setattr(here.server.health, state, True)
        assert (await get(here.port, "/ready")) == (503, f"{state}\n")
        assert (await get(here.port, "/health"))[0] == (503 if state == "broken" else 200)
        with pytest.raises(Exception, match="503"):
            async with dialing(here.url):
                pass


def test_a_new_service_is_not_ready():
    assert Health().hindrance == "loading"


async def test_the_log_names_a_session_by_too_little_to_take_it_over(caplog):
    caplog.set_level("INFO", "granite_stream")
    async with running() as here:
        session = (await whole(here.url, speech(1))).messages[0]["session"]
        await here.emptied()
    assert [record.fields["session"] for record in caplog.records] == [session[:8], session[:8]]
    assert not any(session in str(record.__dict__) for record in caplog.records)


async def test_metrics_tell_sessions_delays_refusals_and_errors():
    async with running() as here, dialing(here.url) as socket:
        await say(socket, "start")
        await send_audio(socket, speech(1))
        await hear_until(socket, "final")
        await whole(here.url, b"", sample_rate=1)
        here.worker.refuses = "full"
        await whole_refused(here.url)
        here.worker.compute_seconds = 0.25
        status, page = await get(here.port, "/metrics")
    assert status == 200
    lines = dict(line.rsplit(" ", 1) for line in page.splitlines() if not line.startswith("#"))
    assert lines['granite_stream_sessions{state="connected"}'] == "1.0"
    assert lines['granite_stream_errors_total{code="bad_audio"}'] == "1.0"
    assert lines['granite_stream_refusals_total{reason="load"}'] == "1.0"
    assert float(lines["granite_stream_audio_seconds_total"]) == pytest.approx(1.0)
    figures = {
        "queue_seconds": 1.5,
        "compute_seconds_total": 0.25,
        "real_time_factor": 0.25,
        "busy_ratio": 0.5,
        "needed_ratio": 0.25,
    }
    figures |= {"streams": 1, "watchers": 0, "update_audio_seconds": 0.3}
    assert {name: float(lines[f"granite_stream_{name}"]) for name in figures} == pytest.approx(figures)
    for kind in ("update", "first_partial", "commit", "final"):
        assert lines[f"granite_stream_{kind}_delay_seconds_count"] == "1.0"
    assert float(lines["process_resident_memory_bytes"]) > 1e6


async def whole_refused(url):
    async with dialing(url) as socket:
        await socket.send(json.dumps({"type": "start"}))
        assert (await hear_all(socket)).messages == []
