"""What is played to the model: clips joined to speeches, with pauses, noise, and turns of two speakers.

Every speech knows its words and, by forced alignment of each clean clip, when each was said. Equal seeds and clips give
equal speeches; `digest` tells whether two runs heard the same.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from model.speech import GraniteSpeech
from tests.benchmarks.common import SAMPLE_RATE, recordings, texts
from tests.benchmarks.evaluation.nothing import pink_noise
from tests.benchmarks.evaluation.voices import HELD_OUT, PEOPLE, TRAINED, Clip, clips
from tests.benchmarks.words import Spoken, placed

TAIL_SECONDS = 1.5  # of silence, so that the last segment ends by itself
SENTENCES = (0.8, 1.5)  # seconds between clips: each is a segment of its own
FLUENT = (0.15, 0.9)  # some of them end a segment, most do not
UNBROKEN = (0.05, 0.25)  # none of them does, so segments must be cut
TURNS = (-0.15, 0.4)  # one speaker begins while the other ends, or soon after
NOISE_DB = (20, 10, 5, 0)  # of speech above noise
LOUD = 0.01  # amplitude of the first and last sample of a clip that is cut out of all silence
TUNING, JUDGING = "tuning", "held-out voices"  # a policy is chosen on the one and judged on the other
CUT, BARE = "without pauses", "without silence around"
SEEDS = {TUNING: 1, JUDGING: 2, "long talk": 3, "two speakers": 4, "noise": 5, "people": 6, CUT: 7}


@dataclass(frozen=True, slots=True)
class Speech:
    """Something to stream, and what is said in it."""

    samples: Tensor  # [T]
    words: list[Spoken]


@dataclass(frozen=True, slots=True)
class Part:
    """Speeches of one kind; figures are of all of them together."""

    name: str
    speeches: list[Speech]

    @property
    def seconds(self) -> float:
        """Of audio."""
        return sum(len(speech.samples) for speech in self.speeches) / SAMPLE_RATE

    @property
    def words(self) -> int:
        """That are said."""
        return sum(len(speech.words) for speech in self.speeches)

    @property
    def digest(self) -> str:
        """Of its audio and words, not of where a model places them."""
        seen = hashlib.sha256()
        for speech in self.speeches:
            seen.update((speech.samples * 32767).round().short().numpy().tobytes())
            seen.update(" ".join(word.text for word in speech.words).encode())
        return seen.hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Lengths:
    """Seconds of each kind of speech."""

    tuning: float
    held_out: float
    people: float
    long_talk: float
    noise: float  # at each level
    two_speakers: float
    unbroken: float
    bare_clips: int  # this one is a count
    noise_db: tuple[int, ...] = NOISE_DB


WHOLE = Lengths(120, 360, people=90, long_talk=630, noise=60, two_speakers=60, unbroken=240, bare_clips=40)
QUICK = Lengths(10, 15, people=6, long_talk=0, noise=6, two_speakers=8, unbroken=16, bare_clips=2, noise_db=(10,))


def build(model: GraniteSpeech, work: Path, lengths: Lengths) -> Iterator[Part]:
    """All parts there are clips for, the tuning part first."""
    make = Composer(model)
    trained, held_out = _sets(work, TRAINED), _sets(work, HELD_OUT)
    if trained:
        yield Part(TUNING, [make.speech(trained, lengths.tuning, SENTENCES, SEEDS[TUNING])])
    if lengths.long_talk:
        yield Part("recordings", [make.recording(name) for name in recordings()])
    if held_out:

        def sentences(seconds: float, seed: int) -> Speech:
            return make.speech(held_out, seconds, SENTENCES, seed)

        yield Part(JUDGING, [sentences(lengths.held_out, SEEDS[JUDGING])])
        yield from _noisy(sentences, lengths)
        yield Part(CUT, [make.speech(held_out, lengths.unbroken, UNBROKEN, SEEDS[CUT])])
        yield Part(BARE, [make.bare(clip) for each in held_out for clip in each[: lengths.bare_clips // len(held_out)]])
        yield Part("two speakers", [make.speech(held_out, lengths.two_speakers, TURNS, SEEDS["two speakers"])])
    for name, label in PEOPLE.items():
        if people := _sets(work, (name,)):
            yield Part(label, [make.speech(people, lengths.people, SENTENCES, SEEDS["people"])])
    if lengths.long_talk and trained + held_out:
        yield Part("long talk", [make.speech(trained + held_out, lengths.long_talk, FLUENT, SEEDS["long talk"])])


def _sets(work: Path, names: Sequence[str]) -> list[list[Clip]]:
    return [found for name in names if (found := clips(work, name, 1000))]


def _noisy(speech: Callable[[float, int], Speech], lengths: Lengths) -> Iterator[Part]:
    for level in lengths.noise_db:
        clean = speech(lengths.noise, SEEDS["noise"])
        yield Part(f"noise {level} dB", [replace(clean, samples=with_noise(clean.samples, level))])


def with_noise(samples: Tensor, level_db: float) -> Tensor:
    """Speech with pink noise so far below it; what is silent does not count for how loud the speech is."""
    loudness = samples[samples != 0].square().mean().sqrt()
    noise = pink_noise(len(samples))
    noise *= loudness * 10 ** (-level_db / 20) / noise.square().mean().sqrt()
    return (samples + noise).clamp(-1, 1)


class Composer:
    """Joins clips; a clip that is used twice is aligned once."""

    def __init__(self, model: GraniteSpeech) -> None:
        self._model = model
        self._words: dict[int, list[Spoken]] = {}

    def recording(self, name: str) -> Speech:
        """One of tests/audio."""
        samples = recordings()[name]
        return Speech(_with_tail([samples]), placed(self._model, texts()[name], samples))

    def speech(self, sets: Sequence[Sequence[Clip]], seconds: float, pauses: tuple[float, float], seed: int) -> Speech:
        """Clips of each set in turn, at least so long together. A pause below zero lets two of them overlap."""
        chance, samples, words = random.Random(seed), torch.zeros(0), list[Spoken]()
        turns = [chance.sample(clips, len(clips)) for clips in sets]
        turn = 0
        while len(samples) < seconds * SAMPLE_RATE:
            of_set = turns[turn % len(turns)]
            clip = of_set[turn // len(turns) % len(of_set)]
            start = max(0, len(samples) + int(chance.uniform(*pauses) * SAMPLE_RATE))
            words += [_later(word, start / SAMPLE_RATE) for word in self._placed(clip)]
            samples = torch.cat([samples, torch.zeros(max(0, start + len(clip.samples) - len(samples)))])
            samples[start : start + len(clip.samples)] += clip.samples
            turn += 1
        return Speech(_with_tail([samples]), words)

    def bare(self, clip: Clip) -> Speech:
        """One clip, from its first loud sample to its last."""
        loud = (clip.samples.abs() > LOUD).nonzero().flatten()
        first, last = int(loud[0]), int(loud[-1])
        words = [_later(word, -first / SAMPLE_RATE) for word in self._placed(clip)]
        return Speech(clip.samples[first : last + 1], [replace(word, start=max(0.0, word.start)) for word in words])

    def _placed(self, clip: Clip) -> list[Spoken]:
        if id(clip) not in self._words:
            self._words[id(clip)] = placed(self._model, clip.text, clip.samples)
        return self._words[id(clip)]


def _later(word: Spoken, seconds: float) -> Spoken:
    return replace(word, start=word.start + seconds, end=word.end + seconds)


def _with_tail(pieces: Sequence[Tensor]) -> Tensor:
    return torch.cat([*pieces, torch.zeros(int(TAIL_SECONDS * SAMPLE_RATE))])
