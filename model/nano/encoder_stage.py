"""Stage a: the encoder alone, by CTC on characters after the middle and the last layer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from model.alignment import Alphabet
from model.encoder import Encoding
from model.features import FRAME_SECONDS
from model.nano.batches import Corpus, Item, Lessons
from model.speech import GraniteSpeech

MIDDLE = 0.3  # share of the middle layer's loss
RELOAD_STEPS = 500  # between looks for new clips


def ctc(logits: Sequence[Tensor], targets: list[list[int]], blank: int = 0) -> Tensor:
    """CTC loss of items' logits `[T, labels]`, per target label; items without text count their blanks."""
    lengths = torch.tensor([len(each) for each in logits])
    log_probs = pad_sequence([each.float().log_softmax(-1) for each in logits])  # [T, B, labels]
    wanted = torch.tensor([label for target in targets for label in target], dtype=torch.long)
    sizes = torch.tensor([len(target) for target in targets])
    total = F.ctc_loss(log_probs, wanted.to(log_probs.device), lengths, sizes, blank, "sum", zero_infinity=True)
    return total / max(1, len(wanted))


class EncoderStage:
    """Batches and loss."""

    def __init__(self, work: Path, seed: int, batch_seconds: float, easy_steps: int, ramp_steps: int) -> None:
        self.lessons = Lessons(Corpus(work / "train"), seed, batch_seconds, easy_steps, ramp_steps)

    def trained(self, network: GraniteSpeech) -> list[nn.Parameter]:
        """The parameters that learn."""
        return list(network.encoder.parameters())

    def prepare(self, step: int) -> None:
        """Called before each step, alone."""
        if step % RELOAD_STEPS == 0:
            self.lessons.corpus.reload()

    def loss(self, network: GraniteSpeech, step: int, worker: int) -> tuple[Tensor, dict[str, float], float]:
        """The loss of one worker's batch, figures to print, and the seconds of audio in it."""
        items = self.lessons.batch(step, worker)
        lengths = [len(item.features) for item in items]
        frames = torch.cat([item.features for item in items]).to(network.device)
        loss = letters_loss(network.encoder(frames, network.encoder.layout(lengths)), items, network.alphabet)
        return loss, {"ctc": float(loss.detach())}, sum(lengths) * FRAME_SECONDS


def letters_loss(encoding: Encoding, items: list[Item], alphabet: Alphabet) -> Tensor:
    """CTC after the middle and the last layer.

    What the encoder makes of a word in its midst is left to it: it shall write what it hears, and not keep silent where
    audio ends in case the word were not whole.
    """
    lengths = [len(item.features) for item in items]
    targets = [alphabet.labels(item.text) for item in items]
    middle, last = (
        ctc([each[: item.told] for each, item in zip(torch.split(logits, lengths), items, strict=True)], targets)
        for logits in (encoding.middle_logits, encoding.logits)
    )
    return MIDDLE * middle + (1 - MIDDLE) * last
