"""The stages of the recipe by name, and what the trainer asks of each."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Protocol

from torch import Tensor, nn

from model.nano.encoder_stage import EncoderStage
from model.nano.evaluate import hear_characters
from model.nano.language_stage import LanguageStage
from model.nano.speech_stage import SpeechStage
from model.speech import GraniteSpeech


class Stage(Protocol):
    """What a stage of the recipe tells the loop."""

    def trained(self, network: GraniteSpeech) -> list[nn.Parameter]:
        """The parameters that learn."""
        ...

    def prepare(self, step: int) -> None:
        """Called before each step, alone."""
        ...

    def loss(self, network: GraniteSpeech, step: int, worker: int) -> tuple[Tensor, dict[str, float], float]:
        """The loss of one worker's batch, figures to print, and the seconds of audio in it."""
        ...


def stage_named(arguments: argparse.Namespace) -> Stage:
    """The stage that a command line asks for."""
    work, seed, seconds, ramp = arguments.work, arguments.seed, arguments.batch_seconds, arguments.ramp_steps
    if arguments.stage == "encoder":
        return EncoderStage(work, seed, seconds, arguments.easy_steps, ramp)
    if arguments.stage == "language":
        return LanguageStage(work, seed, arguments.easy_steps)
    return SpeechStage(work, seed, seconds, ramp, joint=arguments.stage == "joint")


def ways_to_listen(stage: str) -> dict[str, Callable[[GraniteSpeech, Tensor], str]]:
    """What of a network can be evaluated after a stage."""
    if stage == "encoder":
        return {"ctc": hear_characters}
    return {} if stage == "language" else {"ctc": hear_characters, "words": GraniteSpeech.transcribe}
