"""Whether a model keeps up is guessed from a slice of one: what is counted, and that the guess is near the truth."""

from __future__ import annotations

import time

import pytest
import torch

from model import precision
from model.checkpoint import weights_met
from model.granite import Extension
from model.known import Size
from model.linear import Bits, Linear
from model.packed import Int4
from model.speech import GraniteSpeech, Span
from streamer.estimate import SEGMENT_SECONDS, SLICE, TOKENS_A_SECOND, Pace, Update, made_up, measure

CPU = torch.device("cpu")


def test_an_update_encodes_what_is_new_and_what_it_overlaps() -> None:
    update = Update.of(0.6)
    assert update.frames == 30 + 30
    assert update.positions == 12 + 16 + TOKENS_A_SECOND * SEGMENT_SECONDS / 2
    assert update.tokens == pytest.approx(2.4)
    assert Update.final() == Update(300, 60 + 16 + 24, 0)


def test_a_load_counts_updates_and_finals() -> None:
    size, update, final = Size(0, 0, 1000, 10_000), Update.of(0.6), Update.final()
    frames = update.frames / 0.6 + final.frames / SEGMENT_SECONDS
    assert Pace(1e-3, 0, 0).load(size, 0.6) == pytest.approx(frames)
    alone = (1 + update.tokens) / 0.6 + 1 / SEGMENT_SECONDS
    assert Pace(0, 1e-4, 0).load(size, 0.6) == pytest.approx(alone)
    further = (update.positions - 1) / 0.6 + (final.positions - 1) / SEGMENT_SECONDS
    assert Pace(0, 0, 1e-4).load(size, 0.6) == pytest.approx(further)


def test_longer_steps_cost_less() -> None:
    pace, size = Pace(1e-11, 1e-10, 1e-11), Size(0, 0, 10**9, 10**9)
    assert pace.load(size, 0.3) > pace.load(size, 0.6) > pace.load(size, 1.2)


@pytest.mark.parametrize("knows_bfloat16", [True, False])
@pytest.mark.parametrize("bits", ["none", "int8", "int4"])
def test_a_slice_is_a_network_of_the_form_asked_for(
    bits: Bits, knows_bfloat16: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "_processor_knows_bfloat16", lambda: knows_bfloat16)
    network = made_up(bits, CPU)
    assert network.dtype == (torch.bfloat16 if knows_bfloat16 else torch.float32)
    layers = [each for each in network.modules() if isinstance(each, Linear)]
    assert all((each.packed is None) == (bits == "none" and knows_bfloat16) for each in layers)
    if bits == "int4":
        in_four = {type(each.packed) for each in network.language_model.modules() if isinstance(each, Linear)}
        assert in_four == {Int4}
    frame, token = weights_met(network)
    assert frame == pytest.approx(SLICE["encoder_config"]["num_layers"] / 16 * 434e6 + 38e6, rel=0.05)
    assert token == pytest.approx(1_631_586_304 / 10, rel=0.01)
    (heard,) = network.encode([Span(torch.randn(30, 160))])
    cache = network.cache(9)
    (said,) = network.extend([Extension(cache.acquire(), 0, heard.embeddings)], cache)
    assert torch.isfinite(heard.embeddings).all()
    assert said.log_probs[0] <= 0


def test_what_a_model_is_thought_to_take_is_near_what_it_takes() -> None:
    network = GraniteSpeech.load("nano")
    work, size = Update.of(0.6), Size(0, 0, *weights_met(network))
    pace = measure(network)
    network.encode([Span(torch.randn(work.frames, 160))])
    began = time.process_time()
    network.encode([Span(torch.randn(work.frames, 160))])
    cache = network.cache(work.positions + 4)
    slot, width = cache.acquire(), network.config.text.hidden_size
    with torch.inference_mode():
        network.extend([Extension(slot, 0, torch.randn(work.positions, width))], cache)
        for token in range(round(work.tokens)):
            network.extend([Extension(slot, work.positions + token, torch.randn(1, width))], cache)
    update = (time.process_time() - began) / torch.get_num_threads()
    thought = pace.load(size, 0.6) * 0.6
    final = 0.6 / SEGMENT_SECONDS * size.per_frame * pace.frame * 300  # the most of what else is in it
    assert update / 4 < thought - final < 4 * update, "other work on the machine blurs both"
