"""The conformer: frames of 20 ms in, frames that know their neighbourhood out, with characters as a by-product.

Attention stays inside blocks of 200 frames (4 s); only the depthwise convolutions look across a block's border, 7
frames for each layer. That is what makes streaming possible: a block encoded from the 7 convolution inputs left of it
is encoded as in the whole utterance, so nothing older is ever needed again.

Clips of any length lie packed behind each other in one sequence `[N, D]`, without padding: linear layers see exactly
the frames there are, and a `Layout` says which frames attend to each other and where clips end. So a batch gives each
clip what it would get alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.config import EncoderConfig


@dataclass(frozen=True, slots=True)
class Layout:
    """Where clips and attention blocks lie in a packed sequence of `N` frames.

    Built once for a batch, used by every layer. Index tensors are int64, on the device of the frames.
    """

    lengths: tuple[int, ...]  # frames of each clip
    blocks: Tensor  # [n, L] the frame at each place of each block; 0 where the block is shorter than L
    present: Tensor  # [n, L] bool: the place holds a frame
    places: Tensor  # [N] where each frame stands in blocks.flatten()
    full: bool  # every place of every block holds a frame: attention needs no mask

    @classmethod
    def of(cls, lengths: Sequence[int], context_size: int, device: torch.device | str = "cpu") -> Layout:
        """Cuts each clip into blocks of `context_size` frames from its first frame on; the last one may be shorter."""
        sizes = [min(context_size, length - start) for length in lengths for start in range(0, length, context_size)]
        longest = max(sizes, default=0)
        size = torch.tensor(sizes, dtype=torch.long)[:, None]
        start = size.cumsum(0) - size
        place = torch.arange(longest)
        present = place < size
        return cls(
            lengths=tuple(lengths),
            blocks=torch.where(present, start + place, 0).to(device),
            present=present.to(device),
            places=present.flatten().nonzero().flatten().to(device),
            full=bool(present.all()),
        )


@dataclass(frozen=True, slots=True)
class Encoding:
    """What the encoder says about a packed batch."""

    hidden: Tensor  # [N, D] for the projector
    logits: Tensor  # [N, labels] of the CTC head after the last layer
    middle_logits: Tensor  # [N, labels] of the same head after the middle layer
    edges: tuple[Tensor, ...]  # for each requested border [layers, reach, conv_dim]: pass as `left` of what follows


class Conformer(nn.Module):
    """The encoder. Attribute names are those of the checkpoint's tensors."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.input_linear = nn.Linear(config.input_dim, config.hidden_dim)
        self.layers = nn.ModuleList(ConformerLayer(config) for _ in range(config.num_layers))
        self.out = nn.Linear(config.hidden_dim, config.output_dim)
        self.out_mid = nn.Linear(config.output_dim, config.hidden_dim)

    def layout(self, lengths: Sequence[int]) -> Layout:
        """The layout of clips of these lengths in frames, on this encoder's device."""
        return Layout.of(lengths, self.config.context_size, self.input_linear.weight.device)

    def forward(
        self,
        frames: Tensor,
        layout: Layout,
        left: Sequence[Tensor | None] | None = None,
        borders: Sequence[tuple[int, int]] = (),
    ) -> Encoding:
        """Encodes packed clips.

        Args:
            frames: `[N, 160]` features of all clips, one behind the other.
            layout: how the `N` frames divide into clips.
            left: for each clip what an earlier call gave as an edge, `[layers, reach, conv_dim]`, or None where
                the utterance begins.
            borders: pairs (clip, frame): keep the convolution inputs left of that frame as an edge.
        """
        seam = Seam.of(layout, self.config, left, borders, frames)
        hidden = self.input_linear(frames)
        exported = [hidden] if 0 in self.config.cat_hidden_layers else []
        middle = hidden.new_empty(0)
        edges = []
        for index, layer in enumerate(self.layers, start=1):
            hidden, edge = layer(hidden, layout, seam, index - 1)
            edges.append(edge)
            if index == self.config.num_layers // 2:
                middle = self.out(hidden)
                hidden = hidden + self.out_mid(middle.softmax(-1))
            if index in self.config.cat_hidden_layers:
                exported.append(hidden)
        return Encoding(
            hidden=torch.cat([*exported, hidden], dim=-1) if exported else hidden,
            logits=self.out(hidden),
            middle_logits=middle,
            edges=tuple(torch.stack(edges, dim=1)) if borders else (),
        )


@dataclass(frozen=True, slots=True)
class Seam:
    """Where clips meet in the depthwise convolution: each has `reach` places of its own before and after it."""

    total: int  # places
    frames: Tensor  # [N] place of each frame
    left: Tensor  # [clips * reach] places before each clip
    carried: Tensor | None  # [layers, clips * reach, conv_dim] what stands there; None is all zeros
    kept: Tensor  # [borders, reach] places left of each requested border

    @classmethod
    def of(
        cls,
        layout: Layout,
        config: EncoderConfig,
        left: Sequence[Tensor | None] | None,
        borders: Sequence[tuple[int, int]],
        frames: Tensor,
    ) -> Seam:
        """Finds the places of a batch; `left` and `borders` as in `Conformer.forward`."""
        reach = config.conv_kernel_size // 2
        starts, position = [], 0  # of each clip's own frames
        for length in layout.lengths:
            starts.append(position + reach)
            position += length + 2 * reach
        start = torch.tensor(starts, dtype=torch.long)
        near = torch.arange(-reach, 0)
        carried = None
        if left is not None and any(edge is not None for edge in left):
            nothing = frames.new_zeros(config.num_layers, reach, config.conv_dim)
            carried = torch.cat([nothing if edge is None else edge for edge in left], dim=1)
        kept = torch.tensor([starts[clip] + frame for clip, frame in borders], dtype=torch.long)
        return cls(
            total=position,
            frames=torch.cat([torch.arange(at, at + n) for at, n in zip(starts, layout.lengths, strict=True)]).to(
                frames.device
            ),
            left=(start[:, None] + near).flatten().to(frames.device),
            carried=carried,
            kept=(kept[:, None] + near).to(frames.device),
        )


class ConformerLayer(nn.Module):
    """Half a feed-forward, attention, convolution, half a feed-forward, a norm."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.ff1 = FeedForward(config)
        self.attn = BlockAttention(config)
        self.conv = Convolution(config)
        self.ff2 = FeedForward(config)
        self.post_norm = nn.LayerNorm(config.hidden_dim)

    def forward(self, hidden: Tensor, layout: Layout, seam: Seam, index: int) -> tuple[Tensor, Tensor]:
        """Packed frames `[N, D]` to `[N, D]`, and the convolution inputs at the borders; `index` is the layer's own."""
        hidden = hidden + 0.5 * self.ff1(hidden)
        hidden = hidden + self.attn(hidden, layout)
        convolved, edge = self.conv(hidden, seam, index)
        hidden = hidden + convolved
        hidden = hidden + 0.5 * self.ff2(hidden)
        return self.post_norm(hidden), edge


class FeedForward(nn.Module):
    """Norm, up, SiLU, down."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        inner = config.hidden_dim * config.feedforward_mult
        self.pre_norm = nn.LayerNorm(config.hidden_dim)
        self.up_proj = nn.Linear(config.hidden_dim, inner)
        self.down_proj = nn.Linear(inner, config.hidden_dim)

    def forward(self, hidden: Tensor) -> Tensor:
        """`[N, D]` to `[N, D]`, each frame for itself."""
        return self.down_proj(F.silu(self.up_proj(self.pre_norm(hidden))))


class BlockAttention(nn.Module):
    """Self-attention inside blocks with Shaw's relative positions (https://arxiv.org/abs/1803.02155), keys only."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        inner = config.num_heads * config.dim_head
        self.heads, self.middle = config.num_heads, config.max_pos_emb
        self.pre_norm = nn.LayerNorm(config.hidden_dim)
        self.to_q = nn.Linear(config.hidden_dim, inner, bias=False)
        self.to_kv = nn.Linear(config.hidden_dim, 2 * inner, bias=False)
        self.to_out = nn.Linear(inner, config.hidden_dim)
        self.rel_pos_emb = nn.Embedding(2 * config.max_pos_emb + 1, config.dim_head)

    def forward(self, hidden: Tensor, layout: Layout) -> Tensor:
        """`[N, D]` to `[N, D]`, each frame from those of its block."""
        normed = self.pre_norm(hidden)
        projected = torch.cat([self.to_q(normed), self.to_kv(normed)], dim=-1)  # [N, 3 * H * d]
        blocks, longest = layout.blocks.shape
        # [n, L, 3, H, d] -> three of [n, H, L, d]
        query, key, value = (
            projected.index_select(0, layout.blocks.flatten())
            .view(blocks, longest, 3, self.heads, -1)
            .permute(2, 0, 3, 1, 4)
        )
        scale = query.shape[-1] ** -0.5
        bias = self._positions(query) * scale
        if not layout.full:
            bias = bias.masked_fill(~layout.present[:, None, None, :], torch.finfo(bias.dtype).min)
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=bias, scale=scale)
        packed = mixed.transpose(1, 2).reshape(blocks * longest, -1).index_select(0, layout.places)
        return self.to_out(packed)

    def _positions(self, query: Tensor) -> Tensor:
        """`[n, H, L, L]`: each query times the table's row for its distance to each key.

        Multiplying by the `2L - 1` rows that occur and then shifting each query's row by one place more than the
        row before it costs far less than looking up `L * L` rows.
        """
        *batch, longest, _ = query.shape
        rows = self.rel_pos_emb.weight[self.middle - longest + 1 : self.middle + longest].flip(0)
        by_distance = query @ rows.to(query.dtype).T  # [n, H, L, 2L - 1], distances L - 1 down to 1 - L
        if longest == 1:
            return by_distance
        flat = by_distance.flatten(-2)[..., longest - 1 : longest - 1 + longest * (2 * longest - 2)]
        return flat.reshape(*batch, longest, 2 * longest - 2)[..., :longest]


class Convolution(nn.Module):
    """Norm, gated linear unit, depthwise convolution over time, batch norm, SiLU, linear."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(config.hidden_dim)
        # the checkpoint has these two as convolutions of width 1, which are linear layers
        self.up_conv = nn.Conv1d(config.hidden_dim, 2 * config.conv_dim, 1)
        self.depth_conv = nn.ModuleDict(
            {
                "conv": nn.Conv1d(
                    config.conv_dim,
                    config.conv_dim,
                    config.conv_kernel_size,
                    groups=config.conv_dim,
                    bias=False,
                )
            }
        )
        self.batch_norm = nn.BatchNorm1d(config.conv_dim)
        self.down_conv = nn.Conv1d(config.conv_dim, config.hidden_dim, 1)

    def forward(self, hidden: Tensor, seam: Seam, index: int) -> tuple[Tensor, Tensor]:
        """Gives the module's output `[N, D]` and its convolution inputs left of each border `[borders, reach, C]`."""
        gated = F.glu(F.linear(self.norm(hidden), self.up_conv.weight[..., 0], self.up_conv.bias), dim=-1)
        places = gated.new_zeros(seam.total, gated.shape[-1]).index_copy(0, seam.frames, gated)
        if seam.carried is not None:
            places = places.index_copy(0, seam.left, seam.carried[index].to(gated.dtype))
        mixed = self.depth_conv["conv"](places.T[None])[0].T  # [total - 2 * reach, C]
        # the convolution's first output belongs to the first clip's first frame
        mixed = mixed.index_select(0, seam.frames - seam.frames[:1])
        mixed = F.silu(self.batch_norm(mixed))
        return F.linear(mixed, self.down_conv.weight[..., 0], self.down_conv.bias), places[seam.kept]
