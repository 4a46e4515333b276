"""A transcript on disk that is whole at any moment: whatever kills the program, what was final is in the file."""

from __future__ import annotations

import os
from pathlib import Path

from clients.formats import Writer
from streamer.events import Done, Event, Final


class LiveFile:
    """A file that grows with each final. Its end, as long as another final may change it, is written again."""

    def __init__(self, path: Path, writer: Writer) -> None:
        """Makes the file.

        Raises:
            OSError: it is there already, or cannot be written.
        """
        path.touch(exist_ok=False)
        self._path, self._writer = path, writer
        self._settled_bytes = 0
        self._update("", 0.0)

    def show(self, event: Event) -> None:
        """Writes a final.

        Raises:
            OSError: it cannot be written.
        """
        match event:
            case Final():
                self._update(self._writer.add(event), event.end)
            case Done():
                self._update("", event.audio_seconds)

    def mark(self, number: int, seconds: float) -> None:
        """Writes a mark."""
        self._update(self._writer.mark(number, seconds), seconds)

    def close(self) -> None:
        """Nothing to do: nothing is open, nothing is missing."""

    def _update(self, settled: str, audio_seconds: float) -> None:
        data, rest = settled.encode(), self._writer.finish(audio_seconds).encode()
        if self._settled_bytes or not rest:
            with self._path.open("r+b", buffering=0) as file:  # in place, for whoever reads along
                file.seek(self._settled_bytes)
                file.write(data + rest)
                file.truncate()
        else:  # all of it is new: a reader, or a crash, finds the old file or the new one, never half of it
            fresh = self._path.with_name(f".{self._path.name}.new")
            fresh.write_bytes(data + rest)
            os.replace(fresh, self._path)
        self._settled_bytes += len(data)
