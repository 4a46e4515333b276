"""What models there are, and what they need."""

from __future__ import annotations

from math import prod
from typing import TextIO

from safetensors import safe_open

from model.checkpoint import NANO, shards

FLOAT32_BYTES = 4


def show_models(out: TextIO) -> None:
    """Prints a table of the models that `--model` knows by name."""
    parameters = 0
    for path in shards(NANO):
        with safe_open(path, framework="numpy") as file:
            parameters += sum(prod(file.get_slice(key).get_shape()) for key in file.keys())  # noqa: SIM118 - no mapping
    out.write("name  parameters  memory  note\n")
    out.write(f"nano  {parameters / 1e6:6.1f} M  {parameters * FLOAT32_BYTES / 1e6:4.0f} MB  ")
    out.write("embedded; this project's miniature of the architecture, not an IBM model\n")
