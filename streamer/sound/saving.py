"""A recording on disk that can be played at any moment: whatever kills the program, the sound is in the file."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from types import TracebackType

import numpy as np

from streamer.sound.incoming import SAMPLE_RATE, Samples

HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")
MOST_BYTES = 2**32 - 1 - HEADER.size  # what the header can tell: 37 hours; players read on to the end of the file


class SavedSound:
    """A WAV file, 16 bits, as many channels and samples a second as the engine hears: one, and 16000."""

    def __init__(self, path: Path) -> None:
        """Makes the file.

        Raises:
            OSError: it exists already, or cannot be written.
        """
        self._file = path.open("xb", buffering=0)
        self._data_bytes = 0
        self._put(_header(0), 0)

    def __enter__(self) -> SavedSound:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def write(self, samples: Samples) -> None:
        """Adds samples `[T]`.

        Raises:
            OSError: the disk is full, or gone.
        """
        if len(samples):
            data = np.clip(np.round(samples * 32768), -32768, 32767).astype("<i2").tobytes()
            self._put(data, HEADER.size + self._data_bytes)
            self._data_bytes += len(data)
            self._put(_header(self._data_bytes), 0)

    def _put(self, data: bytes, at: int) -> None:
        while data:  # a disk that is nearly full takes a part; the next call is the one that fails
            try:
                written = os.pwrite(self._file.fileno(), data, at)
            except OSError as error:
                raise OSError(error.errno, error.strerror, self._file.name) from None
            data, at = data[written:], at + written


def _header(data_bytes: int) -> bytes:
    told = min(data_bytes, MOST_BYTES)
    width, second = 2, 2 * SAMPLE_RATE  # bytes
    form = (b"fmt ", 16, 1, 1, SAMPLE_RATE, second, width, 8 * width)
    return HEADER.pack(b"RIFF", HEADER.size - 8 + told, b"WAVE", *form, b"data", told)
