"""Weights in sixteen, eight and four bits: how far they are off, and that every way to multiply with them agrees."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from model import packed, precision
from model.linear import Embedding, Linear, packers
from model.lora import LoraConfig
from model.packed import Bfloat16, Int4, Int8, Packed
from model.projection import Projection
from model.speech import GraniteSpeech, Span
from tests.checkpoints import VARIANTS, save, speech

CPU = torch.device("cpu")
TIED, UNTIED = VARIANTS[0], VARIANTS[2]
KINDS = [Bfloat16, Int8, Int4]

# Runs alone, because a process knows one kind of processor.
OTHER_PROCESSOR = """
import torch
from model.packed import Int4
weight, inputs = torch.randn(200, 256), torch.randn(3, 256)
one = Int4.pack(weight, torch.device("cpu"))
print(float((one(inputs) - one._many(inputs)[:, :200]).norm() / one(inputs).norm()))
"""


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def matrix(weight: Packed) -> Tensor:
    """What the packed weight stands for."""
    with torch.inference_mode():
        return weight(torch.eye(weight.shape[1])).T


@pytest.fixture
def unpacking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights are unpacked for any number of rows, in the type of the inputs."""
    for few in ("FEW_16", "FEW_8", "FEW_4"):
        monkeypatch.setattr(packed, few, 0)


@pytest.fixture(params=[True, False], ids=["bfloat16", "emulated"])
def computed_in(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> torch.dtype:
    """What a processor computes in that knows bfloat16, and one that does not."""
    monkeypatch.setattr(precision, "_processor_knows_bfloat16", lambda: request.param)
    return torch.bfloat16 if request.param else torch.float32


@pytest.mark.usefixtures("unpacking")
def test_eight_bits_are_off_by_half_a_step_of_their_row() -> None:
    weight = draw(70, 128)
    step = weight.abs().amax(1, keepdim=True) / 127
    assert ((matrix(Int8.pack(weight, CPU)) - weight).abs() <= 0.51 * step * (1 + 2**-7)).all()


@pytest.mark.usefixtures("unpacking")
def test_four_bits_are_off_by_half_a_step_of_their_group() -> None:
    weight = draw(70, 128)
    groups = weight.view(70, 2, 64)
    step = (groups.amax(-1) - groups.amin(-1)).repeat_interleave(64, 1) / 15
    # the middle value is rounded to bfloat16, by up to 2**-9 of itself
    assert ((matrix(Int4.pack(weight, CPU)) - weight).abs() <= 0.53 * step + 2**-8 * weight.abs().max()).all()


@pytest.mark.usefixtures("unpacking")
def test_sixteen_bits_are_the_weights_themselves() -> None:
    weight, inputs = draw(70, 128), draw(5, 128, seed=1)
    kept = Bfloat16.pack(weight, CPU)
    torch.testing.assert_close(kept(inputs), inputs @ weight.bfloat16().float().T)
    assert torch.equal(kept.rows(torch.tensor([3, 0]), torch.float32), weight.bfloat16()[[3, 0]].float())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rows", [1, 64, 100])
def test_kernels_for_few_rows_agree_with_unpacking(monkeypatch: pytest.MonkeyPatch, kind: type, rows: int) -> None:
    weight, inputs = kind.pack(draw(rows, 192), CPU), draw(4, 192, seed=1).bfloat16()
    with torch.inference_mode():
        kernel = weight(inputs).float()
        for few in ("FEW_16", "FEW_8", "FEW_4"):
            monkeypatch.setattr(packed, few, 0)
        unpacked = weight(inputs.float())
    assert kernel.shape == (4, rows)
    assert (kernel - unpacked).norm() <= 0.01 * unpacked.norm()  # bfloat16 rounds by up to 2**-9


@pytest.mark.parametrize("columns", [24, 40, 72, 112])
def test_eight_bits_of_any_width_are_multiplied_with_as_they_are(columns: int) -> None:
    weight, inputs = Int8.pack(draw(64, columns), CPU), draw(3, columns, seed=1)
    expected = inputs @ (weight.codes.float() * weight.scales.float()[:, None]).T
    with torch.inference_mode():
        assert (weight(inputs) - expected).norm() <= 0.01 * expected.norm()


@pytest.mark.parametrize("capability", ["default", "avx2"])
def test_four_bits_are_laid_out_as_other_processors_want_them(capability: str) -> None:
    environment = {**os.environ, "ATEN_CPU_CAPABILITY": capability}
    command = [sys.executable, "-c", OTHER_PROCESSOR]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert float(done.stdout) < 0.01


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_but_zeros_stays_zero(kind: type) -> None:
    weight = kind.pack(torch.zeros(64, 64), CPU)
    with torch.inference_mode():
        assert weight(draw(3, 64)).abs().max() < 1e-30


def test_a_table_gives_the_rows_that_multiplying_would() -> None:
    weight = Int8.pack(draw(9, 64), CPU)
    table = Embedding(9, 64)
    table.packed = weight
    rows = table.rows(torch.tensor([3, 0, 3]), torch.float32)
    assert torch.allclose(rows, (weight.codes.float() * weight.scales.float()[:, None])[[3, 0, 3]])


@pytest.mark.parametrize("kind", KINDS)
def test_an_adapter_stays_whole_beside_a_packed_weight(kind: type) -> None:
    layer = Projection("q_proj", 64, 64, LoraConfig(rank=4, scale=0.5, targets=frozenset({"q_proj"})))
    inputs = draw(40, 64)
    assert set(packers(nn.ModuleDict({"language_model": layer}), "int4")) == {"language_model.weight"}
    with torch.inference_mode():
        whole = layer(inputs, True) - layer(inputs, False)
        layer.packed = kind.pack(layer.weight, CPU)
        beside = layer(inputs, True) - layer(inputs, False)
    assert (beside - whole).norm() <= 1e-5 * whole.norm()


@pytest.mark.parametrize("bits", ["int8", "int4"])
@pytest.mark.parametrize("variant", [TIED, UNTIED], ids=str)
def test_a_checkpoint_is_loaded_packed(tmp_path: Path, variant: object, bits: str, computed_in: torch.dtype) -> None:
    save(variant, tmp_path)
    network = GraniteSpeech.load(tmp_path, quantize=bits)
    assert network.dtype == computed_in
    head, table = network.language_model.lm_head.packed, network.language_model.model.embed_tokens.packed
    assert isinstance(table, Int8)
    if variant is TIED:
        assert torch.equal(head.codes, table.codes)
    linear = [each for each in network.modules() if isinstance(each, Linear)]
    assert all(each.packed is not None and each.weight is None for each in linear)
    network.transcribe(speech(16_000), max_tokens=4)  # does not raise


@pytest.mark.parametrize("variant", [TIED, UNTIED], ids=str)
def test_a_processor_without_bfloat16_keeps_it_and_computes_in_float32(
    tmp_path: Path, variant: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "_processor_knows_bfloat16", lambda: False)
    save(variant, tmp_path)
    network, whole = GraniteSpeech.load(tmp_path), GraniteSpeech.load(tmp_path, dtype=torch.float32)
    large = [each for each in network.modules() if isinstance(each, Linear)]
    assert {type(each.packed) for each in large} == {Bfloat16}, "as small in memory as it is published"
    spans = [Span(torch.randn(60, 160, generator=torch.Generator().manual_seed(1)))]
    with torch.inference_mode():
        (kept,), (exact,) = network.encode(spans), whole.encode(spans)
    assert kept.embeddings.dtype == torch.float32
    # weights are rounded by up to 2**-9 of themselves, nothing else is
    assert (kept.embeddings - exact.embeddings).norm() <= 0.02 * exact.embeddings.norm()
    network.transcribe(speech(16_000), max_tokens=4)  # does not raise
    assert GraniteSpeech.load(tmp_path, dtype=torch.bfloat16).dtype == torch.bfloat16, "who asks for it gets it"


def test_a_tied_head_and_its_table_are_the_same_memory(tmp_path: Path) -> None:
    save(TIED, tmp_path)
    network = GraniteSpeech.load(tmp_path, quantize="int8")
    assert network.language_model.lm_head.packed is network.language_model.model.embed_tokens.packed


def test_packed_nano_hears_what_it_heard() -> None:
    samples = speech(48_000)
    whole, light = (GraniteSpeech.load("nano", torch.bfloat16, quantize=bits) for bits in ("none", "int8"))
    sizes = [sum(each.nbytes for each in {*one.parameters(), *one.buffers()}) for one in (whole, light)]
    assert sizes[1] < 0.55 * sizes[0]
    features = whole.features(samples)
    one, other = (network.encode([Span(features)])[0].embeddings.float() for network in (whole, light))
    assert (one - other).norm() < 0.1 * one.norm()


def test_what_nobody_can_load_is_refused():
    with pytest.raises(ValueError, match="quantize is 'int2'; it must be one of none, int8, int4"):
        GraniteSpeech.load("nano", quantize="int2")
    with pytest.raises(ValueError, match=r"it must be torch\.float32, torch\.bfloat16"):
        GraniteSpeech.load("nano", torch.int8)


@pytest.mark.parametrize("kind", KINDS)
def test_a_weight_is_packed_and_unpacked_alike_at_once_and_piece_by_piece(
    monkeypatch: pytest.MonkeyPatch, kind: type
) -> None:
    weight = draw(300, 192)
    for few in ("FEW_16", "FEW_8", "FEW_4"):
        monkeypatch.setattr(packed, few, 0)
    whole = matrix(kind.pack(weight, CPU))
    for rows in (1, 70, 150):
        monkeypatch.setattr(packed, "PIECE", rows * 192)
        monkeypatch.setattr(packed, "UNPACKED", rows * 192)
        torch.testing.assert_close(matrix(kind.pack(weight, CPU)), whole)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rows", [1, 100])
def test_a_product_has_the_type_of_what_is_multiplied(kind: type, dtype: torch.dtype, rows: int) -> None:
    with torch.inference_mode():
        assert kind.pack(draw(64, 64), CPU)(draw(rows, 64).to(dtype)).dtype == dtype


@pytest.mark.parametrize("kind", [Bfloat16, Int8])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_rows_of_a_table_have_the_type_that_is_asked_for(kind: type, dtype: torch.dtype) -> None:
    assert kind.pack(draw(9, 64), CPU).rows(torch.tensor([3]), dtype).dtype == dtype


@pytest.mark.parametrize("kind", KINDS)
def test_a_packed_weight_is_none_of_the_memory_it_was_read_from(kind: type) -> None:
    weight = draw(64, 64).bfloat16()
    kept = kind.pack(weight, CPU)
    before = matrix(kept)
    weight.zero_()
    assert torch.equal(matrix(kept), before)


@pytest.mark.parametrize("kind", KINDS)
def test_faint_weights_are_kept_as_well_as_loud_ones(kind: type) -> None:
    weight, faint = draw(64, 64), 2.0**-40
    packed_faint, packed_loud = kind.pack(weight * faint, CPU), kind.pack(weight, CPU)
    torch.testing.assert_close(matrix(packed_faint) / faint, matrix(packed_loud))


def test_the_characters_probabilities_are_of_float32_whatever_the_weights_are() -> None:
    network = GraniteSpeech.load("nano", torch.bfloat16)
    (heard,) = network.encode([Span(network.features(speech(16_000)))])
    torch.testing.assert_close(heard.log_probs.exp().sum(-1), torch.ones(len(heard.log_probs)), atol=1e-5, rtol=0)


def test_only_the_language_model_is_packed_into_four_bits() -> None:
    network = GraniteSpeech.load("nano", torch.bfloat16, quantize="int4")

    def kinds(part: nn.Module) -> set[type]:
        return {type(each.packed) for each in part.modules() if isinstance(each, Linear)}

    assert kinds(network.encoder) == kinds(network.projector) == {Int8}
    assert kinds(network.language_model.model) == {Int4}
