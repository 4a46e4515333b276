"""Stage a: the encoder alone, by CTC on characters after the middle and the last layer (weights 0.3 and 0.7)."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from model.features import FRAME_SECONDS
from model.nano.batches import Corpus, Item, Lessons
from model.nano.network import labels_of
from model.speech import GraniteSpeech

RELOAD_STEPS = 500  # between looks for new clips


def ctc(logits: Tensor, lengths: list[int], targets: list[list[int]], blank: int = 0) -> Tensor:
    """CTC loss of packed logits `[N, labels]`, per target label; items without text count their blanks."""
    log_probs = pad_sequence(list(torch.split(logits.float().log_softmax(-1), lengths)))  # [T, B, labels]
    wanted = torch.tensor([label for target in targets for label in target], dtype=torch.long)
    sizes = torch.tensor([len(target) for target in targets])
    total = F.ctc_loss(
        log_probs, wanted.to(logits.device), torch.tensor(lengths), sizes, blank, "sum", zero_infinity=True
    )
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
        middle, last = encoder_losses(network, items, lengths)
        return 0.3 * middle + 0.7 * last, {"ctc": float(last.detach())}, sum(lengths) * FRAME_SECONDS


def encoder_losses(network: GraniteSpeech, items: list[Item], lengths: list[int]) -> tuple[Tensor, Tensor]:
    """CTC after the middle and the last layer."""
    frames = torch.cat([item.features for item in items]).to(network.device)
    encoding = network.encoder(frames, network.encoder.layout(lengths))
    targets = [labels_of(item.text) for item in items]
    return ctc(encoding.middle_logits, lengths, targets), ctc(encoding.logits, lengths, targets)
