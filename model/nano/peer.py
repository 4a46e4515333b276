"""A model of others that hears English well: it stands beside nano in `evaluate`, and labels speech in `synthesize`.

Any Whisper in faster-whisper's format will do (`pip install faster-whisper`); what the card calls Whisper base is
openai/whisper-base in int8.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.nano.templates import cardinal
from model.nano.texts import SPOKEN


def normalise(text: str) -> str:
    """A peer's text in the form of the references: small letters, numbers in words."""
    text = re.sub(r"\d+", lambda digits: f" {cardinal(int(digits[0]))} " if len(digits[0]) < 7 else digits[0], text)
    words = re.sub(r"[^a-z' ]", " ", text.lower().replace("-", " ").replace("’", "'")).split()
    return " ".join(SPOKEN.get(word, word) for word in words)


def whisper(folder: Path) -> Callable[[NDArray[np.float32]], str]:
    """A converted Whisper model, read by faster-whisper on one thread: samples at 16 kHz to normalised text."""
    from faster_whisper import WhisperModel

    model: Any = WhisperModel(str(folder), device="cpu", compute_type="int8", cpu_threads=1)

    def hear(samples: NDArray[np.float32]) -> str:
        segments, _ = model.transcribe(samples, language="en", beam_size=1, without_timestamps=True)
        return normalise(" ".join(segment.text for segment in segments))

    return hear
