"""The key-value cache: one slot a stream, each with a length of its own.

A slot is a row of every layer's key and value tensor. What lies past a slot's length has no meaning and is never
attended to, so taking positions back is an assignment: whatever is appended next overwrites them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from model.config import TextConfig

FIRST_SLOTS = 1  # a cache starts with one stream and doubles whenever none is free


@dataclass(frozen=True, slots=True)
class Rows:
    """Where a batch of appended positions goes; built once for a call, used by every layer."""

    span: slice  # from the first of the slots to the last; what follows counts from its start
    slots: Tensor | None  # [B]; None: all of the span in its order, and reading copies nothing
    row: Tensor  # [N] slot of each packed position, or [1] if it is the same for all
    position: Tensor  # [N] position of each packed position inside its slot
    length: int  # the longest slot after the append

    def append(self, memory: Tensor, new: Tensor) -> Tensor:
        """Writes packed keys or values `[N, kv_heads, head_dim]` into a layer's memory.

        Gives whole slots `[B, kv_heads, length, head_dim]`. What follows shorter ones has no meaning: mask it.
        """
        memory[self.row, :, self.position] = new.to(memory.dtype)  # autocast mixes types
        return memory if self.slots is None else memory.index_select(0, self.slots)


class KVCache:
    """Keys and values of all layers for many slots: `plan`, `advance`, `rewind`."""

    def __init__(self, config: TextConfig, capacity: int, dtype: torch.dtype, device: torch.device | str) -> None:
        """Makes an empty cache.

        Args:
            config: gives the layers, heads and widths.
            capacity: positions that a slot can hold.
            dtype: of keys and values.
            device: where they live.
        """
        self.capacity = capacity
        self.lengths: list[int] = []
        self._written: list[int] = []  # positions of each slot that may not be zero
        self._free: list[int] = []
        self._shape = (config.num_key_value_heads, capacity, config.head_dim)
        self._keys = [torch.empty(0, *self._shape, dtype=dtype, device=device) for _ in range(config.num_hidden_layers)]
        self._values = [keys.clone() for keys in self._keys]

    def acquire(self) -> int:
        """Gives an empty slot; the cache doubles when none is free. Memory is touched only where it is written."""
        if not self._free:
            try:
                self._grow(max(FIRST_SLOTS, len(self.lengths)))
            except (MemoryError, torch.OutOfMemoryError):  # not twice as many, but perhaps one more
                self._grow(1)
        slot = self._free.pop()
        self.lengths[slot] = 0
        return slot

    def release(self, slot: int) -> None:
        """Takes a slot back and wipes it: a number gone wrong there (NaN, overflow) must not reach its next user."""
        assert slot not in self._free, f"slot {slot} was released twice"
        for memory in (*self._keys, *self._values):
            memory[slot, :, : self._written[slot]] = 0
        self._written[slot] = 0
        self._free.append(slot)

    def rewind(self, slot: int, length: int) -> None:
        """Forgets everything from position `length` on."""
        assert 0 <= length <= self.lengths[slot], f"cannot rewind slot {slot} from {self.lengths[slot]} to {length}"
        self.lengths[slot] = length

    def plan(self, slots: Sequence[int], counts: Sequence[int]) -> Rows:
        """Prepares appending `counts[i]` positions to `slots[i]`, for all i at once."""
        assert len(set(slots)) == len(slots), f"a slot appears twice in {slots}"
        ends = [self.lengths[slot] + count for slot, count in zip(slots, counts, strict=True)]
        assert max(ends) <= self.capacity, f"{max(ends)} positions do not fit a slot of {self.capacity}"
        device = self._keys[0].device
        positions = [torch.arange(end - count, end, device=device) for end, count in zip(ends, counts, strict=True)]
        span = slice(min(slots), max(slots) + 1)
        slot = torch.tensor(slots, device=device) - span.start
        return Rows(
            span=span,
            slots=None if list(slots) == list(range(span.start, span.stop)) else slot,
            row=slot if len(slots) == 1 else slot.repeat_interleave(torch.tensor(counts, device=device)),
            position=torch.cat(positions),
            length=max(ends),
        )

    def layer(self, index: int, rows: Rows) -> tuple[Tensor, Tensor]:
        """A layer's keys and values `[slots of the span, kv_heads, length, head_dim]`, to be written and read."""
        return self._keys[index][rows.span, :, : rows.length], self._values[index][rows.span, :, : rows.length]

    def advance(self, slots: Sequence[int], counts: Sequence[int]) -> None:
        """Counts the appended positions in, once every layer has written them."""
        for slot, count in zip(slots, counts, strict=True):
            self.lengths[slot] += count
            self._written[slot] = max(self._written[slot], self.lengths[slot])

    @torch.inference_mode(False)  # wherever it is called: compiled code tells the two kinds of tensors apart
    def _grow(self, more: int) -> None:
        slots, written = len(self.lengths), max(self._written, default=0)
        for memory in (self._keys, self._values):
            for layer, old in enumerate(memory):
                if len(old) < slots + more:  # else it grew when there was no memory for all layers
                    memory[layer] = _zeros((slots + more, *self._shape), old.dtype, old.device)
                    memory[layer][: len(old), :, :written] = old[:, :, :written]
        self._free.extend(reversed(range(slots, slots + more)))
        self.lengths.extend([0] * more)
        self._written.extend([0] * more)


def _zeros(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """A tensor of zeros: a masked position still multiplies by zero, and zero times NaN is NaN.

    On a CPU they are the system's: memory that nobody has written to is not there yet. torch would write its own.
    """
    if device.type != "cpu":
        return torch.zeros(shape, dtype=dtype, device=device)
    return torch.from_numpy(np.zeros((*shape[:-1], shape[-1] * dtype.itemsize), np.uint8)).view(dtype)
