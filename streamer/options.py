"""What a client may choose for its stream. Light: clients and sockets read it without loading the network."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from itertools import accumulate

from model.tasks import Wish
from streamer.commit import NOTHING, Policy
from streamer.latency import BALANCED, LATENCIES

MOST_PROMPT_CHARACTERS = 1000  # they are read anew at every update, and share the cache with the audio
MOST_HINT_CHARACTERS = 400  # of them, of words that are only hints; what has no room in tokens is left out, too
LONGEST_SEGMENT_SECONDS = 30.0  # what the model was trained on, and what a slot of the cache holds
BOUNDS: dict[str, tuple[float, float]] = {
    "step_ms": (1, 10_000),
    "endpoint_ms": (64, 3_000),
    "max_segment_seconds": (5, LONGEST_SEGMENT_SECONDS),
}
CHOICES = ("latency", *BOUNDS)
WISHES = tuple(field.name for field in fields(Wish) if field.name != "times")


def nearest_endpoint_ms(asked: float) -> int:
    """The nearest `endpoint_ms` that there may be: for clients of others, who do not know our bounds."""
    least, most = BOUNDS["endpoint_ms"]
    return round(min(max(asked, least), most))


@dataclass(frozen=True, slots=True)
class Options:
    """Of one stream; they hold for all of it."""

    step_ms: int | None = None  # of new audio between two updates, rounded to whole windows of 300 ms; None: by latency
    endpoint_ms: int = 600  # of silence that end a segment
    max_segment_seconds: float = LONGEST_SEGMENT_SECONDS
    wish: Wish = Wish()  # noqa: RUF009 - what the model is asked to do; it is frozen
    partials: bool = True  # False: finals only, at the cost of one offline pass
    latency: str = BALANCED  # low, balanced or accurate: how early words are promised
    policy: Policy | None = None  # what evidence a word needs; None: by latency
    only_hints: bool = False  # the keywords are not asked for: those that have no room are left out

    def __post_init__(self) -> None:
        """Refuses values that make no sense.

        Raises:
            ValueError: names the value and its bounds.
        """
        if self.wish.times:
            raise ValueError("times are written by model.transcribe; words of finals have theirs without asking")
        if self.latency not in LATENCIES:
            raise ValueError(f"latency is {self.latency!r}; it must be one of {', '.join(LATENCIES)}")
        for name, (low, high) in BOUNDS.items():
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise ValueError(f"{name} is {value}; it must lie between {low} and {high}")
        count = len(self.wish.prompt or "") + sum(map(len, self.wish.keywords))
        if count > MOST_PROMPT_CHARACTERS:
            raise ValueError(f"prompt and keywords have {count} characters; at most {MOST_PROMPT_CHARACTERS} fit")

    def hinted(self, words: Iterable[str], language: str | None) -> Options:
        """The same with words that a client expects who cannot know how many may be: the first ones, if any go at all.

        Raises:
            WishError: the language is unknown, or does not go with the rest.
        """
        words = [word for word in words if word]
        counts = accumulate(map(len, words))
        fitting = [word for word, count in zip(words, counts, strict=True) if count <= MOST_HINT_CHARACTERS]
        if self.wish.speakers or len(self.wish.prompt or "") + MOST_HINT_CHARACTERS > MOST_PROMPT_CHARACTERS:
            fitting = []
        return replace(
            self, wish=self.wish.hinted(fitting or None, language), only_hints=self.only_hints or bool(fitting)
        )

    @property
    def update_ms(self) -> int:
        """Of new audio between two updates, whoever said so."""
        return LATENCIES[self.latency].step_ms if self.step_ms is None else self.step_ms

    @property
    def effective_policy(self) -> Policy:
        """How much evidence a word needs, whoever said so."""
        if not self.partials:
            return NOTHING
        return self.policy or LATENCIES[self.latency].policy
