"""What each way of encoding as it comes would cost a final in text; `Hearing` therefore encodes finals as a whole.

Unbroken speech of 10 to 30 s. drafts: what `Hearing` shows before the final, updates of 600 ms. one block late, carried
state: blocks are settled when they have seen a whole right neighbour. at once: as soon as they are full. state dropped:
one block late, but each begins without the convolution inputs left of it. at once, state dropped: both.
equal: share of segments whose greedy text equals that of the offline embeddings. characters: edit distance to that
text / its length. error: largest and mean relative error of the embeddings, the worst segment.
"""

from __future__ import annotations

import jiwer
import torch
from torch import Tensor

from model.speech import GraniteSpeech, Span
from streamer.hearing import OVERLAP_FRAMES
from tests.benchmarks.common import Settings, unbroken
from tests.benchmarks.report import save, table
from tests.benchmarks.writing import relative_error, write

SEGMENTS = 24
STEP_FRAMES = 30  # 600 ms
WAYS = {  # settle late, carry state
    "drafts": None,
    "one block late, carried state": (True, True),
    "at once": (False, True),
    "state dropped": (True, False),
    "at once, state dropped": (False, False),
}
COLUMNS = ("", "equal", "characters", "largest error", "mean error")


def run(settings: Settings) -> None:
    """Every way over every segment."""
    network = settings.load()
    cases: dict[str, list[tuple[bool, float, float, float]]] = {name: [] for name in WAYS}
    for index in range(SEGMENTS):
        features = network.features(unbroken(10 + 20 * index / SEGMENTS, seed=100 + index))
        true = network.encode([Span(features)])[0].embeddings
        text = write(network, true)
        for name, way in WAYS.items():
            embeddings = in_blocks(network, features, *way) if way else drafts(network, features)
            written = write(network, embeddings)
            mean = float((embeddings - true).norm() / true.norm())
            cases[name].append((written == text, jiwer.cer(text, written), relative_error(embeddings, true), mean))
    results = {
        name: dict(
            zip(
                COLUMNS[1:],
                (
                    sum(each[0] for each in of) / SEGMENTS,
                    sum(each[1] for each in of) / SEGMENTS,
                    max(each[2] for each in of),
                    max(each[3] for each in of),
                ),
                strict=True,
            )
        )
        for name, of in cases.items()
    }
    table("ways to settle blocks", COLUMNS, [[name, *each.values()] for name, each in results.items()])
    save("choices", settings, {"segments": SEGMENTS, "results": results})


def drafts(network: GraniteSpeech, features: Tensor) -> Tensor:
    """Embeddings of a segment as they stand after updates of 600 ms, each going on from the edge the last one kept."""
    hidden, start, edge = features.new_empty(0), 0, None
    for end in [*range(STEP_FRAMES, len(features), STEP_FRAMES), len(features)]:
        border = end - OVERLAP_FRAMES
        borders = (border,) if border > start else ()
        (heard,) = network.encode([Span(features[start:end], start, edge, borders=borders)])
        hidden = torch.cat([hidden[:start], heard.hidden])
        if borders:
            start, edge = border, heard.edges[0]
    with torch.inference_mode():
        return network.projector(network.projector.windows(hidden)).flatten(0, 1)


def in_blocks(network: GraniteSpeech, features: Tensor, late: bool, carried: bool) -> Tensor:
    """Embeddings of a segment whose blocks are encoded one after the other, each settled for good.

    A block that is settled late is encoded together with its right neighbour; the last two stay together.
    """
    block, frames = network.config.encoder.context_size, len(features)
    hidden, edge = features.new_empty(0), None
    for start in range(0, frames, block):
        border = start + block
        end = min(border + (block if late else 0), frames)
        last = end == frames
        (heard,) = network.encode([Span(features[start:end], start, edge, borders=() if last else (border,))])
        hidden = torch.cat([hidden, heard.hidden if last else heard.hidden[:block]])
        if last:
            break
        edge = heard.edges[0] if carried else None
    with torch.inference_mode():
        return network.projector(network.projector.windows(hidden)).flatten(0, 1)
