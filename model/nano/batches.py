"""What training hears at a step: which clips, joined how, through which distortion. A pure function of seed and step.

So a run resumes at its step without any state of the data, and two workers draw different batches of the same step.
(New clips that a growing shard brings are seen after the next `reload`; with finished shards a run is reproducible.)
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from model.features import FFT_SIZE, FRAME_SECONDS
from model.nano.augment import Distortion, Ear
from model.nano.shards import SAMPLE_RATE, Clip, Shard, shards_of

# How much of what is heard is each source's. Few hours of people and of Kokoro weigh more than many of formant voices.
SHARES = {"espeak": 0.16, "flite": 0.12, "festival": 0.07, "pico": 0.14, "rhvoice": 0.08, "kokoro": 0.24,
          "human_native": 0.06, "human_accent": 0.06, "human_taught": 0.08}  # fmt: skip
HOURS_FOR_FULL_SHARE = 0.5
# A source with less is heard so often that it is learned by heart: after 100 h, a fifth of them the same half hour of
# Kokoro, 1 % of the words in that were wrong, and 29 % in other sentences of the same voices.
SCARCE_HOURS = 12.0
FEW_VOICES = 10  # speakers: with fewer of them a source tells more of their throats than of speech
VARIED = 0.5  # share of the items of either that are made unlike themselves
MAX_SECONDS = 30.0  # of an item: what one segment may be
SHORT_SECONDS = 3.0  # of the first lessons
# of distortion: half of what is heard is nearly clean, as most of what users play is
STRENGTHS = (0.1, 0.1, 0.1, 0.4, 0.4, 1.0)
NOTHING = 0.015  # share of items that hold no speech
# Most seconds of silence at both ends. A quarter has next to none: recordings of people and parts of a stream begin and
# end with a word, and what was always followed by silence loses its last letters there.
AROUND = (0.06, 0.4, 0.8, 1.6)
EDGE = 640  # samples that must be heard after a word's last character: 40 ms


@dataclass(frozen=True, slots=True)
class Item:
    """One training example."""

    features: Tensor  # [frames, 160]
    text: str
    told: int  # frames that the text tells of: behind them a cut item has a word in its midst


class Corpus:
    """The training shards of a work folder, by source."""

    def __init__(self, folder: Path, shares: dict[str, float] | None = None) -> None:
        self._folder, self._shares = folder, shares or SHARES
        self.clips: dict[str, list[tuple[Shard, Clip]]] = {}
        self.short: dict[str, list[tuple[Shard, Clip]]] = {}
        self.reload()

    def reload(self) -> None:
        """Take in what was written since."""
        for source in self._shares:
            found = [(s, c) for s in shards_of(self._folder / source) for c in s.clips if c.samples and c.text]
            found = [(s, c) for s, c in found if c.samples < MAX_SECONDS * SAMPLE_RATE]
            short = [(s, c) for s, c in found if c.samples < SHORT_SECONDS * SAMPLE_RATE]
            if found:
                self.clips[source], self.short[source] = found, short or found
        # a source that has just begun to grow would otherwise be the same few clips again and again; and a share is of
        # time: the clips of some people are three times as long as those of the engines
        self._weights = {
            name: self._shares[name] * min(1.0, hours / HOURS_FOR_FULL_SHARE) * len(self.clips[name]) / hours
            for name, hours in self.hours.items()
        }
        self.alike = {name for name, hours in self.hours.items() if hours < SCARCE_HOURS} | {
            name for name, clips in self.clips.items() if len({clip.voice for _, clip in clips}) < FEW_VOICES
        }
        assert self.clips, f"no training shards in {self._folder}: run model.nano.synthesize first"

    @property
    def hours(self) -> dict[str, float]:
        """Speech by source."""
        return {name: sum(c.samples for _, c in clips) / SAMPLE_RATE / 3600 for name, clips in self.clips.items()}

    def choose(self, rng: random.Random, short: bool = False) -> str:
        """A source, by its share."""
        pool = self.short if short else self.clips
        (source,) = rng.choices(list(pool), [self._weights[name] for name in pool])
        return source

    def draw(self, rng: random.Random, source: str, short: bool = False) -> tuple[Shard, Clip]:
        """One clip of a source."""
        return rng.choice((self.short if short else self.clips)[source])


class Lessons:
    """Draws batches: short single utterances, nearly clean; then joins, through more and more of the world."""

    def __init__(
        self, corpus: Corpus, seed: int, batch_seconds: float, easy_steps: int, ramp_steps: int, cut: float = 0.0
    ) -> None:
        """Makes lessons.

        Args:
            corpus: what to draw from.
            seed: of everything.
            batch_seconds: audio for each worker at a step.
            easy_steps: of short utterances.
            ramp_steps: in which distortion then grows to its full strength.
            cut: share of items that end in the midst of speech.
        """
        self.corpus, self.seed, self.batch_seconds = corpus, seed, batch_seconds
        self.easy_steps, self.ramp_steps, self.cut = easy_steps, ramp_steps, cut
        self._ear = Ear()

    def batch(self, step: int, worker: int) -> list[Item]:
        """The items that one worker learns from at a step: about `batch_seconds` in all."""
        rng = random.Random(f"{self.seed}/{step}/{worker}")
        items: list[Item] = []
        room = self.batch_seconds
        while room > 0:
            items.append(self._item(rng, step))
            room -= len(items[-1].features) * FRAME_SECONDS
        return items

    def _item(self, rng: random.Random, step: int) -> Item:
        if step < self.easy_steps:
            shard, clip = self.corpus.draw(rng, self.corpus.choose(rng, short=True), short=True)
            samples = torch.from_numpy(shard.samples(clip))
            samples = torch.cat([_silence(rng, 0.3), samples, _silence(rng, 0.3)])
            return _whole(self._ear.features(samples, Distortion.draw(rng, strength=0.2, masks=0)), clip.text)
        reached = min(1.0, (step - self.easy_steps) / max(1, self.ramp_steps))
        strength = rng.choice(STRENGTHS) * (0.2 + 0.8 * reached)
        masks = round(2 * strength) if rng.random() < reached else 0
        distortion = Distortion.draw(rng, strength, rng.randint(0, masks))
        if rng.random() < NOTHING:
            distortion.noise_db = rng.uniform(0, 40) if rng.random() < 0.7 else None
            return _whole(self._ear.features(torch.zeros(int(rng.uniform(0.5, 6) * SAMPLE_RATE)), distortion), "")
        source = self.corpus.choose(rng)
        if source in self.corpus.alike and rng.random() < VARIED * reached:
            distortion.vary(rng)
        samples, text, told = self.joined(rng, source)
        if distortion.noise_db is not None and rng.random() < 0.15:
            distortion.babble = self._babble(rng, len(samples))
            distortion.noise_db = max(distortion.noise_db, 8.0)
        features = self._ear.features(samples, distortion)
        return Item(features, text, max(1, round(told * len(features))))

    def joined(self, rng: random.Random, source: str) -> tuple[Tensor, str, float]:
        """One to three utterances, sometimes half a minute of them, with pauses around and between.

        Gives samples, text, and the share of the samples that the text tells of.
        """
        chosen = [self.corpus.draw(rng, source)]
        limit = rng.choices([1, 2, 3, 12], [5, 2, 1, 0.8])[0]
        seconds = chosen[0][1].samples / SAMPLE_RATE
        while len(chosen) < limit:
            # mostly the same engine goes on; another one stands for a second speaker
            more = self.corpus.draw(rng, source if rng.random() < 0.6 else self.corpus.choose(rng))
            seconds += more[1].samples / SAMPLE_RATE + 1.0
            if seconds > MAX_SECONDS - 3:
                break
            chosen.append(more)
        pieces = [_silence(rng, rng.choice(AROUND))]
        for shard, clip in chosen:
            samples = torch.from_numpy(shard.samples(clip)) * 10 ** (rng.uniform(-6, 0) / 20)
            pieces += [samples, _silence(rng, rng.choice([0.15, 0.5, 1.2]))]
        texts = [clip.text for _, clip in chosen]
        shard, clip = chosen[-1]
        unknown = 0  # samples behind the last word that was told
        if rng.random() < self.cut and len(ends := shard.word_ends(clip)) == len(clip.text.split()):
            # as a stream's live edge does: in the midst of a word, whose text is not wanted yet
            at = rng.randint(min(FFT_SIZE, clip.samples), clip.samples)  # a shorter item has no spectrum
            pieces[-2:] = [pieces[-2][:at]]
            heard = [end + EDGE for end in ends if end + EDGE <= at]
            texts[-1] = " ".join(clip.text.split()[: len(heard)])
            unknown = at - max(heard, default=0)
        else:
            pieces[-1] = _silence(rng, rng.choice(AROUND))
        samples = torch.cat(pieces)
        return samples, " ".join(text for text in texts if text), 1 - unknown / len(samples)

    def _babble(self, rng: random.Random, samples: int) -> Tensor:
        """Several people at once, as long as asked for."""
        total = torch.zeros(samples)
        for _ in range(rng.randint(3, 6)):
            shard, clip = self.corpus.draw(rng, self.corpus.choose(rng))
            voice = torch.from_numpy(shard.samples(clip))
            at = rng.randrange(len(voice))
            repeats = -(-samples // len(voice)) + 1
            total += voice.repeat(repeats)[at : at + samples]
        return total


def _whole(features: Tensor, text: str) -> Item:
    return Item(features, text, len(features))


def _silence(rng: random.Random, most_seconds: float) -> Tensor:
    return torch.zeros(int(rng.uniform(0, most_seconds) * SAMPLE_RATE))
