"""Audio as clients send it to 16 kHz mono samples, however it is cut. Knows nothing of sockets, models or torch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import soxr
from numpy.typing import NDArray

SAMPLE_RATE = 16_000  # samples a second; what all models of the family hear
RATES = (8_000, 192_000)  # samples a second, of a telephone and of a studio
MOST_CHANNELS = 64

Samples = NDArray[np.float32]  # [T], within -1 to 1


class Incoming:
    """Turns the bytes of one stream into samples; the state between two calls is its own.

    A chunk may end anywhere: what is no whole frame (one value for each channel) waits for the rest.
    """

    def __init__(self, encoding: str = "pcm_s16le", sample_rate: int = SAMPLE_RATE, channels: int = 1) -> None:
        """Takes the format that the client announced.

        Raises:
            ValueError: there is no such format; the message says what is allowed.
        """
        if encoding not in ENCODINGS:
            raise ValueError(f"encoding is {encoding!r}; it must be one of {', '.join(ENCODINGS)}")
        if not RATES[0] <= sample_rate <= RATES[1]:
            raise ValueError(f"sample_rate is {sample_rate}; it must lie between {RATES[0]} and {RATES[1]}")
        if not 1 <= channels <= MOST_CHANNELS:
            raise ValueError(f"channels is {channels}; it must lie between 1 and {MOST_CHANNELS}")
        self.encoding, self.sample_rate, self.channels = encoding, sample_rate, channels
        width, self._decode = ENCODINGS[encoding]
        self.frame_bytes = width * channels
        self.frames = 0  # whole ones taken so far, at the client's rate
        self._rest = b""
        self._given = 0  # samples
        self._resampler = None if sample_rate == SAMPLE_RATE else resampler(sample_rate)

    @property
    def seconds(self) -> float:
        """Stream time of the whole frames taken so far: what `ready` and `ack` may promise.

        Not rounded: times `sample_rate` it is a whole number of frames again.
        """
        return self.frames / self.sample_rate

    def feed(self, data: bytes) -> Samples:
        """Takes the next bytes; gives the samples `[T]` that they complete."""
        data = self._rest + data
        whole = len(data) - len(data) % self.frame_bytes
        self._rest = data[whole:]
        self.frames += whole // self.frame_bytes
        samples = self._decode(data[:whole])
        if self.channels > 1:
            samples = samples.reshape(-1, self.channels).mean(1, dtype=np.float32)
        return samples if self._resampler is None else self._resampled(samples)

    def finish(self) -> Samples:
        """The samples `[T]` that the resampler still holds. A frame that was only begun is no sound and is lost."""
        nothing = np.empty(0, np.float32)
        return nothing if self._resampler is None else self._resampled(nothing, last=True)

    def flush(self) -> Samples:
        """The same where the audio goes on: what was said so far does not wait for what is said next.

        From here on all times are those of the client's frames again, whatever the resampler rounded.
        """
        rest = self.finish()
        if self._resampler is None:
            return rest
        self._resampler = resampler(self.sample_rate)
        missing = round(self.frames * SAMPLE_RATE / self.sample_rate) - self._given
        self._given += missing
        return np.pad(rest, (0, missing)) if missing >= 0 else rest[:missing]

    def _resampled(self, samples: Samples, last: bool = False) -> Samples:
        assert self._resampler is not None
        given = self._resampler.resample_chunk(samples, last=last)
        self._given += len(given)
        return given

    def drop_rest(self) -> None:
        """Forgets a frame that was only begun: the connection broke, and a client resumes at whole frames."""
        self._rest = b""


def resampler(rate: int) -> soxr.ResampleStream:
    """From this rate to 16 kHz, for mono float32; it delays what it gives, and `last=True` brings the rest."""
    return soxr.ResampleStream(rate, SAMPLE_RATE, 1, dtype="float32")


def harmless(samples: NDArray[np.floating]) -> Samples:
    """The same without NaN (silence) and infinity (full scale), clipped to full scale."""
    return np.clip(np.nan_to_num(samples, nan=0.0), -1, 1).astype(np.float32)


def mulaw_table() -> Samples:
    """The value of each byte of G.711 mu-law, all bits inverted: sign, exponent of three bits, mantissa of four."""
    code = ~np.arange(256) & 0xFF
    magnitude = ((((code & 0x0F) << 3) + 0x84) << (code >> 4 & 7)) - 0x84
    return (np.where(code & 0x80, -magnitude, magnitude) / 32768).astype(np.float32)


def alaw_table() -> Samples:
    """The value of each byte of G.711 A-law, every second bit inverted; the lowest exponent is linear."""
    code = np.arange(256) ^ 0x55
    exponent = code >> 4 & 7
    magnitude = ((code & 0x0F) << 4) + 8
    magnitude = np.where(exponent, (magnitude + 0x100) << np.maximum(exponent - 1, 0), magnitude)
    return (np.where(code & 0x80, magnitude, -magnitude) / 32768).astype(np.float32)


MULAW, ALAW = mulaw_table(), alaw_table()  # [256]


def _pcm_s16le(data: bytes) -> Samples:
    return np.frombuffer(data, "<i2").astype(np.float32) / np.float32(32768)


def _pcm_f32le(data: bytes) -> Samples:
    return harmless(np.frombuffer(data, "<f4"))


def _mulaw(data: bytes) -> Samples:
    return MULAW[np.frombuffer(data, np.uint8)]


def _alaw(data: bytes) -> Samples:
    return ALAW[np.frombuffer(data, np.uint8)]


# name: bytes of one value, and how many of them become samples
ENCODINGS: dict[str, tuple[int, Callable[[bytes], Samples]]] = {
    "pcm_s16le": (2, _pcm_s16le),
    "pcm_f32le": (4, _pcm_f32le),
    "mulaw": (1, _mulaw),
    "alaw": (1, _alaw),
}
