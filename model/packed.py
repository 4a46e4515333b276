"""Weights in sixteen, eight or four bits, and products with them: what is read at each token is that much less.

Weights are rounded, what they are multiplied with hardly is. For a few rows, as in decoding, there are kernels on a CPU
that read the packed weights themselves, and rows in bfloat16. For many rows the arithmetic takes longer than the
reading, so the weights are unpacked for one product, in the type of the rows, and forgotten again: piece by piece, for
a whole head would be 400 MB of memory that is new each time.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FEW_16, FEW_8, FEW_4 = 4, 8, 96  # rows up to which the kernels for so many bits are faster than unpacking
LANES = 16  # columns that the kernel for eight bits reads at once: of a width that leaves a rest it reads too far
PIECE = 1 << 17  # weights that are packed at once: larger pieces would leave holes in memory as large as the weights
UNPACKED = 1 << 21  # weights that are unpacked at once: 4 MB in bfloat16; fewer make worse products
GROUP = 64  # columns that share a scale in four bits
BLOCKS = (64, 32)  # rows that kernels for four bits have side by side
PLAIN = tuple(range(BLOCKS[0]))  # the order of rows where no kernel wants another
MIDDLE = 8  # the code of a group's middle value
LAST = 15


class Bfloat16(nn.Module):
    """Weights as they are published, for a processor that emulates bfloat16: good enough for few rows only."""

    weight: Tensor  # [N, K] bfloat16

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.register_buffer("weight", weight, persistent=False)

    @classmethod
    def pack(cls, weight: Tensor, device: torch.device) -> Self:
        """Rounds a weight `[N, K]` if it is anything else."""
        return cls(weight.to(device, torch.bfloat16, copy=True))

    @property
    def shape(self) -> torch.Size:
        """Of the weight."""
        return self.weight.shape

    def forward(self, inputs: Tensor) -> Tensor:
        """`[..., K]` to `[..., N]`."""
        rows = inputs.reshape(-1, inputs.shape[-1])
        if len(rows) <= FEW_16:
            product = F.linear(rows.bfloat16(), self.weight).to(rows.dtype)
        else:
            product = _product(rows, self.weight)
        return product.view(*inputs.shape[:-1], -1)

    def rows(self, indices: Tensor, dtype: torch.dtype) -> Tensor:
        """Rows `[T]` of the weight: `[T, K]`."""
        return self.weight[indices].to(dtype)


class Int8(nn.Module):
    """Each weight is a byte times its row's scale."""

    codes: Tensor  # [N, K] int8
    scales: Tensor  # [N] bfloat16

    def __init__(self, codes: Tensor, scales: Tensor) -> None:
        super().__init__()
        self.register_buffer("codes", codes, persistent=False)
        self.register_buffer("scales", scales, persistent=False)

    @classmethod
    def pack(cls, weight: Tensor, device: torch.device) -> Self:
        """Rounds a weight `[N, K]`; it is read piece by piece."""
        codes = torch.empty(weight.shape, dtype=torch.int8, device=device)
        scales = torch.empty(len(weight), dtype=torch.bfloat16, device=device)
        for at, rows in _pieces(weight):
            scale = _divisor(rows.abs().amax(1) / 127)
            codes[at] = (rows / scale.float()[:, None]).round().clamp(-127, 127).to(device, torch.int8)
            scales[at] = scale
        return cls(codes, scales)

    @property
    def shape(self) -> torch.Size:
        """Of the weight."""
        return self.codes.shape

    def forward(self, inputs: Tensor) -> Tensor:
        """`[..., K]` to `[..., N]`."""
        rows = inputs.reshape(-1, inputs.shape[-1])
        if rows.device.type == "cpu" and len(rows) <= FEW_8 and rows.shape[1] % LANES == 0:
            product = torch._weight_int8pack_mm(rows.bfloat16(), self.codes, self.scales).to(rows.dtype)
        else:
            product = _product(rows, self.codes) * self.scales.to(rows.dtype)
        return product.view(*inputs.shape[:-1], -1)

    def rows(self, indices: Tensor, dtype: torch.dtype) -> Tensor:
        """Rows `[T]` of the weight: `[T, K]`."""
        return self.codes[indices].to(dtype) * self.scales[indices, None].to(dtype)


class Int4(nn.Module):
    """Each weight is one of sixteen values that lie evenly between the least and the largest of its group.

    A byte holds two rows' weights of one column. Rows lie in blocks, as the kernel of this machine has them; the last
    block is filled with zeros.
    """

    codes: Tensor  # [blocks, K, block / 2] uint8
    scales: Tensor  # [K / 64, blocks * block, 2] bfloat16: the step between two values, and the middle one
    order: Tensor  # [block] the row of a block at each place: those in the low halves of the bytes, then the high ones
    back: Tensor  # [block] the place of each row

    def __init__(self, rows: int, columns: int, device: torch.device) -> None:
        """Makes room; `pack` fills it."""
        super().__init__()
        self.count = rows
        order = kernel_order() if device.type == "cpu" else None
        self.kernel = order is not None
        self.block = len(order or PLAIN)
        blocks = -(-rows // self.block)
        codes = torch.zeros(blocks, columns, self.block // 2, dtype=torch.uint8, device=device)
        scales = torch.zeros(columns // GROUP, blocks * self.block, 2, dtype=torch.bfloat16, device=device)
        self.register_buffer("codes", codes, persistent=False)
        self.register_buffer("scales", scales, persistent=False)
        self.register_buffer("order", torch.tensor(order or PLAIN, device=device), persistent=False)
        self.register_buffer("back", self.order.argsort(), persistent=False)

    @staticmethod
    def fits(shape: torch.Size) -> bool:
        """Whether a weight of this shape can be divided into groups."""
        return shape[1] % GROUP == 0

    @classmethod
    def pack(cls, weight: Tensor, device: torch.device) -> Self:
        """Rounds a weight `[N, K]`, K a multiple of 64; it is read piece by piece."""
        packed = cls(weight.shape[0], weight.shape[1], device)
        for at, piece in _pieces(weight, packed.block):
            packed._fill(at.start // packed.block, F.pad(piece, (0, 0, 0, -len(piece) % packed.block)))
        return packed

    def _fill(self, first: int, weight: Tensor) -> None:
        """Packs rows `[n * block, K]` float, from this block on."""
        groups = weight.view(len(weight), -1, GROUP)  # [N, K / 64, 64]
        least, largest = groups.amin(-1), groups.amax(-1)
        step = _divisor((largest - least) / LAST)
        middle = (least + MIDDLE * step.float()).bfloat16()
        codes = ((groups - middle.float()[..., None]) / step.float()[..., None]).round() + MIDDLE
        codes = codes.clamp(0, LAST).to(torch.uint8).view(-1, self.block, weight.shape[1])  # [n, block, K]
        low, high = codes[:, self.order.to(codes.device)].transpose(1, 2).chunk(2, dim=-1)  # [n, K, block / 2]
        self.codes[first : first + len(codes)] = (low | high << 4).to(self.codes.device)
        rows = slice(first * self.block, first * self.block + len(weight))
        self.scales[:, rows] = torch.stack([step, middle], dim=-1).transpose(0, 1).to(self.scales.device)

    @property
    def shape(self) -> torch.Size:
        """Of the weight."""
        return torch.Size((self.count, self.codes.shape[1]))

    def forward(self, inputs: Tensor) -> Tensor:
        """`[..., K]` to `[..., N]`."""
        rows = inputs.reshape(-1, inputs.shape[-1])
        product = self._few(rows) if self.kernel and len(rows) <= FEW_4 else self._many(rows)
        return product[:, : self.count].reshape(*inputs.shape[:-1], self.count)

    def _few(self, rows: Tensor) -> Tensor:
        packed = self.codes.view(-1, self.codes.shape[1] // 2)  # the same bytes under the shape that the kernel wants
        return torch._weight_int4pack_mm_for_cpu(rows.bfloat16(), packed, GROUP, self.scales).to(rows.dtype)

    def _many(self, rows: Tensor) -> Tensor:
        blocks, columns, _ = self.codes.shape
        scales = self.scales.to(rows.dtype).view(-1, blocks, self.block, 2)[:, :, self.order]
        step, middle = scales.permute(3, 1, 0, 2).unsqueeze(3).contiguous()  # [blocks, K / 64, 1, block]
        product = rows.new_empty(blocks, len(rows), self.block)
        for at in _parts(blocks, UNPACKED // (columns * self.block)):
            codes = torch.cat([self.codes[at] & LAST, self.codes[at] >> 4], dim=-1).to(rows.dtype)  # [n, K, block]
            # in place: new memory costs more than the arithmetic
            codes.view(len(codes), -1, GROUP, self.block).mul_(step[at]).add_(middle[at] - MIDDLE * step[at])
            torch.matmul(rows, codes, out=product[at])
        return product[..., self.back].transpose(0, 1).flatten(1)


Packed = Bfloat16 | Int8 | Int4


@cache
def kernel_order() -> tuple[int, ...] | None:
    """The row of a block at each place as the CPU's kernel has it; None if it lays weights out in another way.

    It depends on the processor and is not documented, so it is seen from what becomes of known weights.
    """
    return next((order for block in BLOCKS if (order := _order(block)) is not None), None)


def _order(block: int) -> tuple[int, ...] | None:
    """The same, if blocks have so many rows."""
    row, column = torch.meshgrid(torch.arange(2 * block), torch.arange(GROUP), indexing="ij")
    row, column = (_laid_out(each, block) for each in (row, column))
    order = row[0, 0]
    rows_agree = torch.equal(row, torch.stack([order, order + block])[:, None].expand_as(row))
    columns_agree = torch.equal(column, torch.arange(GROUP)[:, None].expand_as(column))
    return tuple(order.tolist()) if rows_agree and columns_agree else None


def _laid_out(numbers: Tensor, block: int) -> Tensor:
    """Where the kernel puts numbers below 256 that stand in the weights' places `[N, K]`: `[N / block, K, block]`."""
    found = torch.zeros(len(numbers) // block, GROUP, block, dtype=torch.long)
    for shift in (0, 4):  # it takes four bits at a time
        digits = (numbers >> shift & LAST).int()
        laid = torch._convert_weight_to_int4pack_for_cpu(digits, 1).view(-1, GROUP, block // 2)
        found += torch.cat([laid & LAST, laid >> 4], dim=-1).long() << shift
    return found


def _product(rows: Tensor, weight: Tensor) -> Tensor:
    """Rows `[T, K]` times a weight `[N, K]` of another type, in that of the rows: `[T, N]`."""
    product = rows.new_empty(len(rows), len(weight))
    for at in _parts(len(weight), UNPACKED // weight.shape[1]):
        product[:, at] = F.linear(rows, weight[at].to(rows.dtype))
    return product


def _pieces(weight: Tensor, multiple: int = 1) -> Iterator[tuple[slice, Tensor]]:
    """Places and rows as float32, a multiple of so many at once."""
    for at in _parts(len(weight), PIECE // weight.shape[1] // multiple * multiple or multiple):
        yield at, weight[at].float()


def _parts(count: int, size: int) -> Iterator[slice]:
    """So many things in parts of this size, or of one."""
    for start in range(0, count, max(size, 1)):
        yield slice(start, min(start + max(size, 1), count))


def _divisor(scale: Tensor) -> Tensor:
    """A scale in the type it is kept in, so that codes are made with what they are multiplied with; never zero."""
    return scale.clamp(min=torch.finfo(torch.bfloat16).tiny).bfloat16()
