"""Ten thousand messages that nobody in his right mind would send, and what is left of them: nothing."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import Iterator
from contextlib import AsyncExitStack
from itertools import chain
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed

from streamer import native
from streamer.options import WISHES
from streamer.server import Server
from streamer.session import Hold, Session
from streamer.sessions import Limits
from tests.servers import Running, dialing, hear_all, running, speech, until, whole, words_of

MESSAGES = 10_000
ENDS = {1000, 1002, 1003, 1007, 1008, 1009}  # all that a client may be told

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=6,
)
NAMES = ["sample_rate", "encoding", "channels", "step_ms", "partials", "words", "resume", "after", *WISHES]
starts = st.dictionaries(st.sampled_from(NAMES), anything, max_size=2).map(lambda fields: {"type": "start", **fields})
good = st.binary(max_size=400) | st.text(max_size=20).map(lambda name: {"type": "finalize", "id": name, "more": name})
bad = st.sampled_from([{"type": "stop"}, {"type": "start"}]) | starts | anything | st.text(max_size=30)
# Those of a good client are most, or every dialogue would end at its first word.
first = st.integers(0, 3).flatmap(lambda die: st.just({"type": "start"}) if die else starts | anything)
dialogues = st.tuples(
    first, st.lists(good, min_size=30, max_size=50), st.lists(bad, max_size=2), st.lists(good, max_size=5)
)


def written(message: Any) -> bytes | str:
    """Bytes and texts as they are, all else as JSON; what is no text at all goes as JSON too."""
    if isinstance(message, bytes):
        return message
    if isinstance(message, str) and not any("\ud800" <= letter <= "\udfff" for letter in message):
        return message
    return json.dumps(message)


@pytest.fixture
def loop() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


async def converse(there: Running, messages: list[Any]) -> None:
    """One connection; however it goes, it ends with a code, and with a word if it was not well."""
    async with dialing(f"ws://127.0.0.1:{there.port}/v1/stream") as socket:
        listening = asyncio.create_task(hear_all(socket))
        try:
            for message in [*messages, {"type": "stop"}]:
                await socket.send(written(message))
        except ConnectionClosed:
            pass  # told to leave while it was still speaking
        talk = await listening
    assert talk.code in ENDS
    assert (talk.code == 1000) == bool(talk.of("done") and not talk.of("error"))
    if talk.code in (1003, 1008):
        assert len(talk.of("error")) == 1
        assert talk.of("error")[0]["message"]


def test_ten_thousand_fuzzed_messages_change_nothing_and_leave_nothing(
    loop: asyncio.Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = 0

    def counted(call: Any) -> Any:
        def count(*given: Any) -> Any:
            nonlocal heard
            heard += 1
            return call(*given)

        return count

    monkeypatch.setattr(native.wire, "parse", counted(native.wire.parse))
    monkeypatch.setattr(Session, "hear", counted(Session.hear))
    stack, witness = AsyncExitStack(), speech(30)
    there = loop.run(stack.enter_async_context(running(Server(limits=Limits(resume_seconds=0.05)))))
    tasks = loop.run(tasks_of())

    @given(dialogues)
    @settings(max_examples=50, phases=[Phase.generate], suppress_health_check=list(HealthCheck), database=None)
    def fuzz(dialogue: tuple[Any, list[Any], list[Any], list[Any]]) -> None:
        start, *rest = dialogue
        loop.run(converse(there, [start, *chain.from_iterable(rest)]))

    speaking = loop.get_loop().create_task(whole(there.url, witness))
    while heard < MESSAGES:
        fuzz()
    assert loop.run(finish(speaking)) == words_of(witness)
    loop.run(until(lambda: not sum(there.server.sessions.counts().values())))
    assert loop.run(tasks_of()) <= tasks
    there.worker.feeds.clear()
    gc.collect()
    left = [each for each in gc.get_objects() if type(each) in (Session, Hold)]
    assert left == []
    loop.run(stack.aclose())


async def tasks_of() -> set[str]:
    """What runs, by name of what it does, without this."""
    return {str(task.get_coro()) for task in asyncio.all_tasks() if task is not asyncio.current_task()}


async def finish(speaking: asyncio.Task[Any]) -> list[str]:
    return (await speaking).texts
