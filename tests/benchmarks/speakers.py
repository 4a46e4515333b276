"""People who speak at the same time, at the speed of speech, through sockets; and when they saw what.

Each says other phrases in another order with other pauses, begins at another moment, and knows when each word was said.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np
import torch

from clients.connection import Captions, connect
from clients.errors import CaptionsError
from clients.outgoing import to_bytes
from model.speech import GraniteSpeech
from streamer.events import Done, Final, Partial
from tests.benchmarks.common import FEED_SAMPLES, LOUD, SAMPLE_RATE, recordings, texts
from tests.benchmarks.delays import Delays, add
from tests.benchmarks.words import Spoken, placed

PAUSE_SECONDS = (0.8, 2.5)  # longer than the endpoint, so that a phrase is a segment at least
SPREAD_SECONDS = 3.0  # within which all begin
LAST_PAUSE_SECONDS = 1.5  # so that the last segment ends by itself


@dataclass
class Phrase:
    """A recording without the quiet at its ends, and its words."""

    samples: np.ndarray
    words: list[Spoken]


@dataclass
class Outcome:
    """What a number of speakers saw."""

    delays: Delays = field(default_factory=Delays)
    finals: int = 0
    failures: list[str] = field(default_factory=list)  # refused, cut off, or audio that is missing
    latest_sending_seconds: float = 0.0  # behind the speech: the machine of the speakers itself was too slow


@cache
def phrases(model: GraniteSpeech) -> list[Phrase]:
    """Those of tests/audio, words placed by forced alignment."""
    found = []
    for name, samples in recordings().items():
        if name != "talk":
            loud = (samples.abs() > LOUD).nonzero().flatten()
            trimmed = samples[loud[0] : loud[-1] + 1]
            found.append(Phrase(trimmed.numpy(), placed(model, texts()[name], trimmed)))
    return found


def monologue(some: Sequence[Phrase], seconds: float, seed: int) -> Phrase:
    """Phrases with pauses, at least so long."""
    chance, parts, words, length = random.Random(seed), [], [], 0
    while length < seconds * SAMPLE_RATE:
        phrase = chance.choice(some)
        start = length / SAMPLE_RATE
        words += [replace(word, start=word.start + start, end=word.end + start) for word in phrase.words]
        parts += [phrase.samples, np.zeros(int(chance.uniform(*PAUSE_SECONDS) * SAMPLE_RATE), np.float32)]
        length += len(parts[-2]) + len(parts[-1])
    return Phrase(np.concatenate([*parts, np.zeros(int(LAST_PAUSE_SECONDS * SAMPLE_RATE), np.float32)]), words)


async def all_at_once(url: str, speeches: Sequence[Phrase]) -> Outcome:
    """All of them speak."""
    outcome, chance = Outcome(), random.Random(0)
    async with asyncio.TaskGroup() as group:
        for speech in speeches:
            group.create_task(_speaker(url, speech, chance.uniform(0, SPREAD_SECONDS), outcome))
    return outcome


async def _speaker(url: str, speech: Phrase, wait_seconds: float, outcome: Outcome) -> None:
    await asyncio.sleep(wait_seconds)
    try:
        async with connect(url) as captions:
            began = asyncio.get_running_loop().time()
            listening = asyncio.create_task(_listen(captions, began))
            try:
                await _speak(captions, speech.samples, began, outcome)
                history, done = await listening
            finally:
                listening.cancel()
    except CaptionsError as error:
        outcome.failures.append(str(error))
        return
    if abs(done.audio_seconds - len(speech.samples) / SAMPLE_RATE) > 1e-3:
        outcome.failures.append(f"{done.audio_seconds} s of {len(speech.samples) / SAMPLE_RATE} s arrived")
    for index in sorted({event.segment for _, event in history}):
        add(outcome.delays, [each for each in history if each[1].segment == index], speech.words)
        outcome.finals += 1


async def _speak(captions: Captions, samples: np.ndarray, began: float, outcome: Outcome) -> None:
    clock = asyncio.get_running_loop().time
    for start in range(0, len(samples), FEED_SAMPLES):
        piece = samples[start : start + FEED_SAMPLES]
        spoken = began + (start + len(piece)) / SAMPLE_RATE
        await asyncio.sleep(spoken - clock())
        outcome.latest_sending_seconds = max(outcome.latest_sending_seconds, clock() - spoken)
        await captions.send(to_bytes(piece, "pcm_s16le", 1))
    await captions.stop()


async def _listen(captions: Captions, began: float) -> tuple[list[tuple[float, Partial | Final]], Done]:
    """Each event with the seconds since the speaker began."""
    clock, history = asyncio.get_running_loop().time, []
    async for event in captions:
        if isinstance(event, Partial | Final):
            history.append((clock() - began, event))
        elif isinstance(event, Done):
            return history, event
    raise AssertionError("a stream ends with Done")


def speeches(model: GraniteSpeech, count: int, seconds: float) -> list[Phrase]:
    """One for each speaker, never the same."""
    with torch.inference_mode():
        some = phrases(model)
    return [monologue(some, seconds, seed) for seed in range(count)]
