"""Checkpoint files to weights: one file or shards, key styles of transformers 4 and 5, nothing missing or left over."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from model.errors import CheckpointError

NANO = Path(__file__).parent / "nano"
WANTED = ["*.json", "*.jinja", "*.safetensors"]  # of a repository on the hub
SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
HEAD, EMBEDDING = "language_model.lm_head.weight", "language_model.model.embed_tokens.weight"
IGNORED = (
    ".num_batches_tracked",
    ".attention_dists",
    ".rotary_emb.inv_freq",
)  # counters and tables, not weights
SHOWN = 5  # wrong tensors that an error names before it only counts them


def locate(model: str | Path) -> Path:
    """The directory of a checkpoint: `nano`, a directory, or a repository of the Hugging Face hub, fetched if need be.

    Raises:
        CheckpointError: there is no such directory, or the repository cannot be fetched.
    """
    if str(model) == "nano":
        return NANO
    if Path(model).is_dir():
        return Path(model)
    if not re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", str(model)):
        raise CheckpointError(
            f"there is no model {model}: pass nano, a checkpoint's directory, or OWNER/NAME on the hub"
        )
    from huggingface_hub import errors, snapshot_download  # late: it takes longer to load than nano

    try:
        return Path(snapshot_download(str(model), allow_patterns=WANTED))
    except (errors.HfHubHTTPError, errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise CheckpointError(
            f"cannot fetch {model} from the hub ({reason}); check its name and the network, or pass a directory"
        ) from None


def canonical(key: str) -> str:
    """The name that the hub's files and our modules use, from either style.

    transformers 5 saves everything but the head below `model.`, and the language model without a `model` of its own.
    """
    if key == "lm_head.weight":
        return HEAD
    key = key.removeprefix("model.")
    if key.startswith("language_model.") and not key.startswith(("language_model.model.", "language_model.lm_head.")):
        return "language_model.model." + key.removeprefix("language_model.")
    return key


def shards(directory: Path) -> list[Path]:
    """The files that hold the weights. An index decides where there is one: directories may carry orphan shards.

    Raises:
        CheckpointError: there are no weights, the index cannot be read, or a shard it names is missing.
    """
    if (directory / INDEX).exists():
        try:
            names = sorted(set(json.loads((directory / INDEX).read_text())["weight_map"].values()))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(f"cannot read {directory / INDEX}: {error!r}") from None
    else:
        names = [SINGLE]
    missing = [name for name in names if not (directory / name).is_file()]
    if missing:
        raise CheckpointError(f"{directory} lacks {', '.join(missing)}: download the checkpoint again")
    return [directory / name for name in names]


def tensors(paths: list[Path]) -> Iterator[tuple[str, Tensor]]:
    """Canonical name and tensor (mapped from the file, not yet read) of everything stored."""
    for path in paths:
        try:
            with safe_open(path, framework="pt") as file:
                for key in file.keys():  # noqa: SIM118 - the file is no mapping
                    if not key.endswith(IGNORED):
                        yield canonical(key), file.get_tensor(key)
        except (SafetensorError, OSError) as error:
            raise CheckpointError(
                f"cannot read {path}: {error}; the download may be cut short, fetch it again"
            ) from None


def load_weights(module: nn.Module, directory: Path, dtype: torch.dtype, device: torch.device) -> None:
    """Fills a module made on the `meta` device, strictly.

    Raises:
        CheckpointError: a tensor is missing, unexpected, not floating point, or has the wrong shape; they are named.
    """
    wanted = {name: tensor.shape for name, tensor in module.state_dict().items() if not name.endswith(IGNORED)}
    tied = {HEAD} if _tied(module) else set()
    wrong: list[str] = []
    found: dict[str, Tensor] = {}
    for name, tensor in tensors(shards(directory)):
        if name not in wanted:
            wrong.append(f"unexpected {name}")
        elif tensor.shape != wanted[name]:
            wrong.append(f"{name} is {list(tensor.shape)}, should be {list(wanted[name])}")
        elif not tensor.is_floating_point():
            wrong.append(f"{name} is {tensor.dtype}, should be floating point")
        else:
            found[name] = tensor.to(device, dtype)
    wrong += [
        f"missing {name}" for name in wanted if name not in found and name not in tied and not _named(wrong, name)
    ]
    if wrong:
        more = f" and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
        raise CheckpointError(
            f"the weights in {directory} do not fit its config.json: {'; '.join(wrong[:SHOWN])}{more}"
        )
    # Some checkpoints store a tied head a second time. One that differs is a head of its own whatever config.json says:
    # the reference reads it so, and transformers 4 left `tie_word_embeddings: false` out of the inner configuration.
    if tied and (HEAD not in found or torch.equal(found[HEAD], found[EMBEDDING])):
        found[HEAD] = found[EMBEDDING]
    counters = {name: torch.zeros((), dtype=torch.long) for name in module.state_dict() if name.endswith(IGNORED)}
    module.load_state_dict({**found, **counters}, strict=True, assign=True)


def _tied(module: nn.Module) -> bool:
    names = {name for name, _ in module.named_parameters()}  # a shared parameter is listed once
    return HEAD not in names


def _named(wrong: list[str], name: str) -> bool:
    return any(line.startswith(f"{name} ") for line in wrong)
