"""The checkpoints that IBM has published, and how large they are: the one table that no configuration can give."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Size:
    """How many numbers a checkpoint's weights are."""

    parameters: int  # of encoder, projector, language model, and adapter where there is one
    four_bits: int  # of them those that `int4` packs into four bits: the language model's linear layers
    per_frame: int  # those that audio is multiplied with: encoder and projector
    per_token: int  # those that each token is multiplied with: the language model's layers and its head


@dataclass(frozen=True, slots=True)
class Known:
    """A repository of the Hugging Face hub."""

    name: str
    size: Size
    note: str


KNOWN = (
    Known(
        "ibm-granite/granite-4.0-1b-speech",
        Size(2_313_207_132, 1_631_586_304, 471_859_200, 1_631_586_304),
        "six languages, translation, keywords",
    ),
    Known(
        "ibm-granite/granite-speech-4.1-2b",
        Size(2_313_207_132, 1_631_586_304, 471_859_200, 1_631_586_304),
        "six languages, punctuation, translation, keywords",
    ),
    Known(
        "ibm-granite/granite-speech-4.1-2b-plus",
        Size(2_111_878_492, 1_426_063_360, 476_053_504, 1_631_586_304),
        "speakers and word times instead of punctuation",
    ),
    Known(
        "ibm-granite/granite-speech-3.3-2b",
        Size(3_026_324_736, 2_432_696_320, 471_859_200, 2_533_376_000),
        "five languages (no Japanese), translation, LoRA",
    ),
    Known(
        "ibm-granite/granite-speech-3.3-8b",
        Size(8_682_790_144, 7_969_177_600, 473_956_352, 8_170_536_960),
        "five languages (no Japanese), translation, LoRA",
    ),
    Known(
        "ibm-granite/granite-speech-3.2-8b",
        Size(8_517_593_386, 7_969_177_600, 310_378_496, 8_170_536_960),
        "the first, English and translation from it, LoRA",
    ),
)
