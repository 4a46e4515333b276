"""What a checkpoint is asked to do, in the words that it was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

Task = Literal["transcribe", "translate"]

PLAIN = "can you transcribe the speech into a written format?"
PUNCTUATED = "transcribe the speech with proper punctuation and capitalization."
WITH_KEYWORDS = "transcribe the speech to text."
SPEAKERS = (
    "Speaker attribution: Transcribe and denote who is speaking by adding [Speaker 1]: and [Speaker 2]: tags before "
    "speaker turns."
)
TIMES = (
    "Timestamps: Transcribe the speech. After each word, add a timestamp tag showing the end time in centiseconds, "
    "e.g. hello [T:45] world [T:82]"
)
LANGUAGES = {
    "en": "English",
    "fr": "French",
    "de": "German",
    "es": "Spanish",
    "pt": "Portuguese",
    "ja": "Japanese",
}
TARGETS = {**LANGUAGES, "it": "Italian", "zh": "Mandarin"}  # the last two are written, not heard


def instruct(
    task: Task = "transcribe",
    *,
    language: str | None = None,
    target_language: str | None = None,
    punctuate: bool | None = None,
    keywords: Sequence[str] = (),
    speakers: bool = False,
    times: bool = False,
    plus: bool = False,
) -> str:
    """The instruction for a task.

    Args:
        task: what to do.
        language: that is spoken, as a name or a code (`German`, `de`). The model hears it by itself: this is checked,
            not said.
        target_language: to translate into.
        punctuate: write punctuation and capitals; by default translations do.
        keywords: names and words to expect.
        speakers: say who speaks; `plus` only.
        times: say when each word ends; `plus` only.
        plus: the checkpoint is a `plus`, which is asked in other words.

    Raises:
        ValueError: what is asked for does not go together; the message says what does.
    """
    spoken = _language(language, LANGUAGES) if language is not None else None
    if speakers or times:
        _check_rich(task, punctuate, keywords, speakers and times, plus)
        return SPEAKERS if speakers else TIMES
    if plus and (task == "translate" or punctuate):
        raise ValueError("plus writes what is said, without punctuation; use granite-speech-4.1-2b for translations")
    if task == "translate":
        instruction = _translation(spoken, target_language, punctuate)
    elif target_language is not None:
        raise ValueError(f"a transcript is in the language that is spoken; to get {target_language}, translate")
    else:
        instruction = PUNCTUATED if punctuate else WITH_KEYWORDS if keywords and not plus else PLAIN
    return f"{instruction} Keywords: {', '.join(keywords)}" if keywords else instruction


def _translation(spoken: str | None, target_language: str | None, punctuate: bool | None) -> str:
    if target_language is None:
        raise ValueError(f"translating needs a target language: {', '.join(TARGETS.values())}")
    target = _language(target_language, TARGETS)
    if target == spoken:
        raise ValueError(f"the speech is {spoken} already; transcribe it")
    return f"translate the speech to {target}{'.' if punctuate is False else ' with' + PUNCTUATED.partition('with')[2]}"


def _check_rich(task: Task, punctuate: bool | None, keywords: Sequence[str], both: bool, plus: bool) -> None:
    if not plus:
        raise ValueError("only granite-speech-4.1-2b-plus writes speakers and times")
    if both:
        raise ValueError("plus writes speakers or times, not both at once")
    if task != "transcribe" or punctuate or keywords:
        raise ValueError("speakers and times go with a plain transcript: no translation, punctuation or keywords")


def _language(given: str, known: dict[str, str]) -> str:
    """The name of a language that is given by name or code."""
    for code, name in known.items():
        if given.lower() in (code, name.lower()):
            return name
    raise ValueError(f"the model does not know {given}; it knows {', '.join(known.values())}")
