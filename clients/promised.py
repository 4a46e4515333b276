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

    def keep(self, draft: bool = False) -> Final | None:
        """Ends the open segment with what is committed of it, or its `draft` as well; None if that is nothing."""
        partial, self._partial = self._partial, None
        final = partial.broken_off(draft) if partial else None
        return final if final and final.text else None
