"""The real client, a real daemon, the real network: through sockets everything is as without them."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from clients.connection import connect
from model import GraniteSpeech
from streamer.events import Done, Event, Final, Finalized, Partial, Word
from streamer.options import Options
from streamer.sessions import Limits
from tests.speaking import (
    FINALS_ONLY,
    PIECE,
    Cutter,
    Lockstep,
    budgets,
    captions_of,
    finals,
    local,
    recording,
    say,
    service,
)


async def test_every_event_is_that_of_a_local_run(nano: GraniteSpeech) -> None:
    samples = recording(0)
    async with service(nano) as there:
        network = Lockstep(there.engine)
        async with connect(there.url, encoding="pcm_f32le") as captions:
            await network.idle.wait()
            for start in range(0, len(samples), PIECE):
                network.idle.clear()
                await captions.send(samples[start : start + PIECE])
                await network.idle.wait()
            await captions.stop()
            assert [event async for event in captions] == local(nano, 0, Options())


@pytest.mark.parametrize("pieces", [(159, 1601, 7919), (16_000 * 10,)])
async def test_finals_are_those_of_a_local_run_however_the_audio_is_sent(
    nano: GraniteSpeech, pieces: tuple[int, ...]
) -> None:
    async with service(nano) as there, connect(there.url, encoding="pcm_f32le", partials=False) as captions:
        assert await say(captions, recording(1), pieces) == local(nano, 1, FINALS_ONLY)


async def test_sixteen_at_once_get_each_their_own(nano: GraniteSpeech) -> None:
    async with service(nano) as there:
        heard = await asyncio.gather(*(captions_of(there.url, index) for index in range(16)))
        await there.all_gone()
    assert heard == [about(local(nano, index, FINALS_ONLY)) for index in range(16)]
    assert len({str(finals(events)) for events in heard}) == 16


def about(events: list[Event]) -> list[Event]:
    """The same, confidence aside: products of matrices of another shape are rounded otherwise, and it after them."""
    return [
        replace(event, words=tuple(map(_about, event.words))) if isinstance(event, Final) else event for event in events
    ]


def _about(word: Word) -> Word:
    return replace(word, confidence=pytest.approx(word.confidence, abs=0.002))


@pytest.mark.parametrize("seed", range(6))
async def test_wherever_the_connection_is_cut_the_captions_are_those_of_an_uncut_one(
    nano: GraniteSpeech, seed: int
) -> None:
    async with service(nano, Limits(resume_seconds=5.0)) as there:
        cutter = Cutter(there.port, budgets(seed, count=12, least=100, most=(15_000, 30_000, 80_000)[seed % 3]))
        async with cutter.open() as url:
            assert await captions_of(url, seed) == local(nano, seed, FINALS_ONLY)
        assert cutter.cuts > 3
        await there.all_gone()


async def test_cut_while_partials_come_nothing_committed_is_lost_or_doubled(nano: GraniteSpeech) -> None:
    async with service(nano) as there:
        cutter = Cutter(there.port, budgets(7, count=20, least=3_000, most=20_000))
        async with cutter.open() as url, asyncio.timeout(60):
            events = await captions_of(url, 2, partials=True)
    committed = ""
    for event in events:
        if isinstance(event, Partial):
            assert event.committed.startswith(committed)
            committed = event.committed
    (final,) = finals(events)
    assert final.text.startswith(committed)
    assert isinstance(events[-1], Done)


async def test_a_finalize_ends_the_segment_where_it_stands_also_when_it_had_to_be_said_twice(
    nano: GraniteSpeech,
) -> None:
    samples = recording(3)
    half = len(samples) // 2

    async def with_finalize(url: str) -> list[object]:
        async with connect(url, encoding="pcm_f32le", partials=False) as captions:
            await captions.send(samples[:half])
            await captions.finalize("half")
            return await say(captions, samples[half:])

    async with service(nano) as there:
        uncut = await with_finalize(there.url)
        at = [isinstance(event, Finalized) for event in uncut].index(True)
        assert finals(uncut[:at])
        assert finals(uncut[at:])
        for seed in range(3):
            # the audio of the first half and a little: the cut falls about where the finalize is
            around = half * 4 + 1000 + 40 * seed
            async with Cutter(there.port, [around, around // 2, 3000]).open() as url:
                assert await with_finalize(url) == uncut
