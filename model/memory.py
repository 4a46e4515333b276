"""How much memory there is for weights here: asked before they are loaded, so that too little is one line."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

import torch

from model.errors import CheckpointError
from model.known import KNOWN, Size
from model.linear import Kept
from model.packed import GROUP

GB = 1e9
CONTROL_GROUP = Path("/sys/fs/cgroup")  # Linux: what a container may have, which /proc/meminfo does not know
RECLAIMABLE = re.compile(r"^(?:in)?active_file (\d+)$", re.MULTILINE)
SPARE = 1.1  # times the weights: keys and values of a few streams, and activations


@dataclass(frozen=True, slots=True)
class Form:
    """What weights can be kept as."""

    name: str
    bytes: float  # of a weight
    four_bits: float  # of one that `int4` packs into four bits, its share of a group's scales included

    @classmethod
    def of(cls, dtype: torch.dtype, bits: Kept = "none") -> Form:
        """The form that `--dtype` and `--quantize` make."""
        name = str(dtype).removeprefix("torch.") if bits == "none" else bits
        return PACKED.get(name) or cls(name, dtype.itemsize, dtype.itemsize)


BFLOAT16 = Form("bfloat16", 2, 2)
PACKED = {"bfloat16": BFLOAT16, "int8": Form("int8", 1, 1), "int4": Form("int4", 1, 0.5 + 4 / GROUP)}
FORMS = (Form("float32", 4, 4), *PACKED.values())


def free_bytes(device: torch.device) -> int | None:
    """What may still be used on a device; None where the system does not say."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if device.type == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
    found = [value for value in (_available(), _allowed()) if value is not None]
    return min(found, default=None)


def require(model: str, size: Size, form: Form, device: torch.device) -> None:
    """Checks that a model fits.

    Raises:
        CheckpointError: it does not; the message says what it needs, what is free and what would fit.
    """
    free, needed = free_bytes(device), needed_bytes(size, form)
    if free is None or needed <= free:
        return
    raise CheckpointError(
        f"{model} needs {_gigabytes(needed)} of memory as {form.name} on {device.type} and {_gigabytes(free)} are "
        f"free; what would fit: {_advice(model, size, form, free)}"
    )


def needed_bytes(size: Size, form: Form) -> int:
    """Of weights, and a tenth for what they work on."""
    return int(((size.parameters - size.four_bits) * form.bytes + size.four_bits * form.four_bits) * SPARE)


def _advice(model: str, size: Size, form: Form, free: int) -> str:
    fitting = [
        f"{model} as {other.name} ({_gigabytes(needed_bytes(size, other))})"
        for other in FORMS
        if needed_bytes(size, other) < needed_bytes(size, form) and needed_bytes(size, other) <= free
    ]
    others = [known for known in KNOWN if known.name != model.partition("@")[0]]
    smaller = [known for known in others if needed_bytes(known.size, BFLOAT16) <= free]
    if smaller:
        best = max(smaller, key=lambda known: known.size.parameters)
        fitting.append(f"{best.name} as bfloat16 ({_gigabytes(needed_bytes(best.size, BFLOAT16))})")
    return ", ".join([*fitting, "nano"])


def _gigabytes(count: int) -> str:
    return f"{count / GB:.1f} GB"


def _available() -> int | None:
    """What Linux could give without swapping; elsewhere all there is, which at least catches what can never fit."""
    try:
        found = re.search(r"^MemAvailable: +(\d+) kB$", Path("/proc/meminfo").read_text(), re.MULTILINE)
        if found:
            return int(found[1]) * 1024
    except OSError:
        pass  # not Linux
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None  # not Unix


def _allowed() -> int | None:
    """What a container may still take: its limit less what it has, files that only lie in the cache aside."""
    try:
        limit = (CONTROL_GROUP / "memory.max").read_text().strip()
        used = int((CONTROL_GROUP / "memory.current").read_text())
        cached = sum(map(int, RECLAIMABLE.findall((CONTROL_GROUP / "memory.stat").read_text())))
    except (OSError, ValueError):
        return None  # no container, or one of another kind
    return None if limit == "max" else int(limit) - used + cached
