"""A linear layer of the attention, with a low-rank adapter beside it where the checkpoint has one.

The adapter is a path of its own, `y = W x + scale * B A x`, so that switching it off costs nothing and the base weights
are what they were: they are never merged.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from model.linear import Linear
from model.lora import LoraConfig

Switch = bool | Tensor  # the adapter is on or off for all positions, or [N, 1]: 1 where it is on and 0 elsewhere


class Projection(Linear):
    """Attribute names are those of the checkpoint's tensors."""

    def __init__(self, name: str, source: int, target: int, lora: LoraConfig | None) -> None:
        """Makes a layer from `source` to `target` features; `lora` says whether one of this name has an adapter."""
        super().__init__(source, target, bias=False)
        self.scale = 0.0
        if lora is not None and name in lora.targets:
            self.scale = lora.scale
            self.lora_A = nn.Linear(source, lora.rank, bias=False)
            self.lora_B = nn.Linear(lora.rank, target, bias=False)

    def forward(self, inputs: Tensor, adapted: Switch = False) -> Tensor:
        """`[N, source]` to `[N, target]`, through the adapter too where it is on."""
        base = super().forward(inputs)
        if not self.scale or adapted is False:
            return base
        low = self.lora_A(inputs)
        if isinstance(adapted, Tensor):
            low = low * adapted
        return torch.addmm(base, low, self.lora_B.weight.T, alpha=self.scale)
