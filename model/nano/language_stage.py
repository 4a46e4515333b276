"""Stage b: the language model learns to copy, before it hears anything.

Pseudo-audio is a row of tokens between the usual parts of the prompt, to be repeated after them. Random tokens first:
natural text would let it guess from what it has said instead of looking. Then what the projector will really give:
blanks between the tokens, wrong tokens, natural text.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.nano.network import END, PAD, SPECIAL, VOCABULARY
from model.nano.texts import is_held_out, templated
from model.nano.tokens import processor_of
from model.speech import GraniteSpeech

PURE_STEPS = 650  # random tokens without blanks, until copying is there
RAMP_STEPS = 1500  # in which all the rest comes in, little by little: all at once, copying is lost again
NATURAL = 0.6  # share of natural text, in the end
MOST_TOKENS = 80  # of an answer
BLANKS = 0.6  # chance of one more blank before each token, in the end
WRONG = 0.05  # share of tokens that are heard wrongly


@dataclass(frozen=True, slots=True)
class Copy:
    """Pseudo-audio and what it says."""

    audio: list[int]
    answer: list[int]


class Copying:
    """Makes pseudo-audio."""

    def __init__(self, work: Path) -> None:
        self.processor = processor_of(work)
        lines = (work / "sentences.txt").read_text("utf8").splitlines()
        self._sentences = [line for line in lines if not is_held_out(line)]

    def draw(self, rng: random.Random, step: int) -> Copy:
        """One example; `step` says how far the curriculum is."""
        reached = min(1.0, max(0.0, (step - PURE_STEPS) / RAMP_STEPS))
        if rng.random() < NATURAL * reached:
            answer = self.processor.encode(self._text(rng, reached))[:MOST_TOKENS]
        else:
            answer = [rng.randrange(len(SPECIAL), VOCABULARY) for _ in range(rng.randint(4, 28 + int(12 * reached)))]
        blanks = BLANKS * reached * rng.random() ** 0.5
        audio: list[int] = []
        for token in answer:
            while rng.random() < blanks:
                audio.append(PAD)
            wrong = rng.random() < WRONG * reached
            audio.append(rng.randrange(len(SPECIAL), VOCABULARY) if wrong else token)
        audio += [PAD] * (rng.choice([1, 3, 9, 30]) if rng.random() < 0.5 * reached else 0)
        return Copy(audio + [PAD] * (-len(audio) % 3), answer)

    def _text(self, rng: random.Random, reached: float) -> str:
        """A sentence or several; now and then none, for audio that says nothing."""
        parts = rng.choice([0, 1, 1, 2, 2, 4]) if rng.random() < 0.5 * reached else 1
        texts = [templated(rng)[0] if rng.random() < 0.2 else rng.choice(self._sentences) for _ in range(parts)]
        return " ".join(texts)


def answer_loss(
    network: GraniteSpeech, prompt: tuple[list[int], list[int]], audio: Sequence[Tensor], answers: Sequence[list[int]],
    smoothing: float = 0.0,
) -> tuple[Tensor, float]:  # fmt: skip
    """Cross-entropy of answers (and of their end) after `prefix, audio, suffix`, and the share of right tokens.

    Audio is a list of embeddings `[n, width]`.
    """
    model = network.language_model
    prefix, suffix = model.embed(prompt[0]), model.embed(prompt[1])
    parts: list[Tensor] = []
    lengths: list[int] = []
    asked: list[int] = []  # positions whose prediction counts
    wanted: list[int] = []
    at = 0
    for heard, answer in zip(audio, answers, strict=True):
        before = len(prefix) + len(heard) + len(suffix)
        parts += [prefix, heard, suffix, model.embed(answer)]
        # the last token of the suffix predicts the answer's first, the answer's last token the end
        asked += range(at + before - 1, at + before + len(answer))
        wanted += [*answer, END]
        lengths.append(before + len(answer))
        at += lengths[-1]
    target = torch.tensor(wanted, device=network.device)
    # in float32: the cache takes one type, and rotated keys come out of autocast in another than values
    with torch.autocast(network.device.type, enabled=False):
        logits = model(torch.cat([part.float() for part in parts]), lengths)[torch.tensor(asked)]
    right = (logits.argmax(-1) == target).float().mean()
    return F.cross_entropy(logits.float(), target, label_smoothing=smoothing), float(right)


class LanguageStage:
    """Batches and loss."""

    def __init__(self, work: Path, seed: int, examples: int = 12) -> None:
        self.copying, self.seed, self.examples = Copying(work), seed, examples
        prompt = self.copying.processor.prompt()
        self.prompt = (prompt.prefix, prompt.suffix)

    def trained(self, network: GraniteSpeech) -> list[nn.Parameter]:
        """The parameters that learn."""
        return list(network.language_model.parameters())

    def prepare(self, step: int) -> None:
        """Nothing to do."""

    def loss(self, network: GraniteSpeech, step: int, worker: int) -> tuple[Tensor, dict[str, float], float]:
        """The loss of one worker's batch and figures; the seconds are those that so many tokens would last."""
        rng = random.Random(f"{self.seed}/{step}/{worker}/copy")
        copies = [self.copying.draw(rng, step) for _ in range(self.examples)]
        audio = [network.language_model.embed(copy.audio) for copy in copies]
        loss, right = answer_loss(network, self.prompt, audio, [copy.answer for copy in copies])
        seconds = sum(len(copy.audio) for copy in copies) * 0.1
        return loss, {"copy": float(loss.detach()), "right": right}, seconds
