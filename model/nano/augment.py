"""Audio to features as `model.features` makes them, with the world in between: rooms, noise, hum, telephones, throats.

All of it happens in the spectrum, where a filter is a product and another speaker's vocal tract is another filterbank,
so that augmenting costs a few per cent of training. Without `Distortion` the result equals `LogMel`.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor
from torchaudio.functional import melscale_fbanks

from model.features import FFT_SIZE, HOP, MEL_BANDS, QUIETEST, SAMPLE_RATE, WINDOW, stack

BINS = FFT_SIZE // 2 + 1
NOISE_SECONDS = 60  # of white noise that is kept; longer than any item
WARPS = tuple(0.84 + 0.02 * step for step in range(18))  # factors on the frequency axis: long and short throats


@dataclass(slots=True)
class Distortion:
    """What happens to one recording. The defaults change nothing."""

    gain: float = 1.0
    noise_db: float | None = None  # signal to noise ratio
    noise_slope: float = 0.0  # power falls with f ** slope: 0 white, 1 pink, 2 brown
    hum_hz: float | None = None  # of the mains
    reverb_seconds: float | None = None  # until the echo has fallen by 60 dB
    response: Tensor | None = None  # [257] the channel's gain by frequency
    warp: float = 1.0
    tempo: float = 1.0
    masks: int = 0  # bands, and stretches for each 3 s, that are blanked out (https://arxiv.org/abs/1904.08779)
    seed: int = 0
    babble: Tensor | None = field(default=None, repr=False)  # [T] other people in the room, instead of noise

    @classmethod
    def draw(cls, rng: random.Random, strength: float, masks: int) -> Distortion:
        """A random one: `strength` 0 is nearly clean, 1 is the world."""
        it = cls(gain=10 ** (-rng.uniform(0, 30 * strength + 5) / 20), seed=rng.getrandbits(60), masks=masks)
        if rng.random() < 0.6:
            it.noise_db = rng.uniform(45 - 38 * strength, 45)
            it.noise_slope = rng.choice([0.0, 0.5, 1.0, 1.5, 2.0])
        if rng.random() < 0.1 * strength:
            it.hum_hz = rng.choice([50.0, 60.0])
        if rng.random() < 0.25 * strength:
            it.reverb_seconds = rng.uniform(0.1, 0.7)
        if rng.random() < 0.6 * strength:
            it.response = channel(rng)
        if rng.random() < 0.8:
            it.warp = rng.choice(WARPS) if rng.random() < strength else rng.uniform(0.96, 1.04)
            it.tempo = rng.uniform(1 - 0.18 * strength, 1 + 0.2 * strength)
        return it

    def vary(self, rng: random.Random) -> None:
        """Another throat and another pace, and more that is blanked out: the same recording never sounds the same."""
        self.warp, self.tempo = rng.choice(WARPS), rng.uniform(0.85, 1.15)
        self.masks = max(self.masks, rng.randint(1, 3))


def channel(rng: random.Random) -> Tensor:
    """A microphone's, a codec's or a telephone's gain by frequency `[257]`: a smooth curve with band limits."""
    frequency = torch.linspace(0, SAMPLE_RATE / 2, BINS)
    octave = (frequency.clamp(min=60) / 60).log2() / 7  # 0 to 1 over the audible range
    curve_db = sum(
        rng.gauss(0, 3) * torch.cos(math.pi * (order + 1) * octave + rng.uniform(0, 6)) for order in range(4)
    )
    kind = rng.random()
    low, high = 0.0, SAMPLE_RATE / 2
    if kind < 0.15:
        low, high = rng.uniform(200, 400), rng.uniform(3200, 3600)
    elif kind < 0.5:
        low, high = rng.uniform(0, 150), rng.uniform(3600, 7800)
    outside = (low - frequency).clamp(min=0) / 50 + (frequency - high).clamp(min=0) / 100
    return 10 ** ((curve_db - (outside * 6).clamp(max=70)) / 20)


class Ear:
    """The filterbanks of many throats, and the way from samples to features through a distortion."""

    def __init__(self) -> None:
        plain = melscale_fbanks(BINS, 0.0, SAMPLE_RATE / 2, MEL_BANDS, SAMPLE_RATE)
        self._banks = {1.0: plain}
        self._window = torch.hann_window(WINDOW)
        self._white: Tensor | None = None  # a long stretch of white noise, made when first needed
        place = torch.arange(BINS)
        for warp in WARPS:
            source = (place * warp).clamp(max=BINS - 1)
            floor = source.floor().long().clamp(max=BINS - 2)
            part = (source - floor)[:, None]
            bank = plain[floor] * (1 - part) + plain[floor + 1] * part
            self._banks[warp] = bank * (place * warp < BINS)[:, None]

    def spectrum(self, samples: Tensor) -> Tensor:
        """`[T]` to complex `[257, mel frames]`, frames centred as in the reference."""
        return torch.stft(samples, FFT_SIZE, HOP, WINDOW, self._window, center=True, return_complex=True)

    def features(self, samples: Tensor, distortion: Distortion) -> Tensor:
        """`[T]` (float, 16 kHz) to features `[frames, 160]`."""
        it = distortion
        if it.reverb_seconds:
            samples = reverberate(samples, it.reverb_seconds, it.seed)
        level = samples.square().mean().sqrt().clamp(min=1e-3)  # silence gets the noise of a quiet recording
        if it.noise_db is not None:
            level = level * 10 ** (-it.noise_db / 20)
            if it.babble is not None:
                samples = samples + it.babble * (level / it.babble.square().mean().sqrt().clamp(min=1e-4))
            if it.hum_hz:
                samples = samples + level * hum(len(samples), it.hum_hz)
        spectrum = self.spectrum(samples)
        if it.response is not None:
            spectrum = spectrum * it.response[:, None]
        if it.noise_db is not None and it.babble is None:
            spectrum = spectrum + level * self._noise(spectrum.shape[1], it)
        power = it.gain**2 * (spectrum.real.square() + spectrum.imag.square())
        bank = self._banks[min(self._banks, key=lambda warp: abs(warp - it.warp))]
        raw = (power.T @ bank).clamp(min=QUIETEST).log10()  # [mel frames, 80]
        if it.tempo != 1.0:
            frames = max(2, round(len(raw) / it.tempo))
            raw = F.interpolate(raw.T[None], size=frames, mode="linear")[0].T
        return stack(mask(raw, it) if it.masks else raw, raw.amax())

    def _noise(self, frames: int, it: Distortion) -> Tensor:
        """The spectrum of noise of unit power, `[257, frames]`: coloured, swelling or not."""
        if self._white is None:
            generator = torch.Generator().manual_seed(0)
            self._white = self.spectrum(torch.randn(NOISE_SECONDS * SAMPLE_RATE, generator=generator))
        at = it.seed % max(1, self._white.shape[1] - frames)
        slope = torch.arange(1, BINS + 1) ** (-it.noise_slope / 2)
        spectrum = self._white[:, at : at + frames] * (slope / slope.square().mean().sqrt())[:, None]
        if it.seed % 3 == 0:
            pace = 0.001 + it.seed % 17 / 1000  # swells in each mel frame
            spectrum = spectrum * (1 + 0.8 * torch.sin(2 * math.pi * pace * torch.arange(spectrum.shape[1])))
        return F.pad(spectrum, (0, frames - spectrum.shape[1]))


def hum(samples: int, hertz: float) -> Tensor:
    """The mains and its harmonics, `[T]`."""
    time = torch.arange(samples) / SAMPLE_RATE
    orders = torch.tensor([1.0, 2.0, 3.0, 5.0, 7.0])
    return (torch.sin(2 * math.pi * hertz * orders[:, None] * time) / orders[:, None]).sum(0)


def reverberate(samples: Tensor, seconds: float, seed: int) -> Tensor:
    """A room: the direct sound, then noise that decays; as loud and as long as before."""
    generator = torch.Generator().manual_seed(seed)
    time = torch.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    echo = torch.randn(len(time), generator=generator) * 10 ** (-3 * time / seconds)
    echo = echo * (0.3 + 0.7 * torch.rand((), generator=generator)) / echo.norm()
    echo[0] += 1.0
    size = 1 << (len(samples) + len(echo) - 1).bit_length()
    wet = torch.fft.irfft(torch.fft.rfft(samples, size) * torch.fft.rfft(echo, size), size)[: len(samples)]
    return wet * (samples.norm() / wet.norm().clamp(min=1e-6))


def mask(raw: Tensor, it: Distortion) -> Tensor:
    """Blank out bands and stretches, with the recording's mean."""
    rng, (frames, bands), raw = random.Random(it.seed), raw.shape, raw.clone()
    mean = raw.mean()
    for _ in range(it.masks):
        width = rng.randint(0, 14)
        at = rng.randint(0, bands - width)
        raw[:, at : at + width] = mean
    for _ in range(it.masks * max(1, frames // 300) if frames > 60 else 0):
        width = rng.randint(0, 14)
        at = rng.randint(0, frames - width)
        raw[at : at + width] = mean
    return raw
