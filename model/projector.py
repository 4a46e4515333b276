"""The projector: each window of 15 frames (300 ms) becomes 3 embeddings of the language model's width.

A two-layer BLIP-2 Q-Former without text: three learned queries look at each other, then at the window. Windows do not
see one another, so a window's embeddings are final as soon as its frames are.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.config import ProjectorConfig, SpeechConfig
from model.linear import Linear


class Projector(nn.Module):
    """Queries, Q-Former, linear. Attribute names are those of the checkpoint's tensors."""

    def __init__(self, config: SpeechConfig) -> None:
        super().__init__()
        self.window_size = config.window_size
        self.query = nn.Parameter(torch.empty(1, config.window_embeddings, config.projector.hidden_size))
        nn.init.normal_(self.query)
        self.qformer = QFormer(config.projector)
        self.linear = Linear(config.projector.hidden_size, config.text.hidden_size)

    def forward(self, windows: Tensor) -> Tensor:
        """Windows of frames `[W, 15, D]` to embeddings `[W, 3, width]`."""
        return self.linear(self.qformer(self.query, windows))

    def windows(self, hidden: Tensor) -> Tensor:
        """Frames `[T, D]` to windows `[ceil(T / 15), 15, D]`; the last is filled with zeros, seen like any frame."""
        missing = -len(hidden) % self.window_size
        return F.pad(hidden, (0, 0, 0, missing)).view(-1, self.window_size, hidden.shape[-1])


class QFormer(nn.Module):
    """A norm on the queries, then layers."""

    def __init__(self, config: ProjectorConfig) -> None:
        super().__init__()
        self.layernorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        layers = [
            QFormerLayer(config, crossed=index % config.cross_attention_frequency == 0)
            for index in range(config.num_hidden_layers)
        ]
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList(layers)})  # a level that the checkpoint's names have

    def forward(self, queries: Tensor, windows: Tensor) -> Tensor:
        """Queries `[1, 3, width]` look at windows `[W, 15, D]`: `[W, 3, width]`.

        Until they do, in the first layer, they are the same for every window and there is one copy of them.
        """
        hidden = self.layernorm(queries)
        for layer in self.encoder["layer"].children():
            hidden = layer(hidden, windows)
        return hidden


class QFormerLayer(nn.Module):
    """Self-attention, attention to the window, feed-forward; the norm follows each sum, as in BERT."""

    def __init__(self, config: ProjectorConfig, crossed: bool) -> None:
        super().__init__()
        self.attention = QueryAttention(config, config.hidden_size)
        if crossed:
            self.crossattention = QueryAttention(config, config.encoder_hidden_size)
        self.crossed = crossed
        self.intermediate_query = nn.ModuleDict({"dense": Linear(config.hidden_size, config.intermediate_size)})
        self.output_query = AddAndNorm(config.intermediate_size, config)

    def forward(self, hidden: Tensor, windows: Tensor) -> Tensor:
        """`[W, 3, width]` to the same, or from one copy for all windows."""
        hidden = self.attention(hidden, hidden)
        if self.crossed:
            hidden = self.crossattention(hidden, windows)
        return self.output_query(F.gelu(self.intermediate_query["dense"](hidden)), hidden)


class QueryAttention(nn.Module):
    """Queries look at `source`; the sum with what they were is normed."""

    def __init__(self, config: ProjectorConfig, source_dim: int) -> None:
        super().__init__()
        width = config.hidden_size
        self.heads = config.num_attention_heads
        self.attention = nn.ModuleDict(
            {
                "query": Linear(width, width),
                "key": Linear(source_dim, width),
                "value": Linear(source_dim, width),
            }
        )
        self.output = AddAndNorm(width, config)

    def forward(self, hidden: Tensor, source: Tensor) -> Tensor:
        """`hidden [W, 3, width]`, or one for all, looks at `source [W, S, D]`."""
        query, key, value = (
            self.attention[name](x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for name, x in (("query", hidden), ("key", source), ("value", source))
        )
        mixed = F.scaled_dot_product_attention(query.expand(len(key), -1, -1, -1), key, value)
        return self.output(mixed.transpose(1, 2).flatten(-2), hidden)


class AddAndNorm(nn.Module):
    """A linear layer, the residual, a norm."""

    def __init__(self, source_dim: int, config: ProjectorConfig) -> None:
        super().__init__()
        self.dense = Linear(source_dim, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, hidden: Tensor, residual: Tensor) -> Tensor:
        """`[..., D]` and what it is added to `[..., width]`."""
        return self.LayerNorm(self.dense(hidden) + residual)
