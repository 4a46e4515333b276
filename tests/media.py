"""Recordings of every kind, made for the tests that read them."""

from __future__ import annotations

import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np


@contextmanager
def no_room_beyond(size: int) -> Iterator[None]:
    """A disk that takes a part of what is written to it: no file gets longer than `size` bytes."""
    told, limits = signal.signal(signal.SIGXFSZ, signal.SIG_IGN), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, told)


def tone(seconds: float = 1.0, rate: int = 16_000, hertz: float = 440.0) -> np.ndarray:
    """A sine at half of full scale, `[T]` float32."""
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def write(
    path: Path,
    *tracks: np.ndarray,
    rate: int = 16_000,
    codec: str = "pcm_s16le",
    layout: str = "mono",
    video: bool = False,
    late_seconds: float = 0.0,
) -> Path:
    """Writes audio tracks, each `[T]` or `[C, T]`, to a container chosen by the path's suffix."""
    with av.open(str(path), "w") as container:
        if video:
            picture = container.add_stream("mpeg4", rate=10)
            picture.width = picture.height = 32
        streams = [container.add_stream(codec, rate=rate, layout=layout) for _ in tracks]
        if video:
            for index in range(10):
                still = av.VideoFrame(32, 32, "yuv420p")
                still.pts = index
                container.mux(picture.encode(still))
            container.mux(picture.encode(None))
        for stream, samples in zip(streams, tracks, strict=True):
            whole = np.ascontiguousarray(np.atleast_2d(samples), np.float32)
            frame = av.AudioFrame.from_ndarray(whole, format="fltp", layout=layout)
            frame.rate = rate
            frame.pts = round(late_seconds * rate)
            converter = av.AudioResampler(stream.format, layout, rate, stream.codec_context.frame_size or None)
            for piece in [*converter.resample(frame), *converter.resample(None)]:
                container.mux(stream.encode(piece))
            container.mux(stream.encode(None))
    return path
