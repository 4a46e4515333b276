from __future__ import annotations

import numpy as np
import pytest

from clients.outgoing import WIDTHS, to_bytes
from streamer.sound.incoming import ENCODINGS


def test_samples_become_the_bytes_that_the_daemon_reads_back() -> None:
    floats = np.array([0, 0.5, -1, 1, 2, np.nan], np.float32)
    whole = np.array([0, 16384, -32768, 32767], np.int16)
    for samples in (floats, whole, floats[:4].astype(np.float64), floats[:4].tolist()):
        for encoding in ("pcm_s16le", "pcm_f32le"):
            _, decode = ENCODINGS[encoding]
            expected = [0, 0.5, -1, 1, 1, 0][: len(samples)]
            np.testing.assert_allclose(decode(to_bytes(samples, encoding, 1)), expected, atol=1 / 32768)
    assert to_bytes(whole.reshape(-1, 2), "pcm_s16le", 2) == whole.tobytes()
    assert to_bytes(memoryview(b"abc"), "mulaw", 1) == b"abc"
    assert {name: width for name, (width, _) in ENCODINGS.items()} == WIDTHS


@pytest.mark.parametrize(
    ("samples", "encoding", "cure"),
    [
        (np.zeros((5, 3), np.float32), "pcm_s16le", r"must be \[T, 2\]"),
        (np.zeros(6, np.float32), "pcm_s16le", r"shape \[6\]; it must be \[T, 2\]"),
        (np.float32(0), "pcm_s16le", "must be"),
        (np.zeros((5, 2), np.int32), "pcm_s16le", "floats within -1 to 1, or int16"),
        (np.zeros((5, 2), np.float32), "mulaw", "send bytes"),
    ],
)
def test_samples_that_cannot_be_sent_say_what_can(samples: np.ndarray, encoding: str, cure: str) -> None:
    with pytest.raises(ValueError, match=cure):
        to_bytes(samples, encoding, 2)
