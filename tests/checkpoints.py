"""Small checkpoints with random weights, built and saved by transformers' own classes: the oracle and its files.

Widths are small and unlike each other, so that no two axes can be exchanged unseen. Weights are drawn so that every
activation is of the order of one and attention looks at some places more than at others; norms, biases and running
statistics are far from their initial values, so that none can be left out unseen.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import av
import torch
from peft import LoraConfig, get_peft_model_state_dict
from safetensors.torch import save_file
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor, nn
from transformers import (
    GraniteSpeechConfig,
    GraniteSpeechForConditionalGeneration,
    GraniteSpeechPlusConfig,
    GraniteSpeechPlusForConditionalGeneration,
)
from transformers.utils import logging

from model import Wish

SPECIAL = ("<|end_of_text|>", "<|start_of_role|>", "<|end_of_role|>", "<|pad|>")
LETTERS = ("\n", *(chr(code) for code in (*range(32, 127), *range(192, 384))))  # one token a character
WRITE = Wish(prompt="write")
AUDIO_TOKEN = len(SPECIAL) + len(LETTERS)  # the last row of the table, as in the real checkpoints
VOCABULARY = AUDIO_TOKEN + 1

# Gains in the language model that make up for its attention multiplier 1/64 and its residual multiplier 0.22.
GAINS = {"q_proj": 8.0, "k_proj": 8.0, "o_proj": 8.0, "down_proj": 8.0}

TEMPLATE_3 = (
    "{%- for message in messages %}<|start_of_role|>{{ message['role'] }}<|end_of_role|>{{ message['content'] }}"
    "<|end_of_text|>\n{% endfor %}{%- if add_generation_prompt %}<|start_of_role|>assistant<|end_of_role|>{%- endif %}"
)
TEMPLATE_4 = (
    "{%- for message in messages %}{%- if message['role'] == 'user' %}USER: {{ message['content'] }}"
    "{{- '\n ' }}{% endif %}{%- endfor %}{%- if add_generation_prompt %}ASSISTANT:{%- endif %}"
)

logging.disable_progress_bar()


@dataclass(frozen=True)
class Variant:
    """What differs between checkpoints; everything else is the same small network."""

    name: str
    encoder_layers: int = 10
    labels: int = 42
    cat_hidden_layers: tuple[int, ...] = ()
    tied: bool = True
    kv_heads: int = 2  # of 4 heads: groups of 2
    cross_attention_frequency: int = 1
    rope_theta: float = 10_000.0

    def __str__(self) -> str:
        return self.name


VARIANTS = (
    Variant("default", kv_heads=4, rope_theta=1e7),
    Variant("3.3", 16, 256, kv_heads=2, rope_theta=1e7),
    Variant("4.0-untied", 16, 348, tied=False, kv_heads=1),
    Variant("4.1-sparse-cross", 16, 348, kv_heads=1, cross_attention_frequency=2),
    Variant("plus", 16, 348, cat_hidden_layers=(3,)),
    Variant("plus-two", 10, 348, cat_hidden_layers=(0, 3), tied=False),
    Variant("plus-middle", 10, 348, cat_hidden_layers=(5,), kv_heads=1),
)


@cache
def reference(variant: Variant) -> GraniteSpeechForConditionalGeneration:
    """The oracle: transformers' network of this variant, always with the same random weights."""
    plus = bool(variant.cat_hidden_layers)
    encoder = {
        "num_layers": variant.encoder_layers,
        "output_dim": variant.labels,
        "hidden_dim": 32,
        "num_heads": 2,
        "dim_head": 24,
        "feedforward_mult": 3,
        **({"cat_hidden_layers": list(variant.cat_hidden_layers)} if plus else {}),
    }
    projector = {
        "hidden_size": 40,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 72,
        "encoder_hidden_size": 32 * (1 + len(variant.cat_hidden_layers)),
        "cross_attention_frequency": variant.cross_attention_frequency,
    }
    text = {
        "vocab_size": VOCABULARY,
        "hidden_size": 64,
        "intermediate_size": 112,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": variant.kv_heads,
        "embedding_multiplier": 12.0,
        "residual_multiplier": 0.22,
        "attention_multiplier": 1 / 64,
        "logits_scaling": 8.0,
        "rms_norm_eps": 1e-5,
        "rope_parameters": {"rope_type": "default", "rope_theta": variant.rope_theta},
        "bos_token_id": 0,
        "eos_token_id": 0,
        "pad_token_id": 3,
        "tie_word_embeddings": variant.tied,
    }
    config = (GraniteSpeechPlusConfig if plus else GraniteSpeechConfig)(
        encoder_config=encoder,
        projector_config=projector,
        text_config={"model_type": "granite", **text},
        audio_token_index=AUDIO_TOKEN,
        has_lora_adapter=False,
        tie_word_embeddings=variant.tied,
    )
    kind = GraniteSpeechPlusForConditionalGeneration if plus else GraniteSpeechForConditionalGeneration
    network = kind(config).eval().requires_grad_(False)
    randomise(network, seed=1)
    # never said: the reference would take a placeholder among its own words for audio, and read another row instead
    network.get_input_embeddings().weight[AUDIO_TOKEN] = 0
    network.lm_head.weight[AUDIO_TOKEN] = 0
    return network


def randomise(network: nn.Module, seed: int) -> None:
    """Draws every weight and running statistic anew."""
    generator = torch.Generator().manual_seed(seed)
    state = sorted(network.state_dict(keep_vars=True).items())
    for name, tensor in state:
        if tensor.is_floating_point():
            tensor.data.copy_(scaled(name, torch.randn(tensor.shape, generator=generator)))


def scaled(name: str, noise: Tensor, gains: Mapping[str, float] = GAINS) -> Tensor:
    """Normal noise as values that a tensor of this name may have; `gains` are for the language model."""
    if name.endswith("running_var"):
        return 0.5 + noise.abs()
    if "norm" in name.lower() and name.endswith("weight"):
        return 1 + 0.3 * noise
    if name.endswith(("bias", "running_mean")):
        return 0.3 * noise
    if name.endswith(("embed_tokens.weight", "lm_head.weight")):
        return noise / 12  # the embedding multiplier
    if name.endswith(("query", "rel_pos_emb.weight")):
        return noise
    fan_in = noise[0].numel()
    gain = gains.get(name.split(".")[-2], 1.3) if "language_model" in name else 1.3
    return noise * gain / fan_in**0.5


def tokenizer() -> Tokenizer:
    """One token a character, so that equal text means equal tokens."""
    vocabulary = {token: index for index, token in enumerate((*SPECIAL, *LETTERS, "<|audio|>"))}
    result = Tokenizer(models.WordLevel(vocabulary, unk_token="<|end_of_text|>"))
    result.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    result.decoder = decoders.Fuse()
    result.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in (*SPECIAL, "<|audio|>")])
    return result


def save(variant: Variant, directory: Path, *, hub_keys: bool = True, sharded: bool = False) -> Path:
    """Writes a whole checkpoint directory, as a download would be.

    Args:
        variant: which network.
        directory: where to.
        hub_keys: the hub's names of tensors; else those of transformers 5's own modules.
        sharded: several files, an index, and beside them a shard that the index does not name.
    """
    reference(variant).save_pretrained(
        directory, save_original_format=hub_keys, max_shard_size="200KB" if sharded else "1GB"
    )
    if sharded:
        save_file({"encoder.orphan": torch.zeros(3)}, directory / "model-99999-of-99999.safetensors")
    tokenizer().save(str(directory / "tokenizer.json"))
    (directory / "tokenizer_config.json").write_text(json.dumps({"chat_template": TEMPLATE_4}))
    return directory


def adapt(
    variant: Variant, directory: Path, *, prefix: str = "base_model.model.", hub_keys: bool = True, **options: object
) -> Path:
    """Adds a LoRA adapter, as peft makes it, to a checkpoint that `save` wrote.

    Args:
        variant: which network.
        directory: where the checkpoint is.
        prefix: what stands before each of the adapter's keys.
        hub_keys: the hub's names of layers; else those of transformers 5's own modules.
        options: of peft's configuration.
    """
    network = copy.deepcopy(reference(variant))
    network.add_adapter(LoraConfig(**{"r": 6, "lora_alpha": 9, "target_modules": ["q_proj", "v_proj"], **options}))
    generator = torch.Generator().manual_seed(2)
    tensors = {}
    for name, tensor in sorted(get_peft_model_state_dict(network, adapter_name="default").items()):
        noise = torch.randn(tensor.shape, generator=generator) * (3 if "lora_B" in name else 1) / tensor.shape[1] ** 0.5
        name = name.replace("model.language_model.", "language_model.model.") if hub_keys else name
        tensors[prefix + name] = noise
    save_file(tensors, directory / "adapter_model.safetensors")
    network.peft_config["default"].save_pretrained(str(directory))
    change(directory / "config.json", has_lora_adapter=True)
    return directory


def change(path: Path, **values: object) -> None:
    """Sets values of a JSON file."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def speech(samples: int, seed: int = 0) -> Tensor:
    """Samples `[T]` whose loudness and pitch wander as those of speech do."""
    generator = torch.Generator().manual_seed(seed)
    time = torch.arange(samples) / 16_000  # seconds
    voice = sum(torch.sin(2 * torch.pi * 130 * k * time + 4 * torch.sin(3 * time * k)) / k for k in range(1, 20))
    loudness = 0.02 + torch.sin(2 * torch.pi * 1.7 * time).clamp(min=0)
    return (0.1 * loudness * (voice + 0.3 * torch.randn(samples, generator=generator))).float()


def samples_for(frames: int, odd: bool = False) -> int:
    """Samples that become this many encoder frames; `odd` adds a mel frame without a partner."""
    return 320 * frames - (0 if odd else 160)


def recording(path: Path) -> Tensor:
    """Samples `[T]` of a 16 kHz mono recording."""
    with av.open(str(path)) as container:
        parts = [torch.from_numpy(frame.to_ndarray()[0]) for frame in container.decode(audio=0)]
    samples = torch.cat(parts)
    return samples if samples.is_floating_point() else samples / (torch.iinfo(samples.dtype).max + 1)
