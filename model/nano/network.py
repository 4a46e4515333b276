"""nano's shape: the `config.json` that travels with it, its alphabet, and the network made from them."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import torch

from model.config import SpeechConfig
from model.speech import GraniteSpeech

ALPHABET = " abcdefghijklmnopqrstuvwxyz'"  # CTC labels from 1 on; 0 is the blank
SPECIAL = ("<|end_of_text|>", "<|start_of_role|>", "<|end_of_role|>", "<|audio|>", "<|pad|>")
END, AUDIO, PAD = 0, 3, 4  # their token numbers
VOCABULARY = 1024
TEMPLATE = (
    "{%- for message in messages %}<|start_of_role|>{{ message['role'] }}<|end_of_role|>{{ message['content'] }}"
    "<|end_of_text|>\n{% endfor %}{%- if add_generation_prompt %}<|start_of_role|>assistant<|end_of_role|>{%- endif %}"
)


def hub_config(width: int = 192, layers: int = 8) -> dict[str, Any]:
    """`config.json` in the form of the hub."""
    head = width // 4
    return {
        "architectures": ["GraniteSpeechForConditionalGeneration"],
        "model_type": "granite_speech",
        "audio_token_index": AUDIO,
        "ctc_labels": ["", *ALPHABET],
        "downsample_rate": 5,
        "window_size": 15,
        "dtype": "float16",
        "has_lora_adapter": False,
        "initializer_range": 0.02,
        "tie_word_embeddings": True,
        "encoder_config": {
            "model_type": "granite_speech_encoder",
            "context_size": 200,
            "conv_expansion_factor": 2,
            "conv_kernel_size": 15,
            "dim_head": head,
            "dropout": 0.0,
            "feedforward_mult": 4,
            "hidden_dim": width,
            "input_dim": 160,
            "max_pos_emb": 512,
            "num_heads": 4,
            "num_layers": layers,
            "output_dim": 32,
        },
        "projector_config": {
            "model_type": "blip_2_qformer",
            "attention_probs_dropout_prob": 0.0,
            "cross_attention_frequency": 1,
            "encoder_hidden_size": width,
            "hidden_act": "gelu",
            "hidden_dropout_prob": 0.0,
            "hidden_size": width,
            "initializer_range": 0.02,
            "intermediate_size": 4 * width,
            "layer_norm_eps": 1e-12,
            "max_position_embeddings": 64,
            "num_attention_heads": 4,
            "num_hidden_layers": 2,
            "use_qformer_text_input": False,
            "vocab_size": 8,
        },
        "text_config": {
            "model_type": "granite",
            "attention_bias": False,
            "attention_dropout": 0.0,
            # the usual 1.0 of Granite's tables, or an embedding multiplier of 12, kept copying from being learned
            "attention_multiplier": head**-0.5,
            "embedding_multiplier": 1.0,
            "logits_scaling": 1.0,
            "residual_multiplier": 1.0,
            "bos_token_id": END,
            "eos_token_id": END,
            "pad_token_id": PAD,
            "hidden_act": "silu",
            "hidden_size": width,
            "initializer_range": 0.02,
            "intermediate_size": 3 * width,
            "max_position_embeddings": 2048,
            "mlp_bias": False,
            "num_attention_heads": 4,
            "num_hidden_layers": 4,
            "num_key_value_heads": 2,
            "rms_norm_eps": 1e-06,
            "rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"},
            "tie_word_embeddings": True,
            "use_cache": True,
            "vocab_size": VOCABULARY,
        },
    }


def new_network(config: dict[str, Any]) -> GraniteSpeech:
    """The package's own network of this shape, freshly initialised: as the reference does it, but for one table.

    The rows of the encoder's relative positions start near zero. As large as the reference makes them they are noise in
    attention to everything farther than half a second, and had not been unlearned after 300 hours of speech.
    """
    network = GraniteSpeech(SpeechConfig.parse(config))
    for name, parameter in network.encoder.named_parameters():
        if "rel_pos_emb" in name:
            parameter.data.normal_(0.0, config["initializer_range"])
    for name, parameter in network.language_model.named_parameters():
        if parameter.ndim == 2:
            parameter.data.normal_(0.0, config["initializer_range"])
        assert parameter.ndim <= 2, name
    return network


def config_of(path: Path) -> dict[str, Any]:
    """The shape of a stage's checkpoint, or of an exported model in its folder."""
    if path.is_dir():
        return dict(json.loads((path / "config.json").read_text()))
    return dict(torch.load(path, map_location="cpu", weights_only=True)["config"])


def network_of(path: Path) -> GraniteSpeech:
    """What a stage has reached, by its checkpoint's running mean, or an exported model from its folder; in float32."""
    if path.is_dir():
        return GraniteSpeech.load(str(path), torch.float32)
    saved = torch.load(path, map_location="cpu", weights_only=True)
    network = new_network(saved["config"])
    network.load_state_dict(saved["mean"])
    return network.eval()


def replica(network: GraniteSpeech) -> GraniteSpeech:
    """A second network with the same parameters but buffers of its own: for a worker beside the first."""
    twin = copy.deepcopy(network)
    for original, other in zip(network.modules(), twin.modules(), strict=True):
        other._parameters = original._parameters
    return twin
