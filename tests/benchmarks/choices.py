"""What each choice of the encoder's streaming buys in text: the same segments, encoded in cheaper ways.

Unbroken speech of 10 to 30 s. one block late, carried state: what `Hearing` does. at once: a block is settled as soon
as it is full, without a right neighbour. state dropped: one block late, but each begins without the convolution inputs
left of it. at once, state dropped: both.
equal: share of segments whose greedy text equals that of the offline embeddings. characters: edit distance to that
text / its length. error: largest and mean relative error of the embeddings, the worst segment.
"""

from __future__ import annotations

import jiwer
import torch
from torch import Tensor

from model.speech import GraniteSpeech, Span
from tests.benchmarks.common import Settings, unbroken
from tests.benchmarks.report import save, table
from tests.benchmarks.writing import relative_error, write

SEGMENTS = 24
WAYS = {  # settle late, carry state
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
        for name, (late, carried) in WAYS.items():
            embeddings = in_blocks(network, features, late=late, carried=carried)
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


def in_blocks(network: GraniteSpeech, features: Tensor, *, late: bool, carried: bool) -> Tensor:
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
