"""Stages c and d: projector and language model hear the encoder; in `joint` the encoder learns with them.

Four losses: the words (cross-entropy), a CTC loss that reads the projector's outputs against the token embeddings
with the padding token as blank (it pulls the outputs to where the language model already can copy from), and copying
and reading themselves, so that they go on. In `joint` the encoder's own CTC loss goes on, too.
"""

from __future__ import annotations

import random
from pathlib import Path

import torch
from torch import Tensor, nn

from model.features import FRAME_SECONDS
from model.nano.batches import Corpus, Lessons
from model.nano.encoder_stage import RELOAD_STEPS, ctc, letters_loss
from model.nano.language_stage import READ, Copying, answer_loss, text_loss
from model.nano.network import PAD
from model.speech import GraniteSpeech

TOKEN_CTC = 0.6
COPY = 1.0
COPIES = 4  # examples of pseudo-audio beside each worker's batch
READINGS = 4  # texts without audio beside that: 24 take as long again, and what audio teaches is worth more
SMOOTHING = 0.05
CUT = 0.3  # share of items that are cut off while somebody speaks, as a stream meets them


class SpeechStage:
    """Batches and loss."""

    def __init__(self, work: Path, seed: int, batch_seconds: float, ramp_steps: int, joint: bool) -> None:
        self.lessons = Lessons(Corpus(work / "train"), seed, batch_seconds, 0, ramp_steps, CUT)
        self.copying, self.seed, self.joint = Copying(work), seed, joint
        prompt = self.copying.processor.prompt()
        self.prompt = (prompt.prefix, prompt.suffix)

    def trained(self, network: GraniteSpeech) -> list[nn.Parameter]:
        """The parameters that learn."""
        parts = [network.projector, network.language_model, *([network.encoder] if self.joint else [])]
        return [parameter for part in parts for parameter in part.parameters()]

    def prepare(self, step: int) -> None:
        """Called before each step, alone."""
        if step % RELOAD_STEPS == 0:
            self.lessons.corpus.reload()

    def loss(self, network: GraniteSpeech, step: int, worker: int) -> tuple[Tensor, dict[str, float], float]:
        """The loss of one worker's batch, figures to print, and the seconds of audio in it."""
        network.encoder.train(self.joint)  # a frozen encoder's batch norm keeps its statistics
        items = self.lessons.batch(step, worker)
        lengths = [len(item.features) for item in items]
        with torch.set_grad_enabled(self.joint):
            frames = torch.cat([item.features for item in items]).to(network.device)
            encoding = network.encoder(frames, network.encoder.layout(lengths))
        windows = [network.projector.windows(hidden) for hidden in encoding.hidden.split(lengths)]
        counts = [3 * len(each) for each in windows]
        heard = network.projector(torch.cat(windows)).flatten(0, 1)
        answers = [self.copying.processor.encode(item.text) for item in items]
        near = heard.float() @ network.language_model.model.embed_tokens.weight.T
        tokens = ctc(near.split(counts), answers, blank=PAD)
        words, right = answer_loss(network, self.prompt, heard.split(counts), answers, SMOOTHING)
        rng = random.Random(f"{self.seed}/{step}/{worker}/copy")
        copies = [self.copying.draw(rng, learned=True) for _ in range(COPIES)]
        audio = [network.language_model.embed(copy.audio) for copy in copies]
        copied, _ = answer_loss(network, self.prompt, audio, [copy.answer for copy in copies])
        text = text_loss(network, [self.copying.read(rng) for _ in range(READINGS)])
        loss = words + TOKEN_CTC * tokens + COPY * copied + READ * text
        figures = {"words": words, "tokens": tokens, "copy": copied, "text": text}
        if self.joint:
            letters = letters_loss(encoding, items, network.alphabet)
            loss, figures = loss + letters, {**figures, "ctc": letters}
        shown = {name: float(value.detach()) for name, value in figures.items()}
        return loss, {**shown, "right": right}, sum(lengths) * FRAME_SECONDS
