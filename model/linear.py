"""Layers whose weight may be packed into eight or four bits, and which weights of a network are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.packed import Int4, Int8, Packed

Bits = Literal["none", "int8", "int4"]


class Linear(nn.Linear):
    """A linear layer; once packed it has no `weight`."""

    def __init__(self, source: int, target: int, bias: bool = True) -> None:
        super().__init__(source, target, bias)
        self.packed: Packed | None = None

    def forward(self, inputs: Tensor) -> Tensor:
        """`[..., in_features]` to `[..., out_features]`."""
        if self.packed is None:
            return F.linear(inputs, self.matrix, self.bias)
        product = self.packed(inputs)
        return product if self.bias is None else product + self.bias

    @property
    def matrix(self) -> Tensor:
        """The weight `[out_features, in_features]`."""
        return self.weight


class Pointwise(Linear):
    """A convolution of width 1, as checkpoints call it: a linear layer whose weight has a dimension more."""

    def __init__(self, source: int, target: int) -> None:
        super().__init__(source, target)
        self.weight = nn.Parameter(self.weight.detach()[..., None])

    @property
    def matrix(self) -> Tensor:
        """The weight without it."""
        return self.weight[..., 0]


class Embedding(nn.Embedding):
    """A table; once packed it has no `weight`."""

    def __init__(self, count: int, width: int) -> None:
        super().__init__(count, width)
        self.packed: Int8 | None = None

    def rows(self, tokens: Tensor, dtype: torch.dtype) -> Tensor:
        """Tokens `[T]` to `[T, width]`."""
        if self.packed is None:
            return F.embedding(tokens, self.weight)
        return self.packed.rows(tokens, dtype)


Pack = Callable[[Tensor, torch.device], Packed]


def packers(network: nn.Module, bits: Bits) -> dict[str, Pack]:
    """For each weight that is to be packed, by its name, how.

    Four bits are for the language model, which is most of the weights and is read anew for each token; its table of
    embeddings, and a head that is the same table, stay at eight. Small layers and adapters are never packed: they are
    made of torch's own classes.
    """
    if bits == "none":
        return {}
    found = {
        f"{name}.weight": module for name, module in network.named_modules() if isinstance(module, Linear | Embedding)
    }
    tables = {module.weight for module in found.values() if isinstance(module, Embedding)}
    return {
        name: Int4.pack if bits == "int4" and _four(name, module, tables) else Int8.pack
        for name, module in found.items()
    }


def _four(name: str, module: Linear | Embedding, tables: set[Tensor]) -> bool:
    return name.startswith("language_model.") and module.weight not in tables and Int4.fits(module.weight.shape)


def put(network: nn.Module, name: str, packed: Packed) -> None:
    """Gives a layer its packed weight in place of the one it has."""
    layer = network.get_submodule(name.removesuffix(".weight"))
    del layer.weight
    layer.register_parameter("weight", None)
    layer.packed = packed
