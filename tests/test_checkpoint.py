"""Checkpoint directories in every form they come in, and a one-line error that names the fault of each broken one."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from model.checkpoint import canonical
from model.errors import CheckpointError
from model.files import INDEX, SINGLE
from model.speech import GraniteSpeech
from tests.checkpoints import VARIANTS, Variant, change, reference, save

TIED, UNTIED, PLUS = VARIANTS[0], VARIANTS[2], VARIANTS[4]
HEAD, EMBEDDING = "language_model.lm_head.weight", "language_model.model.embed_tokens.weight"
BIAS = "encoder.out.bias"
LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"


def load(directory: Path, dtype: torch.dtype = torch.float32) -> GraniteSpeech:
    return GraniteSpeech.load(directory, dtype=dtype)


def assert_holds_the_reference(network: GraniteSpeech, variant: Variant) -> None:
    theirs = {canonical(name): tensor for name, tensor in reference(variant).state_dict().items()}
    ours = network.state_dict()
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        if tensor.is_floating_point():
            assert torch.equal(tensor, theirs[name]), name


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(TIED, tmp_path_factory.mktemp("saved"))


@pytest.fixture
def directory(saved: Path, tmp_path: Path) -> Path:
    """A checkpoint that a test may break."""
    return shutil.copytree(saved, tmp_path / "checkpoint")


def rewrite(directory: Path, change: Callable[[dict[str, Tensor]], object]) -> None:
    """Changes the tensors of a single-file checkpoint."""
    tensors = load_file(directory / SINGLE)
    change(tensors)
    save_file(tensors, directory / SINGLE)


def refusal(directory: Path) -> str:
    with pytest.raises(CheckpointError) as error:
        load(directory)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("sharded", [False, True], ids=["single", "sharded"])
@pytest.mark.parametrize("hub_keys", [True, False], ids=["hub", "transformers-5"])
@pytest.mark.parametrize("variant", [TIED, UNTIED, PLUS], ids=str)
def test_every_form_of_a_checkpoint_gives_the_same_weights(
    tmp_path: Path, variant: Variant, hub_keys: bool, sharded: bool
) -> None:
    save(variant, tmp_path, hub_keys=hub_keys, sharded=sharded)
    files = sorted(tmp_path.glob("*.safetensors"))
    assert (len(files) > 3) == sharded == (tmp_path / INDEX).exists()
    stored = {key for path in files if "99999" not in path.name for key in load_file(path)}
    assert ("encoder.out.bias" in stored) == hub_keys
    assert ("model.encoder.out.bias" in stored) != hub_keys
    assert_holds_the_reference(load(tmp_path), variant)


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("encoder.layers.0.ff1.up_proj.weight", "encoder.layers.0.ff1.up_proj.weight"),
        ("model.encoder.layers.0.ff1.up_proj.weight", "encoder.layers.0.ff1.up_proj.weight"),
        ("model.projector.query", "projector.query"),
        ("language_model.model.norm.weight", "language_model.model.norm.weight"),
        ("model.language_model.norm.weight", "language_model.model.norm.weight"),
        ("model.language_model.embed_tokens.weight", EMBEDDING),
        ("lm_head.weight", HEAD),
        ("language_model.lm_head.weight", HEAD),
    ],
)
def test_both_styles_of_keys_have_one_name(key: str, name: str) -> None:
    assert canonical(key) == name


def first_name(key: str) -> str:
    """What a tensor of the encoder is called by the code that came with granite-speech-3.2-8b: a list of an input
    layer and the conformer's, `Scale(PreNorm(FeedForward))` and so on."""
    key = key.replace("encoder.input_linear.", "encoder.rnn_tr.0.")
    key = re.sub(r"encoder\.layers\.(\d+)", lambda found: f"encoder.rnn_tr.{int(found[1]) + 1}", key)
    if ".rnn_tr." in key:
        key = re.sub(r"(ff[12])\.pre_norm", r"\1.fn.norm", key)
        key = re.sub(r"(ff[12])\.(up|down)_proj", lambda m: f"{m[1]}.fn.fn.net.{'0' if m[2] == 'up' else '3'}", key)
        key = re.sub(r"attn\.(to_|rel_)", r"attn.fn.\1", key).replace("attn.pre_norm", "attn.norm")
        parts = {"norm": 0, "up_conv": 2, "depth_conv": 4, "batch_norm": 5, "down_conv": 7}
        key = re.sub(r"\.conv\.([a-z_]+)\.", lambda found: f".conv.net.{parts[found[1]]}.", key, count=1)
    return key


def test_the_first_checkpoints_names_of_the_encoder_are_known(directory: Path) -> None:
    tensors = load_file(directory / SINGLE)
    old = {first_name(key): tensor for key, tensor in tensors.items()}
    known = [key for key in tensors if key.startswith("encoder.") and not key.startswith("encoder.out")]
    assert not [key for key in known if key in old]
    assert "encoder.rnn_tr.1.conv.net.4.conv.weight" in old
    save_file(old, directory / SINGLE)
    assert_holds_the_reference(load(directory), TIED)


def test_a_shard_that_the_index_does_not_name_is_not_read(tmp_path: Path) -> None:
    save(TIED, tmp_path, sharded=True)
    (tmp_path / "model-99999-of-99999.safetensors").write_bytes(b"not a shard")
    assert_holds_the_reference(load(tmp_path), TIED)


def test_an_index_comes_before_a_single_file(tmp_path: Path) -> None:
    save(TIED, tmp_path, sharded=True)
    (tmp_path / SINGLE).write_bytes(b"left over from an older download")
    assert_holds_the_reference(load(tmp_path), TIED)


def test_a_tied_head_is_the_embedding_table(directory: Path) -> None:
    model = load(directory).language_model
    assert model.lm_head.weight.data_ptr() == model.model.embed_tokens.weight.data_ptr()


@pytest.mark.parametrize("key", ["language_model.lm_head.weight", "lm_head.weight"])
def test_a_tied_head_that_is_stored_twice_stays_tied(directory: Path, key: str) -> None:
    rewrite(directory, lambda tensors: tensors.update({key: tensors[EMBEDDING].clone()}))
    model = load(directory).language_model
    assert model.lm_head.weight.data_ptr() == model.model.embed_tokens.weight.data_ptr()
    assert_holds_the_reference(load(directory), TIED)


def test_a_stored_head_that_differs_is_used_whatever_the_configuration_says(tmp_path: Path) -> None:
    save(UNTIED, tmp_path)
    change(tmp_path / "config.json", tie_word_embeddings=True)
    assert_holds_the_reference(load(tmp_path), UNTIED)


def test_nano_is_the_same_by_its_name_and_by_a_path_of_this_name() -> None:
    assert GraniteSpeech.load("nano").dtype == GraniteSpeech.load(Path("nano")).dtype == torch.float32


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_weights_take_the_type_asked_for(directory: Path, dtype: torch.dtype) -> None:
    network = load(directory, dtype)
    assert {tensor.dtype for tensor in network.state_dict().values() if tensor.is_floating_point()} == {dtype}
    assert network.dtype == dtype


def test_loaded_weights_are_final(directory: Path) -> None:
    network = load(directory)
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())
    assert not any(tensor.is_meta for tensor in network.state_dict().values())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensors: tensors.pop(BIAS), f"missing {BIAS}"),
        (lambda tensors: tensors.pop(EMBEDDING), f"missing {EMBEDDING}"),
        (lambda tensors: tensors.update(stray=torch.zeros(2)), "unexpected stray"),
        (lambda tensors: tensors.update({BIAS: torch.zeros(43)}), f"{BIAS} is [43], should be [42]"),
        (lambda tensors: tensors.update({BIAS: torch.zeros(42, dtype=torch.int8)}), "is int8; granite-stream reads"),
        (
            lambda tensors: tensors.update({BIAS: torch.zeros(42).to(torch.float8_e4m3fn)}),
            "is float8_e4m3fn; granite-stream reads float32, float16 and bfloat16, and packs them itself: take the "
            "original checkpoint, with --quantize int8 or int4",
        ),
        (lambda tensors: tensors.update({HEAD: torch.zeros(9, 64)}), f"{HEAD} is [9, 64], should be [293, 64]"),
    ],
    ids=["missing", "missing embedding", "unexpected", "wrong shape", "integers", "float8", "misshapen tied head"],
)
def test_a_tensor_that_does_not_fit_is_named(
    directory: Path, change: Callable[[dict[str, Tensor]], object], message: str
) -> None:
    rewrite(directory, change)
    assert message in refusal(directory)


def test_an_untied_head_must_be_stored(tmp_path: Path) -> None:
    save(UNTIED, tmp_path)
    rewrite(tmp_path, lambda tensors: tensors.pop(HEAD))
    assert f"missing {HEAD}" in refusal(tmp_path)


def test_several_faults_are_named_and_many_are_counted(directory: Path) -> None:
    rewrite(directory, lambda tensors: [tensors.pop(f"encoder.layers.{index}.post_norm.bias") for index in range(8)])
    message = refusal(directory)
    assert message.count("missing encoder.layers.") == 5
    assert message.endswith(" and 3 more")


def test_a_configuration_of_another_size_names_the_tensors(directory: Path) -> None:
    values = json.loads((directory / "config.json").read_text())["encoder_config"]
    change(directory / "config.json", encoder_config={**values, "output_dim": 43})
    assert f"{BIAS} is [42], should be [43]" in refusal(directory)


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda directory: (directory / SINGLE).unlink(), f"lacks {SINGLE}"),
        (lambda directory: (directory / SINGLE).write_bytes(b""), f"{SINGLE}: "),
        (
            lambda directory: (directory / SINGLE).write_bytes((directory / SINGLE).read_bytes()[:-1000]),
            "the download may be cut short, fetch it again",
        ),
        (
            lambda directory: (directory / SINGLE).write_text(LFS),
            "is a pointer of Git LFS, not the weights: run git lfs",
        ),
        (lambda directory: (directory / INDEX).write_text("{"), f"{INDEX}: "),
        (lambda directory: (directory / INDEX).write_text("[]"), f"{INDEX}: "),
        (lambda directory: (directory / INDEX).write_text("{}"), f"{INDEX}: "),
        (lambda directory: (directory / "tokenizer.json").unlink(), "lacks tokenizer.json"),
        (lambda directory: (directory / "tokenizer.json").write_text('{"model":'), "cannot read"),
        (lambda directory: (directory / "tokenizer_config.json").unlink(), "has no chat template"),
        (lambda directory: (directory / "tokenizer_config.json").write_text("[]"), "has no chat template"),
        (lambda directory: (directory / "chat_template.jinja").write_text("{% if %}"), "chat template"),
        (lambda directory: (directory / "config.json").unlink(), "has no config.json"),
        (lambda directory: change(directory / "config.json", model_type="llama"), "describes a 'llama' model"),
        (shutil.rmtree, "there is no model"),
    ],
    ids=[
        "no weights",
        "empty weights",
        "truncated weights",
        "weights that Git LFS has not fetched",
        "broken index",
        "index of another kind",
        "empty index",
        "no tokenizer",
        "half a tokenizer",
        "no template",
        "settings of another kind",
        "a template that is none",
        "no configuration",
        "another model",
        "no directory",
    ],
)
def test_a_broken_directory_is_refused(directory: Path, break_it: Callable[[Path], object], message: str) -> None:
    break_it(directory)
    assert message in refusal(directory)


def test_a_shard_that_is_not_there_is_named(tmp_path: Path) -> None:
    save(TIED, tmp_path, sharded=True)
    (shard,) = tmp_path.glob("model-00002-of-*.safetensors")
    shard.unlink()
    assert f"lacks {shard.name}" in refusal(tmp_path)


def test_a_shard_that_is_cut_short_is_named(tmp_path: Path) -> None:
    save(TIED, tmp_path, sharded=True)
    (shard,) = tmp_path.glob("model-00002-of-*.safetensors")
    shard.write_bytes(shard.read_bytes()[:-1000])
    assert f"cannot read {shard}: " in refusal(tmp_path)
    assert "fetch it again" in refusal(tmp_path)


def test_a_model_that_is_nowhere_is_one_line_that_says_what_to_pass() -> None:
    with pytest.raises(CheckpointError, match=r"no model \./nowhere: pass nano, a checkpoint's directory"):
        GraniteSpeech.load("./nowhere")


def test_a_repository_that_cannot_be_fetched_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(CheckpointError, match=r"cannot fetch owner/name .* or pass a directory") as caught:
        GraniteSpeech.load("owner/name")
    assert "\n" not in str(caught.value)
