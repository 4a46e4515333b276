"""Log-mel features: those of the reference, and the same however the audio is cut."""

from __future__ import annotations

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import GraniteSpeechFeatureExtractor

from model.config import WINDOW_FRAMES
from model.features import FLOOR_DECADES, MIN_SAMPLES, LogMel, MelState, settled_frames, stack
from model.speech import as_samples
from tests.checkpoints import speech

TOLERANCE = 1e-6  # float32; the filterbank sums in another order when it is given another number of frames
SILENCE = -1.5  # what 10 decades under a power of 1 become
SHORT = [0, 1, 100, 256]  # samples: too few to be mirrored at the ends
LENGTHS = [257, 258, 319, 320, 400, 479, 480, 481, 1600, 16_000, 48_123]  # samples
CUTS = [1, 159, 160, 161, 1600, 7919]  # samples a push: around one hop, one frame of 100 ms, a prime
SPEECH = speech(16_000)

mel = LogMel()


def streamed(samples: Tensor, sizes: list[int]) -> Tensor:
    """Raw frames of samples pushed in pieces of these sizes, the last of them as often as needed."""
    state, at, frames = MelState(), 0, []
    while at < len(samples):
        size = sizes.pop(0) if len(sizes) > 1 else max(sizes[0], 1)
        frames.append(mel.push(samples[at : at + size], state))
        at += size
    return torch.cat([*frames, mel.finish(state)])


def offline(samples: Tensor) -> Tensor:
    return streamed(samples, [len(samples)])


@pytest.mark.parametrize("samples", LENGTHS)
def test_features_equal_the_reference(samples: int) -> None:
    reference = GraniteSpeechFeatureExtractor()(speech(samples))["input_features"][0]
    torch.testing.assert_close(mel(speech(samples)), reference, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("gain", [1e-6, 1.0, 1e4])
def test_faint_and_deafening_audio_equal_the_reference(gain: float) -> None:
    reference = GraniteSpeechFeatureExtractor()(SPEECH * gain)["input_features"][0]
    torch.testing.assert_close(mel(SPEECH * gain), reference, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf"), 3e38, -1e25])
def test_no_sample_however_wild_makes_a_feature_that_is_not_a_number(bad: float) -> None:
    # one would stay in the cache's memory and reach the stream that is given the slot next
    samples = SPEECH.clone()
    samples[::7] = bad
    assert bool(mel(as_samples(samples)).isfinite().all())


@pytest.mark.parametrize("samples", LENGTHS)
def test_frames_and_embeddings_are_counted_as_the_reference_counts_them(samples: int) -> None:
    reference = GraniteSpeechFeatureExtractor()(speech(samples))
    assert len(mel(speech(samples))) == (samples // 160 + 1) // 2
    windows = -(-len(mel(speech(samples))) // WINDOW_FRAMES)
    assert 3 * windows == reference["audio_embed_sizes"][0]


@pytest.mark.parametrize("samples", SHORT)
def test_audio_too_short_to_be_mirrored_has_no_frames(samples: int) -> None:
    assert samples < MIN_SAMPLES
    assert mel(speech(samples)).shape == (0, 160)


@pytest.mark.parametrize("samples", [0, 1, 256, 257, 415, 416, 417, 16_000])
def test_how_many_frames_are_settled_can_be_told_without_them(samples: int) -> None:
    assert len(mel.push(SPEECH[:samples], MelState())) == settled_frames(samples)


def test_digital_silence_is_constant() -> None:
    assert mel(torch.zeros(16_000)).unique().tolist() == [SILENCE]


@pytest.mark.parametrize("size", CUTS)
@pytest.mark.parametrize("samples", [0, 1, 100, 256, 257, 258, 400, 481, 16_000])
def test_pieces_of_one_size_give_the_offline_frames(samples: int, size: int) -> None:
    torch.testing.assert_close(streamed(SPEECH[:samples], [size]), offline(SPEECH[:samples]), atol=TOLERANCE, rtol=0)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 16_000), st.lists(st.integers(0, 2000), min_size=1, max_size=30))
@example(samples=16_000, sizes=[0, 256, 0, 1, 7919])
def test_any_cut_gives_the_offline_frames(samples: int, sizes: list[int]) -> None:
    torch.testing.assert_close(streamed(SPEECH[:samples], sizes), offline(SPEECH[:samples]), atol=TOLERANCE, rtol=0)


def test_a_pushed_frame_is_settled_whatever_follows() -> None:
    state = MelState()
    frames = mel.push(SPEECH[:8000], state)
    for rest in (SPEECH[8000:], 10 * torch.ones(3000), torch.zeros(0)):
        whole = offline(torch.cat([SPEECH[:8000], rest]))
        torch.testing.assert_close(frames, whole[: len(frames)], atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("samples", [257, 4000, 8000, 15_999])
def test_at_most_two_frames_wait_for_more_audio(samples: int) -> None:
    state = MelState()
    waiting = samples // 160 + 1 - len(mel.push(SPEECH[:samples], state))
    assert waiting == len(mel.finish(state)) <= 2


def test_memory_of_a_long_stream_stays_small() -> None:
    state = MelState()
    for _ in range(50):
        mel.push(SPEECH, state)
    assert len(state.tail) < 1000
    assert state.tail.untyped_storage().nbytes() < 4 * 20_000


def test_the_floor_lies_eight_decades_under_the_peak() -> None:
    raw = torch.tensor([[2.0, -9.0], [-5.9, -6.1]]).repeat(1, 40)
    assert stack(raw, 2.0)[0, [0, 1, 80, 81]].tolist() == pytest.approx([1.5, -0.5, -0.475, -0.5])


def test_a_louder_peak_changes_only_what_it_lifts_to_the_floor() -> None:
    raw = offline(SPEECH * torch.linspace(0.001, 1, len(SPEECH)))
    final, early = stack(raw, float(raw.max())), stack(raw, float(raw[:20].max()))
    assert final.min().item() == pytest.approx((float(raw.max()) - FLOOR_DECADES) / 4 + 1)
    lifted = final == final.min()
    assert bool(lifted.any())
    assert bool((early[lifted] <= final[lifted]).all())
    assert torch.equal(early[~lifted], final[~lifted])


@pytest.mark.parametrize("samples", [4000, 4160])  # an even number of mel frames, and one without a partner
def test_a_bang_at_the_very_end_lifts_the_floor_as_in_the_reference(samples: int) -> None:
    audio = SPEECH[:samples] * 1e-4
    audio[-40:] = 1.0
    reference = GraniteSpeechFeatureExtractor()(audio)["input_features"][0]
    torch.testing.assert_close(mel(audio), reference, atol=TOLERANCE, rtol=0)


def test_what_is_no_number_is_silence_and_what_is_endless_full_scale() -> None:
    inf = float("inf")
    assert as_samples(torch.tensor([float("nan"), inf, -inf, 0.5])).tolist() == [0.0, 1.0, -1.0, 0.5]
