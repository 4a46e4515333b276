"""What most tests need: the embedded model, loaded once, and the recordings with what is said in them."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import settings

from model import GraniteSpeech
from streamer.latency import BALANCED, LATENCIES, STEADY, Latency
from streamer.sound.recordings import open_recording

AUDIO = Path(__file__).parent / "audio"
NAMES = [json.loads(line)["file"] for line in (AUDIO / "manifest.jsonl").read_text().splitlines()]

torch.set_num_threads(1)  # so that sums are added up in the same order wherever the tests run
settings.register_profile("here", deadline=None, print_blob=True)
settings.load_profile("here")


@dataclass(frozen=True)
class Spoken:
    """A recording and its transcript."""

    name: str
    samples: torch.Tensor  # [T], 16 kHz
    text: str


def read(name: str) -> torch.Tensor:
    """The samples `[T]` of a recording in tests/audio."""
    with open_recording(str(AUDIO / name)) as recording:
        return torch.from_numpy(np.concatenate(list(recording.chunks(16_000))))


def pcm(samples: torch.Tensor) -> bytes:
    """Samples `[T]` as pcm_s16le."""
    return (samples * 32767).short().numpy().astype("<i2").tobytes()


@pytest.fixture(scope="session")
def nano() -> GraniteSpeech:
    return GraniteSpeech.load("nano")


@pytest.fixture(scope="session")
def spoken() -> list[Spoken]:
    rows = [json.loads(line) for line in (AUDIO / "manifest.jsonl").read_text().splitlines()]
    return [Spoken(row["file"], read(row["file"]), row["text"]) for row in rows]


@pytest.fixture(scope="session")
def talk() -> Spoken:
    return Spoken("talk.flac", read("talk.flac"), (AUDIO / "talk.txt").read_text().strip())


@pytest.fixture
def nothing_promised(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is committed before a final: what is, and so forced, would depend on how busy the machine is."""
    monkeypatch.setitem(LATENCIES, BALANCED, Latency(600, replace(STEADY, commit=())))
