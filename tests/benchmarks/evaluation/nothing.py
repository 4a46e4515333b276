"""Sounds without speech. The right number of words is 0, and the right cost next to nothing.

Digital silence, white and pink noise, hum, music-like tones. RTF: CPU seconds / audio second.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from streamer.engine import Engine
from streamer.options import Options
from tests.benchmarks.common import SAMPLE_RATE, Clock, streamed

LOUDNESS = 0.05  # root mean square, about that of speech
SCALE = (220.0, 261.6, 329.6, 392.0, 440.0, 523.3)  # Hz


def hear(engine: Engine, options: Options, most_minutes: float) -> dict[str, dict[str, Any]]:
    """Streams each."""
    results = {}
    for name, (minutes, sound) in SOUNDS.items():
        seconds = 60 * min(minutes, most_minutes)
        with Clock() as clock:
            captions = streamed(engine, sound(int(seconds * SAMPLE_RATE)), options)
        words = [word for final in captions.finals for word in final.text.split()]
        results[name] = {
            "minutes": seconds / 60,
            "words": len(words),
            "segments": len(captions.finals),
            "RTF": clock.cpu / seconds,
            "text": " ".join(words)[:60],
        }
    return results


def digital_silence(samples: int) -> Tensor:
    """Zeros."""
    return torch.zeros(samples)


def white_noise(samples: int) -> Tensor:
    """Every frequency equally loud."""
    return LOUDNESS * torch.randn(samples, generator=torch.Generator().manual_seed(0))


def pink_noise(samples: int) -> Tensor:
    """Power falls with frequency."""
    spectrum = torch.fft.rfft(white_noise(samples))
    pink = torch.fft.irfft(spectrum / torch.arange(1, len(spectrum) + 1).sqrt(), samples)
    return LOUDNESS * pink / pink.std()


def hum(samples: int) -> Tensor:
    """Mains, 50 Hz with its overtones, over faint noise."""
    time = torch.arange(samples, dtype=torch.float64) / SAMPLE_RATE
    tones = sum(torch.sin(2 * torch.pi * 50 * k * time) / k for k in (1, 2, 3, 5, 7))
    return (LOUDNESS * tones).float() + 0.02 * white_noise(samples)


def music(samples: int) -> Tensor:
    """Plucked chords of a pentatonic scale, four a second, with overtones and vibrato."""
    generator, note = torch.Generator().manual_seed(0), SAMPLE_RATE // 4
    time = torch.arange(note) / SAMPLE_RATE
    notes = []
    for _ in range(-(-samples // note)):
        chosen = torch.randint(len(SCALE), (2,), generator=generator).tolist()
        phase = 2 * torch.pi * time + 0.01 * torch.sin(2 * torch.pi * 5 * time)
        notes.append(sum(torch.sin(k * SCALE[at] * phase) / k**1.5 for at in chosen for k in range(1, 8)))
    return (LOUDNESS * torch.cat([each * torch.exp(-4 * time) for each in notes]))[:samples]


SOUNDS = {
    "digital silence": (10, digital_silence),
    "white noise": (10, white_noise),
    "pink noise": (10, pink_noise),
    "hum": (10, hum),
    "music-like tones": (5, music),
}
