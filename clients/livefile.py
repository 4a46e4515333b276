"""A transcript on disk that is whole at any moment: whatever kills the program, what was final is in the file."""

from __future__ import annotations

import os
import secrets
import time
from pathlib import Path

from clients.formats import Writer
from streamer.events import Done, Event, Final

MOST_SHARE = 0.05  # of the time may go into writing again what is in the file already
MOST_NAME_BYTES = 255  # that file systems take


def part_of(path: Path) -> Path:
    """The name of a transcript as long as it grows: half of one looks like a whole one. No whole one is called so."""
    stem, end = path.stem, f"{path.suffix}.part"
    while len(os.fsencode(stem + end)) > MOST_NAME_BYTES:
        stem = stem[:-1]
    return path.with_name(stem + end)


class LiveFile:
    """A file that grows with each final. Its end, as long as another final may change it, is written again."""

    def __init__(self, path: Path, writer: Writer, may_lag: bool = False) -> None:
        """Makes the file; use `may_lag` where finals come fast.

        Where its end is all of it, as with JSON, a long one then lags behind until it is closed.

        Raises:
            OSError: it exists already, or cannot be written.
        """
        path.touch(exist_ok=False)
        self._path, self._writer, self._may_lag = path, writer, may_lag
        self._settled_bytes = 0
        self._unwritten = b""  # that will not change any more: the disk was full
        self._seconds: float | None = None  # of audio in what is final and not in the file yet
        self._again_at = 0.0  # by the monotonic clock
        self._update("", 0.0)
        self._again_at = 0.0  # nothing is in it yet: its first final need not wait

    def show(self, event: Event) -> None:
        """Writes a final.

        Raises:
            OSError: it cannot be written.
        """
        match event:
            case Final():
                self._update(self._writer.add(event), event.end)
            case Done():
                self._update("", event.audio_seconds, at_once=True)

    def mark(self, number: int, seconds: float) -> None:
        """Writes a mark."""
        self._update(self._writer.mark(number, seconds), seconds)

    def close(self) -> None:
        """Writes what lags behind; nothing is open."""
        if self._seconds is not None:
            self._update("", self._seconds, at_once=True)

    def _update(self, settled: str, audio_seconds: float, at_once: bool = False) -> None:
        self._seconds = audio_seconds
        began = time.monotonic()
        self._unwritten += settled.encode()
        if self._may_lag and began < self._again_at and not (self._unwritten or at_once):
            return
        data, rest = self._unwritten, self._writer.finish(audio_seconds).encode()
        try:
            self._write(data + rest, whole=bool(rest and not self._settled_bytes))
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self._path)) from None
        now = time.monotonic()
        self._settled_bytes, self._unwritten = self._settled_bytes + len(data), b""
        self._seconds, self._again_at = None, now + (now - began) / MOST_SHARE

    def _write(self, data: bytes, whole: bool) -> None:
        if not whole:
            with self._path.open("r+b") as file:  # in place, for whoever reads along
                file.seek(self._settled_bytes)
                file.write(data)
                file.truncate()
            return
        # All of it is new: a reader, or a crash, finds the old file or the new one, never half of it. It has a name of
        # its own: another container, or another machine, may write beside it under the same process id.
        fresh = self._path.with_name(f".{secrets.token_hex(8)}.new")
        try:
            fresh.write_bytes(data)
            os.replace(fresh, self._path)
        finally:
            fresh.unlink(missing_ok=True)
