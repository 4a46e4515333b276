"""The projector's own promises: windows of 15 frames, independent of each other, the last one filled with zeros."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch import nn

from model.config import EncoderConfig, ProjectorConfig, SpeechConfig, TextConfig
from model.projector import Projector
from tests.checkpoints import randomise

TOLERANCE = 5e-6  # absolute, on values of the order of one in float32
WINDOW = 15  # frames
CONFIG = SpeechConfig(
    encoder=EncoderConfig(hidden_dim=32),
    projector=ProjectorConfig(
        hidden_size=40, num_attention_heads=4, intermediate_size=72, encoder_hidden_size=32, num_hidden_layers=2
    ),
    text=TextConfig(
        vocab_size=50,
        hidden_size=64,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=4,
        num_key_value_heads=2,
    ),
    audio_token_index=49,
)
FRAMES = torch.randn(4 * WINDOW, 32, generator=torch.Generator().manual_seed(6))

projector = Projector(CONFIG).eval().requires_grad_(False)
randomise(projector, seed=3)


@pytest.fixture(scope="module", autouse=True)
def without_gradients() -> Iterator[None]:
    with torch.inference_mode():
        yield


@pytest.mark.parametrize(("frames", "windows"), [(0, 0), (1, 1), (14, 1), (15, 1), (16, 2), (45, 3), (46, 4)])
def test_each_window_begun_becomes_three_embeddings(frames: int, windows: int) -> None:
    cut = projector.windows(FRAMES[:frames])
    assert cut.shape == (windows, WINDOW, 32)
    assert projector(cut).shape == (windows, 3, 64)


def test_the_last_window_is_filled_with_zeros() -> None:
    cut = projector.windows(FRAMES[: WINDOW + 4])
    assert torch.equal(cut[1, :4], FRAMES[WINDOW : WINDOW + 4])
    assert not cut[1, 4:].any()


def test_a_window_is_projected_alike_with_and_without_others() -> None:
    cut = projector.windows(FRAMES)
    together = projector(cut)
    for window, embeddings in zip(cut, together, strict=True):
        torch.testing.assert_close(projector(window[None])[0], embeddings, atol=TOLERANCE, rtol=0)


def test_every_frame_of_a_window_reaches_every_embedding() -> None:
    cut = projector.windows(FRAMES[:WINDOW])
    for frame in range(WINDOW):
        changed = cut.clone()
        changed[0, frame] += 1
        assert bool(((projector(changed) - projector(cut)).abs().amax(-1) > 1e-4).all())


def test_fresh_queries_are_drawn_with_deviation_one() -> None:
    wide = ProjectorConfig(hidden_size=4000, num_attention_heads=4, intermediate_size=1, num_hidden_layers=0)
    fresh = Projector(SpeechConfig(CONFIG.encoder, wide, CONFIG.text, audio_token_index=49))
    assert fresh.query.shape == (1, 3, 4000)
    assert fresh.query.std().item() == pytest.approx(1, abs=0.05)


def test_every_norm_has_the_epsilon_of_the_configuration() -> None:
    unlike = Projector(replace(CONFIG, projector=replace(CONFIG.projector, layer_norm_eps=0.25)))
    assert {module.eps for module in unlike.modules() if isinstance(module, nn.LayerNorm)} == {0.25}
