"""The stages of the recipe by name."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from torch import Tensor

from model.nano.encoder_stage import EncoderStage
from model.nano.evaluate import hear_characters
from model.nano.language_stage import LanguageStage
from model.nano.speech_stage import SpeechStage
from model.speech import GraniteSpeech


def stage_named(arguments: argparse.Namespace) -> Any:
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
