"""The language model: Granite, a Llama with four multipliers, over a cache that many streams share.

Its one operation is the *extension*: rewind a slot to a length, append embeddings, and tell what greedy decoding would
say after each of the last positions. Reading a prompt, checking a draft and decoding one token are the same call.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.cache import KVCache, Rows
from model.config import TextConfig
from model.linear import Embedding, Linear
from model.projection import Projection, Switch


@dataclass(slots=True)
class Extension:
    """What to append to one slot."""

    slot: int
    start: int  # rewind to this length first
    inputs: Tensor  # [T, width] embeddings of tokens or of audio, unscaled
    predictions: int = 1  # how many of the last positions to predict after
    audio: bool = True  # the slot's prompt holds audio: a LoRA adapter, where the checkpoint has one, is on
    suppressed: tuple[int, Tensor] | None = None  # which prediction may not be one of these tokens, [vocabulary] bool


@dataclass(frozen=True, slots=True)
class Prediction:
    """What greedy decoding says after each of the last positions of an extension."""

    tokens: list[int]
    log_probs: list[float]  # natural logarithms of those tokens' probabilities


class Granite(nn.Module):
    """Decoder and head. Attribute names are those of the checkpoint's tensors."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.config = config
        self.model = Decoder(config)
        self.lm_head = Linear(config.hidden_size, config.vocab_size, bias=False)
        if config.tie_word_embeddings:
            self.lm_head.weight = self.model.embed_tokens.weight

    def embed(self, tokens: Sequence[int] | Tensor) -> Tensor:
        """Tokens `[T]` to embeddings `[T, width]`, unscaled."""
        norm = self.model.norm.weight  # is never packed
        return self.model.embed_tokens.rows(torch.as_tensor(tokens, dtype=torch.long, device=norm.device), norm.dtype)

    def forward(self, inputs: Tensor, lengths: Sequence[int], audio: bool = True) -> Tensor:
        """Logits `[N, vocabulary]` for packed sequences `[N, width]` of these lengths, the cache empty: for training.

        They are divided by `logits_scaling`, which the reference's speech model forgets (its plain Granite does not).
        """
        cache = KVCache(self.config, max(lengths), inputs.dtype, inputs.device)
        slots = [cache.acquire() for _ in lengths]
        return self.logits(self._hidden(inputs, cache, slots, lengths, [audio] * len(slots)))

    def logits(self, hidden: Tensor) -> Tensor:
        """Hidden states `[N, width]` to logits `[N, vocabulary]`."""
        return self.lm_head(hidden) / self.config.logits_scaling

    def extend(self, extensions: Sequence[Extension], cache: KVCache) -> list[Prediction]:
        """Extends many slots at once; each gets what it would get alone."""
        if not extensions:
            return []
        for each in extensions:
            cache.rewind(each.slot, each.start)
        slots = [each.slot for each in extensions]
        counts = [len(each.inputs) for each in extensions]
        audio = [each.audio for each in extensions]
        hidden = self._hidden(torch.cat([each.inputs for each in extensions]), cache, slots, counts, audio)
        cache.advance(slots, counts)
        ends = torch.tensor(counts).cumsum(0).tolist()
        asked = [
            index for each, end in zip(extensions, ends, strict=True) for index in range(end - each.predictions, end)
        ]
        if not asked:
            return [Prediction([], []) for _ in extensions]
        log_probs = self.logits(hidden[asked]).float().log_softmax(-1)
        predictions = [each.predictions for each in extensions]
        for each, predicted in zip(extensions, torch.split(log_probs, predictions), strict=True):
            if each.suppressed is not None:  # after the softmax: a token's probability stays what the model gives it
                index, tokens = each.suppressed
                predicted[index].masked_fill_(tokens, -torch.inf)
        values, best = (torch.split(each.cpu(), predictions) for each in log_probs.max(-1))
        return [Prediction(t.tolist(), v.tolist()) for t, v in zip(best, values, strict=True)]

    def _hidden(
        self, inputs: Tensor, cache: KVCache, slots: Sequence[int], counts: Sequence[int], audio: Sequence[bool]
    ) -> Tensor:
        rows = cache.plan(slots, counts)
        adapted = switch(audio, counts, inputs) if self.config.lora else False
        return self.model(inputs * self.config.embedding_multiplier, cache, rows, Reading.of(rows, counts), adapted)


def switch(audio: Sequence[bool], counts: Sequence[int], inputs: Tensor) -> Switch:
    """Where an adapter is on: at the positions of slots whose prompt holds audio, `counts[i]` for slot i.

    Nearly always all of them are alike, and then nothing has to be masked.
    """
    if all(audio) or not any(audio):
        return all(audio)
    on = torch.tensor(audio, dtype=inputs.dtype, device=inputs.device)
    return on.repeat_interleave(torch.tensor(counts, device=inputs.device))[:, None]


@dataclass(frozen=True, slots=True)
class Reading:
    """How packed positions are spread over rows for attention, and which keys each may see."""

    pick: Tensor | None  # [B * T] the packed position at each place of each row; None: they are already so
    places: Tensor | None  # [N] where each packed position stands in those rows
    visible: Tensor | None  # [B, 1, T, length] bool; None: every key

    @classmethod
    def of(cls, rows: Rows, counts: Sequence[int]) -> Reading:
        """For `counts[i]` positions appended to row i."""
        longest, device = max(counts), rows.position.device
        if len(counts) == 1:  # the usual case of one stream: nothing to spread, and one token sees all there is
            visible = None if longest == 1 else torch.arange(rows.length, device=device) <= rows.position[:, None]
            return cls(None, None, None if visible is None else visible[None, None])
        count = torch.tensor(counts, device=device)[:, None]
        place = torch.arange(longest, device=device)
        present = place < count
        pick = torch.where(present, count.cumsum(0) - count + place, 0)
        alike = longest == 1
        position = rows.position[pick]  # [B, T]
        return cls(
            pick=None if alike else pick.flatten(),
            places=None if alike else present.flatten().nonzero().flatten(),
            visible=torch.arange(rows.length, device=device) <= position[:, None, :, None],
        )


class Decoder(nn.Module):
    """Embeddings, layers, a norm."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.embed_tokens = Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(DecoderLayer(config) for _ in range(config.num_hidden_layers))
        self.norm = nn.RMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        pair = torch.arange(0, config.head_dim, 2, device="cpu")  # computed, not loaded: real even on the meta device
        self.frequencies = config.rope_theta ** -(pair / config.head_dim)  # [head_dim / 2] radians a position

    def forward(self, inputs: Tensor, cache: KVCache, rows: Rows, reading: Reading, adapted: Switch) -> Tensor:
        """Packed inputs `[N, width]` to hidden states `[N, width]`; the cache is written, not yet advanced."""
        # angles in float32 whatever the weights are: bfloat16 cannot tell position 257 from 258
        angles = rows.position[:, None].float() * self.frequencies.to(inputs.device)
        cos, sin = angles.cos().to(inputs.dtype), angles.sin().to(inputs.dtype)
        rotation = torch.cat([cos, cos], dim=-1)[:, None], torch.cat([-sin, sin], dim=-1)[:, None]  # [N, 1, head_dim]
        hidden = inputs
        for index, layer in enumerate(self.layers):
            hidden = layer(hidden, rotation, cache.layer(index, rows), rows, reading, adapted)
        return self.norm(hidden)


class DecoderLayer(nn.Module):
    """Attention and feed-forward, each behind a norm; the residual takes them times a multiplier."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.residual_multiplier = config.residual_multiplier
        self.input_layernorm = nn.RMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.self_attn = CachedAttention(config)
        self.post_attention_layernorm = nn.RMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.mlp = GatedFeedForward(config)

    def forward(
        self,
        hidden: Tensor,
        rotation: tuple[Tensor, Tensor],
        memory: tuple[Tensor, Tensor],
        rows: Rows,
        reading: Reading,
        adapted: Switch,
    ) -> Tensor:
        """Packed hidden states `[N, width]` to the same."""
        attended = self.self_attn(self.input_layernorm(hidden), rotation, memory, rows, reading, adapted)
        hidden = hidden + attended * self.residual_multiplier
        return hidden + self.mlp(self.post_attention_layernorm(hidden)) * self.residual_multiplier


class CachedAttention(nn.Module):
    """Grouped-query attention with rotary positions over a slot's keys and values."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.scale = config.attention_multiplier
        self.kv_heads, self.head_dim = config.num_key_value_heads, config.head_dim
        self.group = config.num_attention_heads // config.num_key_value_heads  # query heads that share a key head
        width, lora = config.hidden_size, config.lora
        inner, kv_width = config.num_attention_heads * config.head_dim, config.num_key_value_heads * config.head_dim
        self.q_proj = Projection("q_proj", width, inner, lora)
        self.k_proj = Projection("k_proj", width, kv_width, lora)
        self.v_proj = Projection("v_proj", width, kv_width, lora)
        self.o_proj = Projection("o_proj", inner, width, lora)

    def forward(
        self,
        hidden: Tensor,
        rotation: tuple[Tensor, Tensor],
        memory: tuple[Tensor, Tensor],
        rows: Rows,
        reading: Reading,
        adapted: Switch,
    ) -> Tensor:
        """Packed hidden states `[N, width]` to the same, each from its slot's keys up to its own position."""
        query_key = torch.cat([self.q_proj(hidden, adapted), self.k_proj(hidden, adapted)], dim=-1)
        rotated = rotate(query_key.view(len(hidden), -1, self.head_dim), rotation)  # [N, H + kv_heads, d]
        query, key = rotated[:, : -self.kv_heads], rotated[:, -self.kv_heads :]
        value = self.v_proj(hidden, adapted).view(len(hidden), -1, self.head_dim)
        keys, values = rows.append(memory[0], key), rows.append(memory[1], value)  # [B, kv_heads, length, d]
        spread = query if reading.pick is None else query.index_select(0, reading.pick)
        # heads that share keys stand side by side as further queries: [B, kv_heads, group * T, d]
        spread = spread.reshape(len(keys), -1, self.kv_heads, self.group, self.head_dim).permute(0, 2, 3, 1, 4)
        visible = None if reading.visible is None else reading.visible.repeat(1, 1, self.group, 1)
        mixed = F.scaled_dot_product_attention(spread.flatten(2, 3), keys, values, visible, scale=self.scale)
        mixed = mixed.view(len(keys), self.kv_heads, self.group, -1, self.head_dim).permute(0, 3, 1, 2, 4)
        mixed = mixed.reshape(-1, self.q_proj.out_features)
        if reading.places is not None:
            mixed = mixed.index_select(0, reading.places)
        return self.o_proj(mixed, adapted)


class GatedFeedForward(nn.Module):
    """SwiGLU: down(silu(gate) * up)."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.gate_proj = Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.up_proj = Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down_proj = Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(self, hidden: Tensor) -> Tensor:
        """`[N, width]` to `[N, width]`."""
        return self.down_proj(F.silu(self.gate_proj(hidden)) * self.up_proj(hidden))


def rotate(heads: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    """Rotary positions (https://arxiv.org/abs/2104.09864) on `[N, H, d]`: the two halves of a head form the pairs.

    `rotation` is cosine and signed sine `[N, 1, d]` of each position's angles, the sine negative for the first half.
    """
    cos, sin = rotation
    return heads * cos + heads.roll(heads.shape[-1] // 2, -1) * sin
