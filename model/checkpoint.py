"""Checkpoint files to weights: straight into the type and the place they are wanted in, nothing missing or left over.

Weights that are stored in the type that is wanted stay mapped from their file on a CPU: the system reads them when they
are first used, and they are no copy. Others are converted a few at a time, and the files they come from are let go of
in between, so that never much more than the weights themselves is in memory.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor, nn

from model.config import CURE
from model.errors import CheckpointError
from model.files import NANO, counts, naming_faults, shards
from model.hub import Repository
from model.known import Size
from model.linear import Kept, Linear, in_four_bits, packers, put
from model.packed import Packed

HEAD, EMBEDDING = "language_model.lm_head.weight", "language_model.model.embed_tokens.weight"
STORED = (torch.float32, torch.float16, torch.bfloat16)  # what weights may be; others lack the scales they need
IGNORED = (
    ".num_batches_tracked",
    ".attention_dists",
    ".rotary_emb.inv_freq",
)  # counters and tables, not weights
# Names of the encoder's tensors in 3.2-8b, which came with code of its own, and what they are called since: its first
# layer is what is now `input_linear`, each module is the `fn` of a norm or of a factor, the convolution a plain list.
FIRST_NAMES = {
    "attn.norm.": "attn.pre_norm.",
    "attn.fn.": "attn.",
    "fn.norm.": "pre_norm.",
    "fn.fn.net.0.": "up_proj.",
    "fn.fn.net.3.": "down_proj.",
    "conv.net.0.": "conv.norm.",
    "conv.net.2.": "conv.up_conv.",
    "conv.net.4.": "conv.depth_conv.",
    "conv.net.5.": "conv.batch_norm.",
    "conv.net.7.": "conv.down_conv.",
}
FIRST_LAYER = re.compile(r"encoder\.rnn_tr\.(\d+)\.(.+)")
SHOWN = 5  # wrong tensors that an error names before it only counts them
MAPPED_BYTES = 1 << 24  # of a file, before it is let go of: little beside any weights, and a tensor is seldom larger


def locate(model: str | Path) -> Path:
    """The directory of a checkpoint: `nano`, a directory, or a repository of the Hugging Face hub, fetched if need be.

    Raises:
        CheckpointError: there is no such directory, or the repository cannot be fetched.
    """
    if str(model) == "nano":
        return NANO
    if Path(model).is_dir():
        return Path(model)
    repository = Repository.parse(str(model))
    if repository is None:
        raise CheckpointError(
            f"there is no model {model}: pass nano, a checkpoint's directory, or OWNER/NAME on the hub"
        )
    return repository.fetch()


def canonical(key: str) -> str:
    """The name that the hub's files and our modules use, from either style.

    transformers 5 saves everything but the head below `model.`, and the language model without a `model` of its own.
    """
    if key == "lm_head.weight":
        return HEAD
    key = key.removeprefix("base_model.model.")  # stands before an adapter's keys, or does not
    key = key.removeprefix("model.")
    if first := FIRST_LAYER.fullmatch(key):
        layer, name = int(first[1]), first[2]
        for old, new in FIRST_NAMES.items():
            name = name.replace(old, new)
        return f"encoder.layers.{layer - 1}.{name}" if layer else f"encoder.input_linear.{name}"
    if key.startswith("language_model.") and not key.startswith(("language_model.model.", "language_model.lm_head.")):
        return "language_model.model." + key.removeprefix("language_model.")
    return key


def tensors(paths: list[Path]) -> Iterator[tuple[str, Tensor]]:
    """Canonical name and tensor (mapped from the file, not yet read) of everything stored."""
    for path in paths:
        with naming_faults(path):
            with safe_open(path, framework="pt") as file:
                keys = [key for key in file.keys() if not key.endswith(IGNORED)]  # noqa: SIM118 - the file is no mapping
            while keys:
                mapped = 0
                with safe_open(path, framework="pt") as file:
                    while keys and mapped < MAPPED_BYTES:
                        tensor = file.get_tensor(keys[0])
                        mapped += tensor.nbytes
                        yield canonical(keys.pop(0)), tensor
                        del tensor


def size_of(module: nn.Module, directory: Path) -> Size:
    """How many numbers a checkpoint's weights are; `module` is of its shape. Reads only the headers of the files.

    Raises:
        CheckpointError: a file is missing or cut short.
    """
    stored, four = [(canonical(key), count) for key, count in counts(directory)], in_four_bits(module)
    total, packed = sum(count for _, count in stored), sum(count for name, count in stored if name in four)
    return Size(total, packed, *weights_met(module))


def weights_met(module: nn.Module) -> tuple[int, int]:
    """How many weights each frame of audio is multiplied with, and how many each token."""
    layers = {name: layer for name, layer in module.named_modules() if isinstance(layer, Linear)}
    weights = {name: layer.in_features * layer.out_features for name, layer in layers.items()}
    per_token = sum(count for name, count in weights.items() if name.startswith("language_model."))
    return sum(weights.values()) - per_token, per_token


def load_weights(
    module: nn.Module, directory: Path, dtype: torch.dtype, device: torch.device, bits: Kept = "none"
) -> None:
    """Fills a module made on the `meta` device, strictly. Weights that `bits` packs are packed as they are read.

    Raises:
        CheckpointError: a tensor is missing, unexpected, of another type, or has the wrong shape; they are named.
    """
    wanted = {name: tensor.shape for name, tensor in module.state_dict().items() if not name.endswith(IGNORED)}
    tied = {HEAD} if _tied(module) else set()
    wrong: list[str] = []
    found: dict[str, Tensor | Packed] = {}
    packing = packers(module, bits)
    for name, tensor in tensors(shards(directory)):
        if name not in wanted:
            wrong.append(f"unexpected {name}")
        elif tensor.shape != wanted[name]:
            wrong.append(f"{name} is {list(tensor.shape)}, should be {list(wanted[name])}")
        elif tensor.dtype not in STORED:
            raise CheckpointError(f"{name} in {directory} is {str(tensor.dtype).removeprefix('torch.')}; {CURE}")
        elif name in packing:
            found[name] = packing[name](tensor.flatten(1), device)
        else:
            # where most is packed, a small tensor that stays mapped would keep all of its file in memory
            found[name] = tensor.to(device, dtype, copy=bool(packing))
        del tensor  # or its file stays mapped
    wrong += [
        f"missing {name}" for name in wanted if name not in found and name not in tied and not _named(wrong, name)
    ]
    if wrong:
        more = f" and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
        raise CheckpointError(
            f"the weights in {directory} do not fit its config.json, take both from one download: "
            f"{'; '.join(wrong[:SHOWN])}{more}"
        )
    # Some checkpoints store a tied head a second time. One that differs is a head of its own whatever config.json says:
    # the reference reads it so, and transformers 4 left `tie_word_embeddings: false` out of the inner configuration.
    if tied and (HEAD not in found or _equal(found[HEAD], found[EMBEDDING])):
        found[HEAD] = found[EMBEDDING]
    counters = {name: torch.zeros((), dtype=torch.long) for name in module.state_dict() if name.endswith(IGNORED)}
    for name, weight in found.items():
        if isinstance(weight, nn.Module):
            put(module, name, weight)  # a tied head and its table hold the same
    unpacked = {name: weight for name, weight in found.items() if isinstance(weight, Tensor)}
    module.load_state_dict({**unpacked, **counters}, strict=True, assign=True)


def _tied(module: nn.Module) -> bool:
    names = {name for name, _ in module.named_parameters()}  # a shared parameter is listed once
    return HEAD not in names


def _equal(one: Tensor | Packed, other: Tensor | Packed) -> bool:
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return torch.equal(one, other)
    assert isinstance(one, nn.Module), "a head is packed where its table is"
    assert isinstance(other, nn.Module), "and the other way round"
    return all(map(torch.equal, one.buffers(), other.buffers()))


def _named(wrong: list[str], name: str) -> bool:
    return any(line.startswith(f"{name} ") for line in wrong)
