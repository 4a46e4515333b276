"""Clips to be judged by, from text-to-speech engines: found in a work folder, or made there by nano's recipe."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from subprocess import CalledProcessError

import torch
from torch import Tensor

from model.nano import synthesize
from model.nano.evaluate import evaluation_set
from model.nano.texts import natural_sentences

# Sets of held-out sentences. Voices that nano was trained on serve to choose a policy, the held-out ones to judge it.
TRAINED = ("espeak", "flite", "festival", "pico")  # Kokoro's are left out: they take their time to speak
HELD_OUT = ("heldout_slt", "heldout_kokoro")
PEOPLE = {"human_native": "native speakers", "human_accent": "accented speakers"}
SEED = 1


class MissingPartError(Exception):
    """Something is not installed; the message says what."""


@dataclass(frozen=True, slots=True)
class Clip:
    """One utterance."""

    samples: Tensor  # [T]
    text: str
    voice: str


def prepare(work: Path, engines: Sequence[str], kokoro: Path | None, speech: Path | None) -> None:
    """Makes what is not there yet; a second call does nothing.

    Raises:
        MissingPartError: an engine or the text is not installed.
    """
    work.mkdir(parents=True, exist_ok=True)
    sentences = work / "sentences.txt"
    if not sentences.exists():
        found = natural_sentences()
        if not found:
            raise MissingPartError(
                "no text to speak: apt-get install dict-wn, or another package of model/nano/texts.py"
            )
        sentences.write_text("\n".join(found), "utf8")
    named = ",".join([*engines, *(["kokoro"] if kokoro else [])])
    wanted = Namespace(work=work, engines=named, clips={}, eval_clips=synthesize.EVAL_CLIPS, kokoro=kokoro, seed=SEED)
    for job in synthesize.plan(wanted, sentences):
        unused = job.folder.name not in TRAINED + HELD_OUT
        if unused or _made(job.folder / f"{job.engine}-{job.number:03d}") >= job.clips:
            continue  # nor opened for writing: the folder may be another's
        try:
            synthesize.make(job)
        except (OSError, ImportError, ValueError, CalledProcessError) as error:
            cure = "install it as model/nano/voices.py says, or leave it out with --engines"
            raise MissingPartError(f"{job.engine} cannot speak ({error}): {cure}") from None
    for name, part in synthesize.HUMAN_EVAL.items() if speech else ():
        if not _made(work / "eval" / name / part):
            synthesize.human(work / "eval" / name, speech / part)


def _made(shard: Path) -> int:
    """How many clips a shard has."""
    index = shard.with_suffix(".jsonl")
    return len(index.read_text("utf8").splitlines()) if index.exists() else 0


def clips(work: Path, name: str, count: int) -> list[Clip]:
    """So many clips of a set, spread evenly over its speakers; none if the set is not there."""
    folder = work / "eval" / name
    found = evaluation_set(folder, count) if folder.is_dir() else []
    return [Clip(torch.as_tensor(each.samples), each.text, each.speaker) for each in found]
