"""nano's tokenizer: 1024 byte-level pairs learned from the training sentences, with Granite's special tokens."""

from __future__ import annotations

import random
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from model.config import SpeechConfig
from model.nano.network import SPECIAL, TEMPLATE, VOCABULARY, hub_config
from model.nano.texts import templated
from model.processor import Processor
from model.tasks import PLAIN

TEMPLATED = 20_000  # sentences from templates that the tokenizer sees, so that numbers are short


def tokenizer_of(work: Path) -> Tokenizer:
    """The tokenizer of a work folder, learned from its sentences the first time."""
    path = work / "tokenizer.json"
    if not path.exists():
        rng = random.Random(0)
        sentences = (work / "sentences.txt").read_text("utf8").splitlines()
        sentences += [templated(rng)[0] for _ in range(TEMPLATED)]
        learn(sentences).save(str(path))
    return Tokenizer.from_file(str(path))


def learn(sentences: list[str]) -> Tokenizer:
    """Byte pairs of these sentences; each is seen with and without a space in front, as it may begin or go on."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=list(SPECIAL),
        show_progress=False,
    )
    seen = [PLAIN] * 50 + [form for sentence in sentences for form in (sentence, " " + sentence)]
    tokenizer.train_from_iterator(seen, trainer)
    return tokenizer


def processor_of(work: Path) -> Processor:
    """Prompts and transcripts with the tokenizer of a work folder."""
    return Processor(SpeechConfig.parse(hub_config()), tokenizer_of(work), TEMPLATE)
