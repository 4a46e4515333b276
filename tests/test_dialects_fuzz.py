"""What nobody in his right mind would send in each dialect: it is answered or ends a connection, and leaves nothing."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed

from streamer.dialects import wyoming
from streamer.server import Server
from streamer.sessions import Limits
from tests.servers import Running, dialing, hear_all, running, speech, until, whole, words_of
from tests.test_fuzz import ENDS, anything, written

DIALOGUES = 60  # for each dialect
RAW = "encoding=linear16&sample_rate=16000"


def mutated(*messages: dict[str, Any]) -> st.SearchStrategy[Any]:
    """These messages, whole or with one of their values, however deep, replaced by anything."""

    def within(value: Any) -> st.SearchStrategy[Any]:
        if not isinstance(value, dict) or not value:
            return anything
        name = st.sampled_from(sorted(value))
        return name.flatmap(lambda name: within(value[name]).map(lambda other: {**value, name: other})) | anything

    return st.sampled_from(messages).flatmap(lambda message: st.just(message) | within(message))


audio_input = {
    "format": {"type": "audio/pcm", "rate": 16_000},
    "transcription": {"language": "en", "keywords": ["Ada"], "delay": "low"},
    "turn_detection": {"type": "server_vad", "silence_duration_ms": 300},
}
appended = {"type": "input_audio_buffer.append", "audio": base64.b64encode(speech(0.1)).decode()}
realtime = mutated(
    {"type": "session.update", "event_id": "x", "session": {"type": "transcription", "audio": {"input": audio_input}}},
    {"type": "session.update", "model": "x"},
    {"type": "transcription_session.update", "session": {"input_audio_format": "pcm16", "turn_detection": None}},
    appended,
    appended,
    appended,
    {"type": "input_audio_buffer.commit", "final": True},
    {"type": "input_audio_buffer.clear"},
)
audio = st.binary(max_size=400)
deepgram = audio | mutated({"type": "KeepAlive"}, {"type": "Finalize"}, {"type": "Configure", "keyterms": ["x"]})
vosk = audio | mutated({"config": {"sample_rate": 8000, "words": True, "phrase_list": ["x"]}}, {"eof": 1})
sound = {"rate": 16_000, "width": 2, "channels": 1}
house = mutated(
    {"type": "describe"},
    {"type": "ping", "data": {"text": "x"}},
    {"type": "transcribe", "data": {"language": "en", "transcript_names": ["Ada"], "transcript_terms": ["x"]}},
    {"type": "audio-start", "data": sound},
    {"type": "audio-chunk", "data": sound, "payload_length": 0},
    {"type": "audio-stop", "data": {}, "data_length": 0},
)


async def over_a_socket(there: Running, path: str, messages: list[Any]) -> None:
    async with dialing(f"ws://127.0.0.1:{there.port}{path}") as socket:
        listening = asyncio.create_task(hear_all(socket))
        try:
            for message in messages:
                await socket.send(written(message))
            await socket.close()
        except ConnectionClosed:
            pass  # told to leave while it was still speaking
        assert (await listening).code in ENDS


async def over_tcp(port: int, messages: list[Any]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for message in messages:
            writer.write(json.dumps(message).encode() + b"\n")
            await writer.drain()
        writer.write_eof()
        async with asyncio.timeout(20):
            assert b"internal" not in await reader.read()
    except ConnectionError:
        pass  # told to leave while it was still speaking
    finally:
        writer.close()


@pytest.mark.parametrize(
    ("path", "messages"),
    [
        ("/v1/realtime?intent=transcription", realtime),
        (f"/v1/listen?{RAW}&interim_results=true&utterance_end_ms=100", deepgram),
        ("/vosk", vosk),
        (None, house),
    ],
)
def test_fuzzed_messages_change_nothing_and_leave_nothing(path: str | None, messages: Any) -> None:
    witness = speech(10)

    async def all_of_it(dialogues: list[list[Any]]) -> None:
        async with running(Server(limits=Limits(resume_seconds=0.05))) as there, asyncio.TaskGroup() as tasks:
            server = there.server
            speaking = tasks.create_task(whole(there.url, witness))
            ports = server.sessions, server.access
            async with wyoming.listening("127.0.0.1", 0, *ports) as listener:
                port = listener.sockets[0].getsockname()[1]
                for dialogue in dialogues:
                    await (over_a_socket(there, path, dialogue) if path else over_tcp(port, dialogue))
                assert (await speaking).texts == words_of(witness)
                await until(lambda: not sum(server.sessions.counts().values()))
                await until(lambda: not server.access._connections)
            assert b'code="internal"' not in server.metrics.page()

    dialogues: list[list[Any]] = []

    @given(st.lists(messages, max_size=20))
    @settings(max_examples=DIALOGUES, phases=[Phase.generate], suppress_health_check=list(HealthCheck), database=None)
    def draw(dialogue: list[Any]) -> None:
        dialogues.append(dialogue)

    draw()
    asyncio.run(all_of_it(dialogues))
