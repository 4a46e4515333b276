from __future__ import annotations

import subprocess
import sys
from itertools import accumulate, pairwise

import av
import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.sound.incoming import ENCODINGS, Incoming
from tests.media import tone

FORMATS = [
    ("pcm_s16le", 16_000, 1),
    ("pcm_s16le", 44_100, 2),
    ("pcm_f32le", 48_000, 1),
    ("pcm_f32le", 8_000, 3),
    ("mulaw", 8_000, 1),
    ("alaw", 192_000, 64),
]
SIZES = [1, 2, 3, 159, 160, 161, 1600, 7919]  # bytes


def noise(encoding: str, frames: int, channels: int) -> bytes:
    """Bytes that can be decoded, the same ones each time."""
    chance = np.random.default_rng(0)
    if encoding == "pcm_f32le":
        return chance.uniform(-1, 1, frames * channels).astype("<f4").tobytes()
    return chance.bytes(frames * channels * ENCODINGS[encoding][0])


def whole(encoding: str, rate: int, channels: int, data: bytes) -> np.ndarray:
    incoming = Incoming(encoding, rate, channels)
    return np.concatenate([incoming.feed(data), incoming.finish()])


@pytest.mark.parametrize(("encoding", "rate", "channels"), FORMATS)
@given(sizes=st.lists(st.integers(0, 3000) | st.sampled_from(SIZES), max_size=50))
@settings(max_examples=50)
def test_however_the_bytes_are_cut_the_samples_are_the_same(
    encoding: str, rate: int, channels: int, sizes: list[int]
) -> None:
    data = noise(encoding, 6401 // channels, channels)
    incoming = Incoming(encoding, rate, channels)
    ends = [0, *accumulate(sizes), len(data)]
    pieces = [incoming.feed(data[start:end]) for start, end in pairwise(ends) if start < len(data)]
    joined = np.concatenate([*pieces, incoming.finish()])
    np.testing.assert_array_equal(joined, whole(encoding, rate, channels, data))
    assert incoming.frames == 6401 // channels


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 24_000, 44_100])
@given(sizes=st.lists(st.integers(0, 3000), min_size=1, max_size=30))
@settings(max_examples=50)
def test_a_flush_gives_all_that_was_said_and_times_stay_those_of_the_client(rate: int, sizes: list[int]) -> None:
    incoming, given_so_far = Incoming(sample_rate=rate), 0
    for frames in sizes:
        given_so_far += len(incoming.feed(noise("pcm_s16le", frames, 1))) + len(incoming.flush())
        assert given_so_far == round(incoming.frames * 16_000 / rate)


@pytest.mark.parametrize(("encoding", "rate", "channels"), FORMATS)
def test_a_byte_at_a_time_is_enough(encoding: str, rate: int, channels: int) -> None:
    data = noise(encoding, 640 // channels, channels)
    incoming = Incoming(encoding, rate, channels)
    pieces = [incoming.feed(data[at : at + 1]) for at in range(len(data))]
    joined = np.concatenate([*pieces, incoming.finish()])
    np.testing.assert_array_equal(joined, whole(encoding, rate, channels, data))


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000, 96_000, 192_000])
def test_every_rate_becomes_16_khz(rate: int) -> None:
    samples = whole("pcm_f32le", rate, 1, tone(1.0, rate).tobytes())
    assert samples.dtype == np.float32
    assert len(samples) == pytest.approx(16_000, abs=2)
    np.testing.assert_allclose(samples[2000:-2000], tone(1.0)[2000 : len(samples) - 2000], atol=2e-3)


def test_live_resampling_equals_that_of_the_whole() -> None:
    sound = tone(0.5, 44_100)
    samples = whole("pcm_f32le", 44_100, 1, sound.tobytes())
    np.testing.assert_allclose(samples, soxr.resample(sound, 44_100, 16_000)[: len(samples)], atol=1e-6)


@pytest.mark.parametrize(("encoding", "codec"), [("mulaw", "pcm_mulaw"), ("alaw", "pcm_alaw")])
def test_telephone_codes_are_those_of_ffmpeg(encoding: str, codec: str) -> None:
    every_byte = bytes(range(256))
    decoder = av.CodecContext.create(codec, "r")
    decoder.sample_rate, decoder.layout = 8_000, "mono"
    (frame,) = decoder.decode(av.Packet(every_byte))
    expected = frame.to_ndarray().reshape(-1) / np.float32(32768)
    np.testing.assert_array_equal(Incoming(encoding, 16_000).feed(every_byte), expected)


def test_16_bit_values_keep_their_scale() -> None:
    data = np.array([0, 1, -1, 32767, -32768], "<i2").tobytes()
    expected = np.array([0, 1, -1, 32767, -32768], np.float32) / 32768
    np.testing.assert_array_equal(Incoming().feed(data), expected)


def test_channels_are_averaged() -> None:
    left_and_right = np.array([[0.5, -0.5], [1.0, 0.0], [-1.0, -0.5]], "<f4")
    samples = Incoming("pcm_f32le", 16_000, 2).feed(left_and_right.tobytes())
    np.testing.assert_array_equal(samples, np.array([0, 0.5, -0.75], np.float32))


def test_what_is_no_number_or_too_loud_is_made_harmless() -> None:
    wild = np.array([np.nan, np.inf, -np.inf, 3e38, -2.0, 0.25], "<f4").tobytes()
    expected = np.array([0, 1, -1, 1, -1, 0.25], np.float32)
    np.testing.assert_array_equal(Incoming("pcm_f32le").feed(wild), expected)
    assert np.isfinite(whole("pcm_f32le", 44_100, 2, wild * 1000)).all()


def test_seconds_count_whole_frames_only_and_come_back_as_frames() -> None:
    for rate in (8_000, 11_025, 44_100, 191_999):
        incoming = Incoming("pcm_s16le", rate, 3)
        for _ in range(50):
            incoming.feed(bytes(4999))
            assert round(incoming.seconds * rate) == incoming.frames
        assert incoming.frames == 50 * 4999 // 6


def test_a_begun_frame_can_be_sent_again_from_its_start() -> None:
    data = noise("pcm_s16le", 100, 2)
    incoming = Incoming("pcm_s16le", 16_000, 2)
    first = incoming.feed(data[:203])
    incoming.drop_rest()
    again = incoming.feed(data[incoming.frames * incoming.frame_bytes :])
    np.testing.assert_array_equal(np.concatenate([first, again]), Incoming("pcm_s16le", 16_000, 2).feed(data))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("opus",), "encoding is 'opus'; it must be one of pcm_s16le, pcm_f32le, mulaw, alaw"),
        (("pcm_s16le", 0), "sample_rate is 0; it must lie between 8000 and 192000"),
        (("pcm_s16le", -1), "sample_rate is -1"),
        (("pcm_s16le", 10**9), "sample_rate is 1000000000"),
        (("pcm_s16le", 16_000, 0), "channels is 0; it must lie between 1 and 64"),
        (("pcm_s16le", 16_000, 65), "channels is 65"),
    ],
)
def test_a_format_that_is_not_known_says_what_is(arguments: tuple[str, int], message: str) -> None:
    with pytest.raises(ValueError, match="must") as caught:
        Incoming(*arguments)
    assert message in str(caught.value)


def test_it_does_not_load_torch() -> None:
    program = "import sys; import streamer.sound.incoming; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
