"""Instructions are the words that IBM's cards give, and what does not go together is refused."""

from __future__ import annotations

from typing import Any

import pytest

from model import Wish, WishError
from model.tasks import LANGUAGES, SPEAKERS, TARGETS, TIMES

PLAIN = "can you transcribe the speech into a written format?"


def asked(plus: bool = False, only_transcribes: bool = False, **wish: Any) -> str:
    return Wish(**wish).instruction(plus, only_transcribes, ["en"] if only_transcribes else list(LANGUAGES))


@pytest.mark.parametrize(
    ("options", "instruction"),
    [
        ({}, PLAIN),
        ({"language": "de"}, PLAIN),
        ({"plus": True}, PLAIN),
        ({"punctuate": True}, "transcribe the speech with proper punctuation and capitalization."),
        ({"keywords": ["Ada", "Zürich"]}, "transcribe the speech to text. Keywords: Ada, Zürich"),
        ({"keywords": ["Ada"], "plus": True}, f"{PLAIN} Keywords: Ada"),
        (
            {"keywords": ["Ada"], "punctuate": True},
            "transcribe the speech with proper punctuation and capitalization. Keywords: Ada",
        ),
        (
            {"task": "translate", "target_language": "french"},
            "translate the speech to French with proper punctuation and capitalization.",
        ),
        ({"task": "translate", "target_language": "zh", "punctuate": False}, "translate the speech to Mandarin."),
        (
            {"task": "translate", "target_language": "German", "punctuate": False, "keywords": ["Ada"]},
            "translate the speech to German. Keywords: Ada",
        ),
        (
            {"task": "translate", "target_language": "French", "keywords": ["Ada"]},
            "translate the speech to French. Keywords: Ada",
        ),
        ({"prompt": "Write."}, "Write."),
        ({"prompt": "Write.", "keywords": ["Ada"], "plus": True}, "Write. Keywords: Ada"),
        ({"only_transcribes": True, "task": "transcribe", "language": "en", "punctuate": False}, PLAIN),
        ({"only_transcribes": True, "prompt": "Write."}, "Write."),
        ({"only_transcribes": True, "keywords": ["Ada"]}, PLAIN),
        ({"speakers": True, "plus": True}, SPEAKERS),
        ({"times": True, "plus": True}, TIMES),
    ],
    ids=lambda value: ", ".join(value) if isinstance(value, dict) else "",
)
def test_a_task_is_asked_for_in_the_words_of_the_cards(options: dict[str, object], instruction: str) -> None:
    assert asked(**options) == instruction


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"task": "translate"}, "needs a target language: English, French"),
        ({"task": "translate", "target_language": "Latin"}, "does not know Latin; it knows English"),
        ({"task": "translate", "target_language": "en", "language": "English"}, "is English already; transcribe it"),
        ({"language": "zh"}, "does not know zh; it knows English"),
        ({"target_language": "fr"}, "to get French, translate"),
        ({"task": "translate", "target_language": "fr", "plus": True}, "plus writes what is said"),
        ({"punctuate": True, "plus": True}, "without punctuation"),
        ({"task": "sing"}, "task is 'sing'; it must be one of transcribe, translate"),
        ({"prompt": "Write.", "task": "translate", "target_language": "fr"}, "either it or task, target_language"),
        ({"prompt": "Write \udcff."}, "prompt holds half of a character"),
        ({"prompt": " "}, "the prompt is empty"),
        ({"keywords": "Ada"}, "keywords is the text 'Ada'; it must be a list of texts"),
        ({"keywords": ["Ada", "\ud800"]}, "keywords holds half of a character"),
        ({"prompt": "Write.", "times": True}, "either it or times"),
        ({"only_transcribes": True, "task": "translate", "target_language": "fr"}, "only transcribes plain English"),
        ({"only_transcribes": True, "punctuate": True}, "only transcribes plain English"),
        ({"only_transcribes": True, "language": "fr"}, "only transcribes plain English"),
        ({"speakers": True}, "only granite-speech-4.1-2b-plus"),
        ({"speakers": True, "times": True, "plus": True}, "speakers or times can be written, not both"),
        ({"times": True, "keywords": ["Ada"], "plus": True}, "go with a plain transcript"),
    ],
    ids=lambda value: ", ".join(value) if isinstance(value, dict) else "",
)
def test_what_does_not_go_together_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(WishError, match=message) as refusal:
        asked(**options)
    assert "\n" not in str(refusal.value)


def test_a_language_that_the_checkpoint_does_not_hear_is_refused() -> None:
    known = ("en", "fr")
    assert Wish(language="French").instruction(languages=known) == PLAIN
    assert Wish(language="ja", prompt="Write.").instruction(languages=known) == "Write."
    with pytest.raises(WishError, match=r"this model hears English, French; .* lists those that hear Japanese"):
        Wish(language="ja").instruction(languages=known)


def test_what_can_be_heard_can_be_written() -> None:
    assert LANGUAGES.items() <= TARGETS.items()
