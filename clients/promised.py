"""What was committed of a segment that never became final: a promise holds also when a run breaks off."""

from __future__ import annotations

from streamer.events import Event, Final, Partial


class Promised:
    """The committed words of the open segment."""

    def __init__(self) -> None:
        self._partial: Partial | None = None

    def take(self, event: Event) -> None:
        """Follows the events of a stream; a final has all that was committed."""
        if isinstance(event, Partial):
            self._partial = event
        elif isinstance(event, Final):
            self._partial = None

    def final(self, draft: bool = False) -> Final | None:
        """What would have to be final if no more comes, its `draft` included or not; None if that is nothing."""
        partial, self._partial = self._partial, None
        text = partial.committed + (partial.draft if draft else "") if partial else ""
        return Final(partial.segment, partial.start, partial.end, text) if partial and text else None
