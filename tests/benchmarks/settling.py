"""What streaming leaves inexact: how far a block's frames are from offline, by how much of its neighbours was there.

right: the utterance ends this many frames behind the block; 200 frames are one whole neighbour.
left edge: whole: the convolution inputs that an offline pass leaves at the block's left border. early: those left by
    a block that had no right neighbour yet, which is what an open block starts from. late: by one that had a whole
    neighbour, which is what a settled block passes on. none: zeros. With left edges everything right of the block is
    there, so only the edge is judged.
largest: largest difference / largest value offline, over the block. rms N: root mean square of the difference / of the
    values offline, over the N frames at the border in question. mean rms: over the whole block. Embeddings alike, of
    the windows that lie wholly inside the block.
All in float64, the worst over the blocks of one unbroken stretch of speech: for `nano`, and for random weights (16
layers of the true depth, small width), where every layer leaks as much as it can.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from model.speech import GraniteSpeech, Heard, Span
from tests.benchmarks.common import Settings, unbroken
from tests.benchmarks.report import save, table
from tests.benchmarks.stages import FRAMES_A_SECOND
from tests.checkpoints import VARIANTS
from tests.checkpoints import save as save_checkpoint

BLOCKS = 7  # and two behind them as neighbours
RIGHT = (0, 10, 30, 100, 200, 400)
NEAR = (1, 7, 50)
COLUMNS = ("", "largest", *(f"rms {count}" for count in NEAR), "mean rms", "embeddings: largest", "mean rms")


def run(settings: Settings) -> None:
    """Both networks."""
    with TemporaryDirectory() as directory:
        random_weights = save_checkpoint(next(each for each in VARIANTS if each.name == "4.0-untied"), Path(directory))
        networks = {
            settings.model: GraniteSpeech.load(settings.model, dtype=torch.float64),
            "random weights, 16 layers": GraniteSpeech.load(random_weights, dtype=torch.float64),
        }
    results = {}
    for name, network in networks.items():
        results[name] = measure(network)
        table(f"{name}: relative difference to offline", COLUMNS, [[k, *v] for k, v in results[name].items()])
    save("settling", settings, {"columns": COLUMNS[1:], "results": results})


def measure(network: GraniteSpeech) -> dict[str, list[float]]:
    """Rows of the table."""
    block = network.config.encoder.context_size
    features = network.features(unbroken((BLOCKS + 2) * block / FRAMES_A_SECOND, seed=0)).double()
    borders = tuple(block * index for index in range(1, BLOCKS + 1))
    (offline,) = network.encode([Span(features, borders=borders)])
    rows = {}
    for right in RIGHT:
        cases = []
        for border in borders:
            (heard,) = network.encode([Span(features[: border + right])])
            cases.append(errors(network, heard, offline, border - block, 0, at_end=True))
        rows[f"right: {right} frames"] = worst(cases)
    for name, edges in left_edges(network, features, borders, offline).items():
        cases = []
        for start, edge in zip(borders, edges, strict=True):
            (heard,) = network.encode([Span(features[start:], start, edge)])
            # a border of blocks lies within a window, which begins with frames that were heard before
            before = offline.hidden[start - start % network.config.window_size : start]
            windows = network.projector.windows(torch.cat([before, heard.hidden]))
            heard = replace(heard, embeddings=network.projector(windows).flatten(0, 1))
            cases.append(errors(network, heard, offline, start, start, at_end=False))
        rows[f"left edge: {name}"] = worst(cases)
    return rows


def left_edges(
    network: GraniteSpeech, features: Tensor, borders: tuple[int, ...], offline: Heard
) -> dict[str, list[Tensor | None]]:
    """An edge for each border, of each kind."""
    block = network.config.encoder.context_size

    def with_right(frames: int) -> list[Tensor | None]:
        return [network.encode([Span(features[: at + frames], borders=(at,))])[0].edges[0] for at in borders]

    return {"whole": list(offline.edges), "late": with_right(block), "early": with_right(0), "none": [None] * BLOCKS}


def errors(
    network: GraniteSpeech, heard: Heard, offline: Heard, start: int, first: int, *, at_end: bool
) -> list[float]:
    """Figures of the block that begins at frame `start`; `heard` begins at frame `first`."""
    config = network.config
    block, window, each = config.encoder.context_size, config.window_size, config.window_embeddings
    true = offline.hidden[start : start + block]
    hidden = heard.hidden[start - first : start - first + block] - true
    near = hidden.flip(0) if at_end else hidden
    near_true = true.flip(0) if at_end else true
    inside = slice(-(-start // window) * each, (start + block) // window * each)
    shift = first // window * each
    embeddings = heard.embeddings[inside.start - shift : inside.stop - shift] - offline.embeddings[inside]
    return [
        float(hidden.abs().max() / true.abs().max()),
        *(float(near[:count].norm() / near_true[:count].norm()) for count in NEAR),
        float(hidden.norm() / true.norm()),
        float(embeddings.abs().max() / offline.embeddings[inside].abs().max()),
        float(embeddings.norm() / offline.embeddings[inside].norm()),
    ]


def worst(cases: list[list[float]]) -> list[float]:
    """The largest of each figure."""
    return [max(column) for column in zip(*cases, strict=True)]
