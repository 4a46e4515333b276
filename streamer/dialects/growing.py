"""Text that only grows, told as what has come since: what is committed, segment behind segment."""

from __future__ import annotations

from model.scripts import apart
from streamer.events import Final, Partial


class Growing:
    """The text of one item or utterance, which may have several segments."""

    def __init__(self) -> None:
        self.text = ""  # so far
        self._segment = ""  # what of it belongs to the open segment

    def add(self, event: Partial | Final) -> str:
        """Takes what a segment has committed, or its final, which ends it; gives what is new."""
        committed = event.text if isinstance(event, Final) else event.committed
        assert committed.startswith(self._segment), f"{committed!r} takes back {self._segment!r}"
        new = committed[len(self._segment) :]
        if not self._segment and apart(self.text, new):
            new = f" {new}"
        self._segment = "" if isinstance(event, Final) else committed
        self.text += new
        return new
