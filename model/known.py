"""The checkpoints that IBM has published, and how large they are: the one table that no configuration can give."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Known:
    """A repository of the Hugging Face hub."""

    name: str
    parameters: int  # of encoder, projector, language model, and adapter where there is one
    note: str


KNOWN = (
    Known("ibm-granite/granite-4.0-1b-speech", 2_313_207_132, "six languages, translation, keywords"),
    Known("ibm-granite/granite-speech-4.1-2b", 2_313_207_132, "six languages, punctuation, translation, keywords"),
    Known("ibm-granite/granite-speech-4.1-2b-plus", 2_111_878_492, "speakers and word times instead of punctuation"),
    Known("ibm-granite/granite-speech-3.3-2b", 3_026_324_736, "English and translation from it, LoRA"),
    Known("ibm-granite/granite-speech-3.3-8b", 8_682_790_144, "English and translation from it, LoRA"),
    Known("ibm-granite/granite-speech-3.2-8b", 8_517_593_386, "the first, English and translation from it, LoRA"),
)
