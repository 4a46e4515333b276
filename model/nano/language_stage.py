"""Stage b: the language model learns to copy, before it hears anything.

Pseudo-audio is a row of tokens between the usual parts of the prompt, to be repeated after them. Random tokens first:
natural text would let it guess from what it has said instead of looking. Blanks stand between the tokens from the first
step, few in some rows and many in others. Learned without them, copying means "the token at the next place"; blanks
that come in later then make it worse and worse (17 % right at 50 % blanks after 1600 steps, whatever the rate), until
"the next token that is no blank" is found from nothing. With them it is found at once: 64 % right after 500 steps of 24
rows, 96 % after 950, at every share of blanks. Last comes what else the projector will really give: wrong tokens, long
silence at the end, and above all natural text as the encoder mishears it (`mishearing`), to be set right.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.nano.mishearing import Mishearing
from model.nano.network import END, PAD, SPECIAL, VOCABULARY
from model.nano.texts import is_held_out, templated
from model.nano.tokens import processor_of
from model.speech import GraniteSpeech

EXAMPLES = 24  # for each worker at a step
ROWS_TOGETHER = 6
BLANKS = 0.6  # most chance of one more blank before each token; half of the rows have more than 0.42
NATURAL = 0.8  # share of natural text, after that
MISHEARD = 0.9  # of which is misheard, once an encoder has told how
WRONG = 0.05  # share of tokens that are heard wrongly in all other rows, after that
TAIL = 0.5  # share of rows that end in silence, after that
MOST_WORDS = 84  # of natural text: as many as half a minute of speech has
READ = 0.5  # weight of text that is read by itself


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
        misheard = work / "misheard.jsonl"
        self._mishearing = Mishearing.read(misheard) if misheard.exists() else None

    def draw(self, rng: random.Random, learned: bool) -> Copy:
        """One example: random tokens and blanks alone, until it is `learned` to copy them."""
        wrong = WRONG if learned else 0.0
        if learned and rng.random() < NATURAL:
            text = self._text(rng)
            answer = heard = self.processor.encode(text)
            if self._mishearing and rng.random() < MISHEARD:
                heard, wrong = self.processor.encode(self._mishearing.hear(text, rng)), 0.0
        else:
            answer = heard = [_any_token(rng) for _ in range(rng.randint(4, 40 if learned else 28))]
        blanks = BLANKS * rng.random() ** 0.5
        audio: list[int] = []
        for token in heard:
            while rng.random() < blanks:
                audio.append(PAD)
            audio.append(_any_token(rng) if rng.random() < wrong else token)
        audio += [PAD] * (rng.choice([1, 3, 9, 30]) if learned and rng.random() < TAIL else 0)
        return Copy(audio + [PAD] * (-len(audio) % 3), answer)

    def read(self, rng: random.Random) -> list[int]:
        """Text without audio: sentences, about as many as are ever spoken in one piece."""
        return self.processor.encode(" ".join(" ".join(rng.choices(self._sentences, k=10)).split()[:MOST_WORDS]))

    def _text(self, rng: random.Random) -> str:
        """A sentence or several; now and then none, for audio that says nothing."""
        parts = rng.choice([0, 1, 2, 2, 4, 9]) if rng.random() < 0.5 else 1
        texts = [templated(rng)[0] if rng.random() < 0.2 else rng.choice(self._sentences) for _ in range(parts)]
        return " ".join(" ".join(texts).split()[:MOST_WORDS])


def _any_token(rng: random.Random) -> int:
    return rng.randrange(len(SPECIAL), VOCABULARY)


def answer_loss(
    network: GraniteSpeech, prompt: tuple[list[int], list[int]], audio: Sequence[Tensor], answers: Sequence[list[int]],
    smoothing: float = 0.0,
) -> tuple[Tensor, float]:  # fmt: skip
    """Cross-entropy of answers (and of their end) after `prefix, audio, suffix`, and the share of right tokens.

    Audio is a list of embeddings `[n, width]`.
    """
    model = network.language_model
    prefix, suffix = model.embed(prompt[0]), model.embed(prompt[1])
    logits: list[Tensor] = []
    wanted: list[int] = []
    # rows that are about as long: attention fills all of them up to the longest
    rows = sorted(zip(audio, answers, strict=True), key=lambda row: len(row[0]) + len(row[1]))
    for start in range(0, len(rows), ROWS_TOGETHER):
        parts: list[Tensor] = []
        lengths: list[int] = []
        asked: list[int] = []  # positions whose prediction counts
        at = 0
        for heard, answer in rows[start : start + ROWS_TOGETHER]:
            before = len(prefix) + len(heard) + len(suffix)
            parts += [prefix, heard, suffix, model.embed(answer)]
            # the last token of the suffix predicts the answer's first, the answer's last token the end
            asked += range(at + before - 1, at + before + len(answer))
            wanted += [*answer, END]
            lengths.append(before + len(answer))
            at += lengths[-1]
        logits.append(model(torch.cat([part.float() for part in parts]), lengths)[torch.tensor(asked)])
    predicted, target = torch.cat(logits).float(), torch.tensor(wanted, device=network.device)
    right = (predicted.argmax(-1) == target).float().mean()
    return F.cross_entropy(predicted, target, label_smoothing=smoothing), float(right)


def text_loss(network: GraniteSpeech, texts: Sequence[list[int]]) -> Tensor:
    """Cross-entropy of texts by themselves: no prompt, no audio."""
    model = network.language_model
    logits = [
        model(model.embed([token for text in row for token in [END, *text]]).float(), [1 + len(text) for text in row])
        for row in (texts[start : start + ROWS_TOGETHER] for start in range(0, len(texts), ROWS_TOGETHER))
    ]
    wanted = torch.tensor([token for text in texts for token in [*text, END]], device=network.device)
    return F.cross_entropy(torch.cat(logits).float(), wanted)


class LanguageStage:
    """Batches and loss."""

    def __init__(self, work: Path, seed: int, easy_steps: int) -> None:
        self.copying, self.seed, self.easy_steps = Copying(work), seed, easy_steps
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
        copies = [self.copying.draw(rng, step >= self.easy_steps) for _ in range(EXAMPLES)]
        audio = [network.language_model.embed(copy.audio) for copy in copies]
        loss, right = answer_loss(network, self.prompt, audio, [copy.answer for copy in copies])
        seconds = sum(len(copy.audio) for copy in copies) * 0.1
        return loss, {"copy": float(loss.detach()), "right": right}, seconds
