"""What a checkpoint is asked to do, in the words that it was trained on. Loads nothing: clients use it too."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Literal, get_args

from model.errors import WishError

Task = Literal["transcribe", "translate"]

TASKS: tuple[Task, ...] = get_args(Task)
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
HALF_CHARACTER = re.compile("[\ud800-\udfff]")  # legal in Python and in JSON, but no tokenizer and no socket takes it
BESIDE_PROMPT = ("prompt", "keywords", "language")  # all else says what to do, as a prompt does


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody wants to be written. What does not go together is refused at once, whatever the checkpoint."""

    task: Task | None = None  # None: to transcribe, or what the prompt says
    language: str | None = None  # spoken, by name or code (`German`, `de`); the model hears it: it is checked, not said
    target_language: str | None = None  # to translate into
    punctuate: bool | None = None  # punctuation and capitals; None: translations have them
    keywords: Sequence[str] = ()  # names and words to expect
    speakers: bool = False  # say who speaks; `plus` only
    times: bool = False  # write when each word ends; `plus` only, and not in streams, whose words have times anyway
    prompt: str | None = None  # what to do, in words of one's own

    def __post_init__(self) -> None:
        """Refuses what does not go together.

        Raises:
            WishError: says what does.
        """
        if self.task not in (None, *TASKS):
            raise WishError(f"task is {self.task!r}; it must be one of {', '.join(TASKS)}")
        if self.prompt is not None and not self.prompt.strip():
            raise WishError("the prompt is empty; say what is to be done, or leave it out")
        if self.prompt is not None and self.chosen:
            raise WishError(f"a prompt says all that is to be done; leave out either it or {', '.join(self.chosen)}")
        if self.speakers and self.times:
            raise WishError("speakers or times can be written, not both at once")
        if (self.speakers or self.times) and (self.task == "translate" or self.punctuate or self.keywords):
            raise WishError("speakers and times go with a plain transcript: no translation, punctuation or keywords")
        if isinstance(self.keywords, str):
            raise WishError(f"keywords is the text {self.keywords!r}; it must be a list of texts")
        for name, texts in (("prompt", [self.prompt or ""]), ("keywords", self.keywords)):
            if any(HALF_CHARACTER.search(text) for text in texts):
                raise WishError(
                    f"{name} holds half of a character, as bytes of another encoding make it; write it anew"
                )
        self._check_languages()

    def _check_languages(self) -> None:
        spoken, target = _language(self.language, LANGUAGES), _language(self.target_language, TARGETS)
        if self.task != "translate" and target is not None:
            raise WishError(f"a transcript is in the language that is spoken; to get {target}, translate")
        if self.task == "translate" and target is None:
            raise WishError(f"translating needs a target language: {', '.join(TARGETS.values())}")
        if target is not None and target == spoken:
            raise WishError(f"the speech is {spoken} already; transcribe it")

    def hinted(self, keywords: Sequence[str] | None, language: str | None) -> Wish:
        """The same with other words to expect, or none, and another spoken language; None leaves what there is.

        Raises:
            WishError: they do not go with the rest.
        """
        keywords = self.keywords if keywords is None else tuple(keywords)
        return replace(self, keywords=keywords, language=language or self.language)

    @property
    def chosen(self) -> list[str]:
        """The fields that say what to do, as far as they say anything."""
        named = (field for field in fields(self) if field.name not in BESIDE_PROMPT)
        return [field.name for field in named if getattr(self, field.name) != field.default]

    def instruction(
        self, plus: bool = False, only_transcribes: bool = False, languages: Sequence[str] = tuple(LANGUAGES)
    ) -> str:
        """The wish in the words of a checkpoint.

        Args:
            plus: it is a `plus`, which is asked in other words.
            only_transcribes: it was trained on one instruction, without keywords.
            languages: that it hears, by their codes.

        Raises:
            WishError: the checkpoint cannot do this; the message says which can.
        """
        if only_transcribes and self.keywords:  # a hint; a model that never learned to take it writes worse with it
            return replace(self, keywords=()).instruction(plus, only_transcribes, languages)
        words = self._words(plus) if self.prompt is None else self.prompt
        spoken, known = _language(self.language, LANGUAGES), [LANGUAGES[code] for code in languages]
        foreign = self.prompt is None and spoken not in (None, *known)
        if only_transcribes and self.prompt is None and (words != PLAIN or foreign):
            raise WishError("this model only transcribes plain English; granite-stream models lists those that do more")
        if foreign:
            raise WishError(
                f"this model hears {', '.join(known)}; granite-stream models lists those that hear {spoken}"
            )
        return f"{words} Keywords: {', '.join(self.keywords)}" if self.keywords else words

    def _words(self, plus: bool) -> str:
        if plus and (self.task == "translate" or self.punctuate):
            raise WishError("plus writes what is said, without punctuation; granite-speech-4.1-2b does more")
        if (self.speakers or self.times) and not plus:
            raise WishError("only granite-speech-4.1-2b-plus writes speakers and times")
        if self.speakers or self.times:
            return SPEAKERS if self.speakers else TIMES
        if self.task == "translate":
            plain = self.punctuate is False or (self.punctuate is None and self.keywords)  # as it was trained
            end = "." if plain else " with" + PUNCTUATED.partition("with")[2]
            return f"translate the speech to {_language(self.target_language, TARGETS)}{end}"
        if self.punctuate:
            return PUNCTUATED
        return WITH_KEYWORDS if self.keywords and not plus else PLAIN


def _language(given: str | None, known: dict[str, str]) -> str | None:
    """The name of a language that is given by name or code."""
    if given is None:
        return None
    for code, name in known.items():
        if given.lower() in (code, name.lower()):
            return name
    raise WishError(f"the model does not know {given}; it knows {', '.join(known.values())}")
