"""The conformer: frames of 20 ms in, frames that know their neighbourhood out, with characters as a by-product.

Attention stays inside blocks of 200 frames (4 s); only the depthwise convolutions look across a block's border, 7
frames for each layer. That is what makes streaming possible: a block encoded from the 7 convolution inputs left of it
is encoded as in the whole utterance, so nothing older is ever needed again. One can also go on within a block, from an
edge that holds the keys and values of its frames so far; those frames then never see the ones that follow.

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
from model.linear import Linear, Pointwise


@dataclass(frozen=True, slots=True)
class Edge:
    """What frames need of those left of them: give it to `Conformer.forward` to go on from there."""

    inputs: Tensor  # [layers, reach, conv_dim] of the depthwise convolutions
    context: Tensor  # [layers, c, 2 * H * d] keys and values of the `c` frames since their block began


@dataclass(frozen=True, slots=True)
class Layout:
    """Where clips and attention blocks lie in a packed sequence of `N` frames.

    Built once for a batch, used by every layer. Index tensors are int64, on the device of the frames. A clip that
    begins within a block has keys before its own frames; they lie packed before all frames and end at column `C`.
    """

    lengths: tuple[int, ...]  # frames of each clip
    contexts: tuple[int, ...]  # frames of its first block that each clip does not bring itself
    blocks: Tensor  # [n, L] the frame at each place of each block; 0 where the block is shorter than L
    places: Tensor  # [N] where each frame stands in blocks.flatten()
    keys: Tensor  # [n, C + L] the key at each column, counted in contexts and frames
    visible: Tensor | None  # [n, 1, 1, C + L] bool: the column holds a key; None for a single block, where each does

    @classmethod
    def of(
        cls,
        lengths: Sequence[int],
        context_size: int,
        device: torch.device | str = "cpu",
        contexts: Sequence[int] | None = None,
    ) -> Layout:
        """Cuts each clip into blocks of `context_size` frames, counted from where its first block began."""
        contexts = contexts or [0] * len(lengths)
        cuts = [
            (min(length, end) - max(start, 0), -start if start < 0 else 0)
            for length, context in zip(lengths, contexts, strict=True)
            for start in range(-context, length, context_size)
            for end in [start + context_size]
        ]
        size, behind = torch.tensor(cuts, dtype=torch.long).reshape(len(cuts), 2, 1).unbind(1)  # [n, 1] frames
        place = torch.arange(max((size for size, _ in cuts), default=0))
        column = torch.arange(-max((behind for _, behind in cuts), default=0), 0)
        frame = size.cumsum(0) - size + place
        present, known = place < size, column >= -behind
        keys = torch.cat([behind.cumsum(0) + column, int(behind.sum()) + frame], dim=1)
        visible = torch.cat([known, present], dim=1)
        return cls(
            lengths=tuple(lengths),
            contexts=tuple(contexts),
            blocks=torch.where(present, frame, 0).to(device),
            places=present.flatten().nonzero().flatten().to(device),
            keys=torch.where(visible, keys, 0).to(device),
            visible=None if len(cuts) == 1 else visible[:, None, None].to(device),
        )


@dataclass(frozen=True, slots=True)
class Encoding:
    """What the encoder says about a packed batch."""

    hidden: Tensor  # [N, D] for the projector
    logits: Tensor  # [N, labels] of the CTC head after the last layer
    middle_logits: Tensor  # [N, labels] of the same head after the middle layer
    edges: tuple[Edge, ...]  # for each requested border: pass as `left` of what follows


class Conformer(nn.Module):
    """The encoder. Attribute names are those of the checkpoint's tensors."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.input_linear = nn.Linear(config.input_dim, config.hidden_dim)
        self.layers = nn.ModuleList(ConformerLayer(config) for _ in range(config.num_layers))
        self.out = nn.Linear(config.hidden_dim, config.output_dim)
        self.out_mid = nn.Linear(config.output_dim, config.hidden_dim)

    def layout(self, lengths: Sequence[int], left: Sequence[Edge | None] | None = None) -> Layout:
        """The layout of clips of these lengths in frames, behind these edges, on this encoder's device."""
        contexts = [0 if edge is None else edge.context.shape[1] for edge in left] if left else None
        return Layout.of(lengths, self.config.context_size, self.input_linear.weight.device, contexts)

    def forward(
        self,
        frames: Tensor,
        layout: Layout,
        left: Sequence[Edge | None] | None = None,
        borders: Sequence[tuple[int, int]] = (),
    ) -> Encoding:
        """Encodes packed clips.

        Args:
            frames: `[N, 160]` features of all clips, one behind the other.
            layout: how the `N` frames divide into clips.
            left: for each clip the edge that an earlier call gave, or None where the utterance begins.
            borders: pairs (clip, frame): keep what lies left of that frame as an edge.
        """
        seam = Seam.of(layout, self.config, left, borders, frames)
        width = 2 * self.config.num_heads * self.config.dim_head
        nothing = frames.new_empty(self.config.num_layers, 0, width)
        contexts = torch.cat([nothing, *(edge.context for edge in left or () if edge is not None)], dim=1)
        hidden = self.input_linear(frames)
        exported = [hidden] if 0 in self.config.cat_hidden_layers else []
        middle = hidden.new_empty(0)
        inputs, keys_values = [], []
        for index, layer in enumerate(self.layers, start=1):
            hidden, places, key_value = layer(hidden, layout, seam, contexts[index - 1], seam.carried[index - 1])
            if borders:
                inputs.append(places[seam.kept])
                keys_values.append(key_value)
            if index == self.config.num_layers // 2:
                middle = self.out(hidden)
                hidden = hidden + self.out_mid(middle.softmax(-1))
            if index in self.config.cat_hidden_layers:
                exported.append(hidden)
        return Encoding(
            hidden=torch.cat([*exported, hidden], dim=-1) if exported else hidden,
            logits=self.out(hidden),
            middle_logits=middle,
            edges=self._edges(layout, borders, inputs, keys_values),
        )

    def _edges(
        self,
        layout: Layout,
        borders: Sequence[tuple[int, int]],
        inputs: Sequence[Tensor],
        keys_values: Sequence[Tensor],
    ) -> tuple[Edge, ...]:
        """One edge for each border, from what each layer kept: `[borders, reach, C]`, `[contexts + N, 2 * H * d]`."""
        edges = []
        for index, (clip, frame) in enumerate(borders):
            context = layout.contexts[clip]
            end = sum(layout.contexts) + sum(layout.lengths[:clip]) + frame
            fresh = (context + frame) % self.config.context_size  # frames since the border's own block began
            rows = list(range(end - min(fresh, frame), end))
            if fresh > frame:  # the block began in the context
                known = sum(layout.contexts[: clip + 1])
                rows = list(range(known - (fresh - frame), known)) + rows
            edges.append(
                Edge(
                    inputs=torch.stack([each[index] for each in inputs]),
                    context=torch.stack([each[rows] for each in keys_values]),
                )
            )
        return tuple(edges)


@dataclass(frozen=True, slots=True)
class Seam:
    """Where clips meet in the depthwise convolution: each has `reach` places of its own before and after it."""

    frames: Tensor  # [N] place of each frame
    outputs: Tensor  # [N] which of the convolution's outputs each frame's is: number 0 is the first clip's first
    left: Tensor  # [clips * reach] places before each clip
    carried: Tensor  # [layers, clips * reach, conv_dim] what stands there; zeros where the utterance begins
    kept: Tensor  # [borders, reach] places left of each requested border

    @classmethod
    def of(
        cls,
        layout: Layout,
        config: EncoderConfig,
        left: Sequence[Edge | None] | None,
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
        nothing = frames.new_zeros(config.num_layers, reach, config.conv_dim)
        before = [nothing if edge is None else edge.inputs for edge in left or [None] * len(starts)]
        kept = torch.tensor([starts[clip] + frame for clip, frame in borders], dtype=torch.long)
        places = torch.cat([torch.arange(at, at + n) for at, n in zip(starts, layout.lengths, strict=True)])
        return cls(
            frames=places.to(frames.device),
            outputs=(places - reach).to(frames.device),
            left=(start[:, None] + near).flatten().to(frames.device),
            carried=torch.cat(before, dim=1),
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

    def forward(
        self, hidden: Tensor, layout: Layout, seam: Seam, context: Tensor, carried: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Packed frames `[N, D]` to `[N, D]`, and what an edge may need of this layer: see the two modules."""
        hidden = hidden + 0.5 * self.ff1(hidden)
        attended, key_value = self.attn(hidden, layout, context)
        hidden = hidden + attended
        convolved, places = self.conv(hidden, seam, carried)
        hidden = hidden + convolved
        hidden = hidden + 0.5 * self.ff2(hidden)
        return self.post_norm(hidden), places, key_value


class FeedForward(nn.Module):
    """Norm, up, SiLU, down."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        inner = config.hidden_dim * config.feedforward_mult
        self.pre_norm = nn.LayerNorm(config.hidden_dim)
        self.up_proj = Linear(config.hidden_dim, inner)
        self.down_proj = Linear(inner, config.hidden_dim)

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
        self.to_q = Linear(config.hidden_dim, inner, bias=False)
        self.to_kv = Linear(config.hidden_dim, 2 * inner, bias=False)
        self.to_out = Linear(inner, config.hidden_dim)
        self.rel_pos_emb = nn.Embedding(2 * config.max_pos_emb + 1, config.dim_head)

    def forward(self, hidden: Tensor, layout: Layout, context: Tensor) -> tuple[Tensor, Tensor]:
        """Each frame from those of its block.

        Args:
            hidden: `[N, D]`.
            layout: the blocks.
            context: keys and values `[contexts, 2 * H * d]` of frames that are not in `hidden` but in its blocks.

        Returns:
            `[N, D]`, and keys and values of contexts and frames `[contexts + N, 2 * H * d]`.
        """
        normed = self.pre_norm(hidden)
        key_value = self.to_kv(normed)
        if len(context):
            key_value = torch.cat([context.to(key_value.dtype), key_value])
        queries = self._spread(self.to_q(normed), layout.blocks)  # [n, H, L, d]
        keys, values = (self._spread(each, layout.keys) for each in key_value.chunk(2, dim=-1))  # [n, H, C + L, d]
        scale = queries.shape[-1] ** -0.5
        bias = self._positions(queries, keys.shape[2]) * scale
        if layout.visible is not None:
            bias = bias.masked_fill(~layout.visible, torch.finfo(bias.dtype).min)
        mixed = F.scaled_dot_product_attention(queries, keys, values, attn_mask=bias, scale=scale)
        packed = mixed.transpose(1, 2).flatten(0, 1).flatten(1).index_select(0, layout.places)
        return self.to_out(packed), key_value

    def _spread(self, rows: Tensor, places: Tensor) -> Tensor:
        """Rows `[N, H * d]` at their places `[n, L]` in blocks: `[n, H, L, d]`."""
        return rows.index_select(0, places.flatten()).view(*places.shape, self.heads, -1).transpose(1, 2)

    def _positions(self, queries: Tensor, columns: int) -> Tensor:
        """`[n, H, L, columns]`: each query times the table's row for its distance to each column's key.

        The first query stands at column `columns - L`. Multiplying by the rows that occur, one for each distance, and
        then shifting each query's products by one place more than those of the query before it costs far less than
        looking up a row for each pair.
        """
        longest = queries.shape[2]
        distances = torch.arange(columns - 1, -longest, -1, device=queries.device)
        # clips in a batch that go on at different places make columns so far apart that no block has both
        rows = self.rel_pos_emb.weight[self.middle + distances.clamp(max=self.middle)]
        by_distance = queries @ rows.to(queries.dtype).T  # [n, H, L, L + columns - 1], from the farthest key behind
        if longest == 1:
            return by_distance
        width = longest + columns - 2
        flat = by_distance.flatten(-2)[..., longest - 1 : longest - 1 + longest * width]
        return flat.view(*flat.shape[:-1], longest, width)[..., :columns]


class Convolution(nn.Module):
    """Norm, gated linear unit, depthwise convolution over time, batch norm, SiLU, linear."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(config.hidden_dim)
        self.up_conv = Pointwise(config.hidden_dim, 2 * config.conv_dim)
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
        self.down_conv = Pointwise(config.conv_dim, config.hidden_dim)

    def forward(self, hidden: Tensor, seam: Seam, carried: Tensor) -> tuple[Tensor, Tensor]:
        """Gives the module's output `[N, D]` and the convolution's inputs `[places, C]`.

        `carried` holds the inputs `[clips * reach, C]` left of each clip.
        """
        gated = F.glu(self.up_conv(self.norm(hidden)), dim=-1)
        places = gated.new_zeros(len(gated) + 2 * len(carried), gated.shape[-1])
        places.index_copy_(0, seam.frames, gated).index_copy_(0, seam.left, carried.to(gated.dtype))
        mixed = self.depth_conv["conv"](places.T[None])[0].T  # [total - 2 * reach, C]
        mixed = mixed.index_select(0, seam.outputs)
        mixed = F.silu(self.batch_norm(mixed))
        return self.down_conv(mixed), places
