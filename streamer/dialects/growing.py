"""Text that only grows, told as what has come since: what is committed, segment behind segment."""

from __future__ import annotations

from model.scripts import apart


class Growing:
    """The text of one item or utterance, which may have several segments."""

    def __init__(self) -> None:
        self.text = ""  # so far
        self._segment = ""  # what of it belongs to the open segment

    def grow(self, committed: str) -> str:
        """Takes what the open segment has committed so far; gives what is new."""
        assert committed.startswith(self._segment), f"{committed!r} takes back {self._segment!r}"
        new = committed[len(self._segment) :]
        if not self._segment and apart(self.text, new):
            new = f" {new}"
        self._segment = committed
        self.text += new
        return new

    def close(self, text: str) -> str:
        """Takes the final of the open segment; gives what is new."""
        new = self.grow(text)
        self._segment = ""
        return new
