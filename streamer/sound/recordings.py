"""Any recording to 16 kHz mono samples, a chunk at a time. Knows nothing of models or events.

FFmpeg, inside the wheel of `av`, reads the container and the codec; soxr changes the rate. Memory does not grow with
the length of the recording.
"""

from __future__ import annotations

import io
import select
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.audio.frame import format_dtypes

from model.errors import AudioError
from streamer.sound.incoming import SAMPLE_RATE, Samples, harmless, resampler

STANDARD_INPUT = "-"

# The share of each speaker in the mix, after ITU-R BS.775: dialogue sits in the centre, the subwoofer only rumbles.
CHANNEL_WEIGHTS = {"FC": 1.0, "FL": 0.707, "FR": 0.707, "LFE": 0.0, "LFE2": 0.0}
OTHER_CHANNEL_WEIGHT = 0.5
RAW = {".raw", ".pcm", ".s16", ".s16le", ".f32", ".f32le"}  # names of bare samples, whose rate nobody knows

BROKEN = (av.FFmpegError, OSError, IndexError)  # FFmpeg's word for it, the system's, and PyAV's own mistakes
GAP_SECONDS = 0.2  # a hole in the timestamps longer than this becomes silence, so that subtitles fit the picture
BROKEN_CLOCK_SECONDS = 3600.0  # a longer hole is a broken clock and is passed over
CUT_SHORT_SECONDS = 0.5  # less than the header promised by more than this: the file is cut short
ONE_DURATION = {"matroska,webm", "asf"}  # whose header tells that of picture and sound together
UNINDEXED = {"aac", "ac3", "eac3", "dts"}  # bare streams without a header: FFmpeg only guesses their duration
UNKNOWN_WAV_BYTES = 0x7FFF_F000  # sizes from here on stand for one that was not known when the file was begun
MOST_WAV_CHUNKS = 100  # before the sound: others are no WAV files that anybody made
MP3_INDEXES = (b"Xing", b"Info", b"VBRI")  # what the first frame of an MP3 holds that has such a header


class Recording:
    """An open recording: its name, its duration if known, and its samples, which can be read once."""

    def __init__(self, name: str, container: Any, stream: Any, file: _File) -> None:
        self.name = name
        self.is_pipe = not file.seekable()  # perhaps somebody is just speaking into it
        self.warning: str | None = None  # known once all chunks are read: what of the recording could not be
        self._container, self._stream, self._file = container, stream, file
        self._promised_seconds = None
        kind = container.format.name
        guessed = kind in UNINDEXED or (kind == "mp3" and not file.has_mp3_index())
        shared = kind in ONE_DURATION and container.streams.video  # and a picture may last longer
        if stream.duration and not (guessed or shared):
            self._promised_seconds = float(stream.duration * stream.time_base)
        if kind == "wav":  # of one that is cut short FFmpeg tells what is left
            self._promised_seconds = file.wav_seconds() or self._promised_seconds
        elif "matroska" in kind and container.duration and not shared:
            self._promised_seconds = container.duration / av.time_base
        self.duration_seconds = self._promised_seconds
        if self.duration_seconds is None and container.duration:
            self.duration_seconds = container.duration / av.time_base
        self._read_seconds = 0.0
        self._damaged = False

    def interrupt(self) -> None:
        """Ends it here, as if no more had come. For the handler of a signal: it may be waiting for a silent pipe."""
        self._file.interrupt()

    @property
    def more_has_come(self) -> bool:
        """Whether a pipe has brought more already than was read from it, or its end."""
        return bool(select.select([self._file], [], [], 0)[0])

    def chunks(self, chunk_samples: int) -> Iterator[Samples]:
        """All samples, in chunks of this size and a last one that may be shorter. No samples, no chunk.

        Raises:
            AudioError: nothing can be decoded, though the file says that it has sound.
        """
        kept: list[Samples] = []
        kept_samples = 0
        for piece in self._resampled():
            kept.append(piece)
            kept_samples += len(piece)
            if kept_samples >= chunk_samples:
                joined = np.concatenate(kept)
                whole = len(joined) - len(joined) % chunk_samples
                for start in range(0, whole, chunk_samples):
                    yield joined[start : start + chunk_samples]
                kept, kept_samples = [joined[whole:]], len(joined) - whole
        if kept_samples:
            yield np.concatenate(kept)
        if not self._file.interrupted:
            self._take_stock()

    def _resampled(self) -> Iterator[Samples]:
        rate, resampling = SAMPLE_RATE, None
        nothing = np.empty(0, np.float32)
        for samples, next_rate in self._mono():
            if next_rate != rate:  # also in mid-stream: chained ogg files and broadcasts do that
                if resampling is not None:
                    yield resampling.resample_chunk(nothing, last=True)
                rate = next_rate
                resampling = None if rate == SAMPLE_RATE else resampler(rate)
            yield samples if resampling is None else resampling.resample_chunk(samples)
        if resampling is not None:
            yield resampling.resample_chunk(nothing, last=True)

    def _mono(self) -> Iterator[tuple[Samples, int]]:
        start_seconds = (self._container.start_time or 0) / av.time_base
        for frame in self._frames():
            if frame.time is not None:
                gap_seconds = frame.time - start_seconds - self._read_seconds
                if GAP_SECONDS < gap_seconds < BROKEN_CLOCK_SECONDS:
                    # a second at a time: the hole may be long
                    for second in range(int(gap_seconds) + 1):
                        yield np.zeros(int(min(1.0, gap_seconds - second) * frame.rate), np.float32), frame.rate
                    self._read_seconds += gap_seconds
            yield mix(frame), frame.rate
            self._read_seconds += frame.samples / frame.rate

    def _frames(self) -> Iterator[Any]:
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
            except BROKEN:  # the container is broken from here on; what came before it is whole
                self._damaged = True
                return
            if packet is None:
                return
            try:
                frames = packet.decode()
            except av.FFmpegError:  # one broken packet: the next one may be whole again
                self._damaged = True
                continue
            yield from frames

    def _take_stock(self) -> None:
        promised = self._promised_seconds
        short = promised is not None and promised - self._read_seconds > CUT_SHORT_SECONDS
        if not (self._damaged or short):
            return
        if not self._read_seconds and self.is_pipe:
            raise AudioError(f"{self.name}: {_no_recording(STANDARD_INPUT)}")
        if not self._read_seconds:
            raise AudioError(f"{self.name}: nothing in it can be decoded; it is damaged, fetch or record it again")
        of = f" of {promised:.1f}" if promised else ""
        self.warning = f"{self.name}: damaged or cut short, {self._read_seconds:.1f}{of} seconds could be read"


@contextmanager
def open_recording(path: str) -> Iterator[Recording]:
    """Opens a file, or standard input for `-`, and finds its audio stream: the default one of several.

    Raises:
        AudioError: there is no such file, or it is no recording; the message says what to do.
    """
    name = "standard input" if path == STANDARD_INPUT else path
    with _open_file(path, name) as file:
        try:
            # No protocols: a playlist must not make FFmpeg open other files or the network.
            container = av.open(file, metadata_errors="ignore", options={"protocol_whitelist": "none"})
        except (*BROKEN, UnicodeError):
            file.raise_interrupt()
            raise AudioError(f"{name}: {_no_recording(path)}") from None
        with container:
            file.raise_interrupt()
            if not container.streams.audio:
                raise AudioError(f"{name}: {_no_recording(path, 'has no audio stream; pass a recording with sound')}")
            stream = container.streams.best("audio") or container.streams.audio[0]  # the one that players play
            if stream.codec_context is None:
                raise AudioError(f"{name}: its codec is unknown; convert it to FLAC or WAV first")
            yield Recording(name, container, stream, file)


def mix(frame: Any) -> Samples:
    """One decoded frame as mono float samples `[T]` at its own rate; NaN is silence, beyond full scale is clipped."""
    values = _values(frame)
    if values.dtype == np.uint8:
        values = values.astype(np.float32) - 128  # unsigned: silence lies in the middle
        scale = 128.0
    elif np.issubdtype(values.dtype, np.integer):
        scale = -float(np.iinfo(values.dtype).min)
    else:
        values = harmless(values)
        scale = 1.0
    weights = np.array([CHANNEL_WEIGHTS.get(channel.name, OTHER_CHANNEL_WEIGHT) for channel in frame.layout.channels])
    if not weights.any():  # nothing but a subwoofer
        weights[:] = 1.0
    return ((weights / weights.sum() / scale) @ values).astype(np.float32)


def _values(frame: Any) -> np.ndarray:
    """`[channels, T]`. Not PyAV's own `to_ndarray`: of more than eight planes it reads some that are not there."""
    channels, kind = frame.layout.nb_channels, format_dtypes[frame.format.name]
    if frame.format.is_planar:
        return np.stack([np.frombuffer(plane, kind, frame.samples) for plane in frame.planes[:channels]])
    return np.frombuffer(frame.planes[0], kind, frame.samples * channels).reshape(-1, channels).T


class _File(io.FileIO):
    """A file that ends at Ctrl-C: FFmpeg calls `read` and could not pass an exception on.

    Unbuffered: a read gives what is there, so that a live pipe is heard at once.
    """

    interrupted = False
    _reading = False  # perhaps waiting for what a pipe has not brought yet

    def read(self, size: int | None = -1) -> bytes | None:  # type: ignore[override]
        self._reading = True
        try:
            return b"" if self.interrupted else super().read(size)
        except KeyboardInterrupt:
            self.interrupted = True
            return b""
        finally:
            self._reading = False

    def interrupt(self) -> None:
        """From now on there is no more to read; in the midst of a read this ends it."""
        self.interrupted = True
        if self._reading:
            raise KeyboardInterrupt

    def seek(self, offset: int, whence: int = 0) -> int:
        """Moves to a place, or gives -1 where there is none: a damaged file names places before its beginning."""
        try:
            return super().seek(offset, whence)
        except (OSError, ValueError):
            return -1

    def raise_interrupt(self) -> None:
        if self.interrupted:
            raise KeyboardInterrupt

    def wav_seconds(self) -> float | None:
        """How long a WAV file says it is: bytes of its data by those of a second. None: it does not know."""
        if not self.seekable():
            return None
        place, second_bytes, seconds = self.tell(), 0, None
        self.seek(12)  # behind RIFF, a size, WAVE
        for _ in range(MOST_WAV_CHUNKS):
            if len(head := self.read(8) or b"") < 8:
                break
            (name, size), start = struct.unpack("<4sI", head), self.tell()
            if name == b"fmt ":
                second_bytes = int.from_bytes((self.read(12) or b"")[8:], "little")
            elif name == b"data":
                if second_bytes and 0 < size < UNKNOWN_WAV_BYTES:
                    seconds = size / second_bytes
                break
            self.seek(start + size + size % 2)  # chunks begin at even places
        self.seek(place)
        return seconds

    def has_mp3_index(self) -> bool:
        """Whether an MP3 says how long it is; of a pipe, FFmpeg guesses nothing. What is read next stays the same."""
        if not self.seekable():
            return True
        place = self.tell()
        self.seek(0)
        head = self.read(10) or b""
        tag_bytes = 0  # ID3v2, https://id3.org/id3v2.4.0-structure: its size in four times seven bits
        if head.startswith(b"ID3"):
            tag_bytes = 10 + sum(byte << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=False))
        self.seek(tag_bytes)
        frame = self.read(2048) or b""  # the longest one has 1441 bytes
        self.seek(place)
        return any(index in frame for index in MP3_INDEXES)


def _open_file(path: str, name: str) -> _File:
    try:
        if path == STANDARD_INPUT:
            return _File(0, closefd=False)
        status = Path(path).stat()
        if stat.S_ISREG(status.st_mode) and status.st_size == 0:
            raise AudioError(f"{name}: the file is empty; record or copy it again")
        return _File(path)
    except FileNotFoundError:
        raise AudioError(f"{name}: no such file; check the path") from None
    except IsADirectoryError:
        raise AudioError(f"{name}: is a directory; name the recordings in it") from None
    except PermissionError:
        raise AudioError(f"{name}: may not be read; check its permissions") from None
    except (OSError, ValueError) as error:  # ValueError: a name with a zero byte
        raise AudioError(f"{name!r}: cannot be opened: {error}") from None


def _no_recording(path: str, why: str = "not a recording, or damaged at its start; play it elsewhere to check") -> str:
    if path == STANDARD_INPUT:
        return (
            "no recording that can be read from a pipe; raw samples need a header (arecord -t wav, parec "
            "--file-format=wav), and mp4 and m4a often must be passed as a file"
        )
    if Path(path).suffix.lower() in RAW:
        return (
            f"raw samples do not say their rate; make it a WAV: sox -t raw -r 16000 -e signed -b 16 -c 1 {path} x.wav"
        )
    return why
