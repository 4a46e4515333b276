"""What is written down where nobody speaks, and what it costs: the right number of words is 0.

10 min of digital silence, of white and pink noise and of hum, 5 min of music-like tones, through `Engine`, step 600 ms.
RTF: CPU seconds / audio second.
"""

from __future__ import annotations

import torch
from torch import Tensor

from streamer.engine import Engine
from streamer.options import Options
from tests.benchmarks.common import SAMPLE_RATE, Clock, Settings, streamed
from tests.benchmarks.report import save, table

LOUDNESS = 0.05  # root mean square, about that of speech
SCALE = (220.0, 261.6, 329.6, 392.0, 440.0, 523.3)  # Hz


def run(settings: Settings) -> None:
    """Streams each."""
    engine = Engine(settings.load())
    results = {}
    for name, (minutes, sound) in SOUNDS.items():
        samples = sound(int(60 * minutes * SAMPLE_RATE))
        with Clock() as clock:
            captions = streamed(engine, samples, Options(step_ms=600))
        words = [word for final in captions.finals for word in final.text.split()]
        results[name] = {
            "minutes": minutes,
            "words": len(words),
            "segments": len(captions.finals),
            "rtf": clock.cpu / (60 * minutes),
            "text": " ".join(words)[:60],
        }
    rows = [[name, *result.values()] for name, result in results.items()]
    table("sounds without speech", ("", "minutes", "words", "segments", "RTF", "text"), rows)
    save("silence", settings, {"results": results})


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
