"""Layers whose weight may be packed into fewer bits than it is computed with, and which weights of a network are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.packed import Bfloat16, Int4, Int8, Packed
from model.precision import product_type

Bits = Literal["none", "int8", "int4"]  # what a user may ask for
Kept = Bits | Literal["bfloat16"]  # and what is done unasked, on a processor that emulates bfloat16


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
        self.packed: Bfloat16 | Int8 | None = None

    def rows(self, tokens: Tensor, dtype: torch.dtype) -> Tensor:
        """Tokens `[T]` to `[T, width]`."""
        if self.packed is None:
            return F.embedding(tokens, self.weight)
        return self.packed.rows(tokens, dtype)


Pack = Callable[[Tensor, torch.device], Packed]


def by_default(bits: Bits, device: torch.device) -> tuple[torch.dtype, Kept]:
    """The type that a device computes in, and how weights are kept that are published in bfloat16, if nobody says."""
    dtype = product_type(device)
    return dtype, "bfloat16" if bits == "none" and dtype == torch.float32 else bits


def packers(network: nn.Module, bits: Kept) -> dict[str, Pack]:
    """For each weight that is to be packed, by its name, how.

    Small layers and adapters are never packed: they are made of torch's own classes.
    """
    if bits == "none":
        return {}
    if bits == "bfloat16":
        return dict.fromkeys(_layers(network), Bfloat16.pack)
    four = in_four_bits(network) if bits == "int4" else set()
    return {name: Int4.pack if name in four else Int8.pack for name in _layers(network)}


def in_four_bits(network: nn.Module) -> set[str]:
    """Names of the weights that `int4` packs into four bits; the others stay at eight.

    They are those of the language model, which is most of the weights and is read anew for each token; but not its
    table of embeddings, nor a head that is the same table.
    """
    found = _layers(network)
    tables = {module.weight for module in found.values() if isinstance(module, Embedding)}
    return {
        name
        for name, module in found.items()
        if name.startswith("language_model.") and module.weight not in tables and Int4.fits(module.weight.shape)
    }


def _layers(network: nn.Module) -> dict[str, Linear | Embedding]:
    """Those whose weight may be packed, by its name."""
    return {
        f"{name}.weight": module for name, module in network.named_modules() if isinstance(module, Linear | Embedding)
    }


def put(network: nn.Module, name: str, packed: Packed) -> None:
    """Gives a layer its packed weight in place of the one it has."""
    layer = network.get_submodule(name.removesuffix(".weight"))
    del layer.weight
    layer.register_parameter("weight", None)
    layer.packed = packed
