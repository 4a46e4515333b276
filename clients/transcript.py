"""What has been said so far, folded from events. Pure: views draw it, formats write it."""

from __future__ import annotations

from dataclasses import dataclass, field

from streamer.events import Event, Final, Partial, SpeechStarted


@dataclass(slots=True)
class Transcript:
    """The finals, and what the open segment says; `committed + draft` is the text to show of it."""

    finals: list[Final] = field(default_factory=list)
    committed: str = ""
    draft: str = ""

    def take(self, event: Event) -> None:
        """Brings the transcript up to date; events that say nothing about words leave it alone."""
        match event:
            case Final():
                self.finals.append(event)
                self.committed = self.draft = ""
            case Partial():
                self.committed, self.draft = event.committed, event.draft
            case SpeechStarted():
                self.committed = self.draft = ""

    @property
    def text(self) -> str:
        """All finals in one line."""
        return " ".join(final.text.strip() for final in self.finals if final.text.strip())
