"""Which files a checkpoint consists of, and how much their headers say is in them. Reads no weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path

from safetensors import SafetensorError, safe_open

from model.errors import CheckpointError
from model.lora import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from model.reading import read_object, unreadable

NANO = Path(__file__).parent / "nano"
SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
# begins what a clone without Git LFS has in place of a large file
POINTER = b"version https://git-lfs.github.com/spec/"
SMALL = (  # what says which weights there are, and what prompts are made of; all but the first two are optional
    *("config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "preprocessor_config.json"),
    *(INDEX, ADAPTER_CONFIG),
)


def weight_names(directory: Path) -> list[str]:
    """The files that hold the model's weights. An index decides where there is one: there may be orphan shards.

    Raises:
        CheckpointError: the index cannot be read.
    """
    if not (directory / INDEX).exists():
        return [SINGLE]
    try:
        return sorted(set(read_object(directory / INDEX)["weight_map"].values()))
    except (KeyError, TypeError, AttributeError) as error:
        raise unreadable(directory / INDEX, repr(error)) from None


def shards(directory: Path) -> list[Path]:
    """The same as paths, adapter included where there is one.

    Raises:
        CheckpointError: a file is missing, or the index cannot be read.
    """
    names = [*weight_names(directory), *([ADAPTER_WEIGHTS] if (directory / ADAPTER_CONFIG).exists() else [])]
    missing = [name for name in names if not (directory / name).is_file()]
    if missing:
        raise CheckpointError(f"{directory} lacks {', '.join(missing)}: download the checkpoint again")
    return [directory / name for name in names]


def counts(directory: Path) -> Iterator[tuple[str, int]]:
    """Name of each tensor of a checkpoint, and how many numbers it holds.

    Raises:
        CheckpointError: a file is missing or cut short.
    """
    for path in shards(directory):
        with naming_faults(path), safe_open(path, framework="numpy") as file:
            for key in file.keys():  # noqa: SIM118 - no mapping
                yield key, prod(file.get_slice(key).get_shape())


@contextmanager
def naming_faults(path: Path) -> Iterator[None]:
    """What is wrong with a file of weights becomes an error that names it."""
    try:
        yield
    except (SafetensorError, OSError) as error:
        if is_pointer(path):
            raise CheckpointError(
                f"{path} is a pointer of Git LFS, not the weights: run git lfs pull in {path.parent}"
            ) from None
        raise unreadable(path, error) from None


def is_pointer(path: Path) -> bool:
    """Whether a file only says where its content can be had."""
    try:
        with path.open("rb") as file:
            return file.read(len(POINTER)) == POINTER
    except OSError:
        return False
