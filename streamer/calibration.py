"""What a speaker will cost on this machine, guessed before anybody speaks. Also the warm-up: first calls are slow."""

from __future__ import annotations

import time

import torch

from model.granite import Extension
from model.speech import GraniteSpeech, Span
from streamer.estimate import Update
from streamer.load import LONGEST_STEP_SECONDS

STREAMS = 4  # at once: what is shared between them is part of the cost
UPDATE = Update.of(LONGEST_STEP_SECONDS)  # that is timed
WITH_FINAL = 2.0  # a final encodes everything once more
SPEAKING = 0.7  # of the time
REPEATS = 5
PATIENCE_SECONDS = 1.0  # a service must not be long in starting


def share_of_a_speaker(model: GraniteSpeech) -> float:
    """The share of a thread's time that one stream will need at least; a rough guess, measured on noise."""
    _update(model)
    seconds = [_update(model)]
    while sum(seconds) < PATIENCE_SECONDS and len(seconds) < REPEATS:
        seconds.append(_update(model))
    # the fastest: what else the machine did just then is no property of the model
    return SPEAKING * WITH_FINAL * min(seconds) / STREAMS / LONGEST_STEP_SECONDS


def _update(model: GraniteSpeech) -> float:
    """Seconds that one update of a few streams takes."""
    began = time.perf_counter()
    lengths = [UPDATE.positions, *[1] * round(UPDATE.tokens)]
    cache = model.cache(sum(lengths))
    slots = [cache.acquire() for _ in range(STREAMS)]
    model.encode([Span(torch.randn(UPDATE.frames, model.config.encoder.input_dim)) for _ in slots])
    width = model.config.text.hidden_size
    for turn, length in enumerate(lengths):
        inputs = torch.zeros(length, width, dtype=model.dtype, device=model.device)
        model.extend([Extension(slot, sum(lengths[:turn]), inputs) for slot in slots], cache)
    return time.perf_counter() - began
