"""Samples to the bytes that a socket carries. Loads numpy only when there are samples; bytes go as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

WIDTHS = {"pcm_s16le": 2, "pcm_f32le": 4, "mulaw": 1, "alaw": 1}  # encoding: bytes of one value


def to_bytes(sound: bytes | bytearray | memoryview | ArrayLike, encoding: str, channels: int) -> bytes:
    """Bytes as they are; samples `[T, channels]` (`[T]` if one), float within -1 to 1 or int16, in this encoding.

    Raises:
        ValueError: such samples cannot be encoded so; the message says what can.
    """
    if isinstance(sound, bytes | bytearray | memoryview):
        return bytes(sound)
    import numpy as np

    samples = np.asarray(sound)
    if not (samples.ndim == 2 and samples.shape[1] == channels) and not (samples.ndim == 1 and channels == 1):
        allowed = "[T] or [T, 1]" if channels == 1 else f"[T, {channels}]"
        raise ValueError(f"samples have the shape {list(samples.shape)}; it must be {allowed}")
    if not (np.issubdtype(samples.dtype, np.floating) or samples.dtype == np.int16):
        raise ValueError(f"samples are {samples.dtype}; they must be floats within -1 to 1, or int16")
    if encoding not in ("pcm_s16le", "pcm_f32le"):
        raise ValueError(f"samples cannot be sent as {encoding}; send bytes, or connect with pcm_s16le")
    if (encoding == "pcm_s16le") == (samples.dtype == np.int16):
        return samples.astype("<i2" if encoding == "pcm_s16le" else "<f4").tobytes()
    if encoding == "pcm_f32le":
        return (samples / np.float32(32768)).astype("<f4").tobytes()
    scaled = np.round(np.nan_to_num(samples, nan=0.0).astype(np.float64) * 32768)
    return np.clip(scaled, -32768, 32767).astype("<i2").tobytes()
