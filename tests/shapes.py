"""The true shapes of IBM's checkpoints, as their `config.json` gives them, in the form of transformers 5."""

from __future__ import annotations

import copy
from typing import Any

ENCODER = {
    "num_layers": 16,
    "output_dim": 348,
    "hidden_dim": 1024,
    "num_heads": 8,
    "dim_head": 128,
    "feedforward_mult": 4,
    "context_size": 200,
    "max_pos_emb": 512,
    "conv_kernel_size": 15,
    "conv_expansion_factor": 2,
}
PROJECTOR = {
    "hidden_size": 1024,
    "num_hidden_layers": 2,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
    "encoder_hidden_size": 1024,
    "cross_attention_frequency": 1,
}
TEXT_4 = {
    "vocab_size": 100353,
    "hidden_size": 2048,
    "intermediate_size": 4096,
    "num_hidden_layers": 40,
    "num_attention_heads": 16,
    "num_key_value_heads": 4,
    "max_position_embeddings": 4096,
    "embedding_multiplier": 12.0,
    "residual_multiplier": 0.22,
    "attention_multiplier": 1 / 128,
    "logits_scaling": 8.0,
    "rms_norm_eps": 1e-5,
    "rope_parameters": {"rope_type": "default", "rope_theta": 1e4},
    "eos_token_id": 100257,
}
TEXT_2B = {
    **TEXT_4,
    "vocab_size": 49160,
    "intermediate_size": 8192,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "max_position_embeddings": 131072,
    "attention_multiplier": 1 / 64,
    "rope_parameters": {"rope_type": "default", "rope_theta": 1e7},
    "eos_token_id": 0,
}
TEXT_8B = {
    **TEXT_2B,
    "hidden_size": 4096,
    "intermediate_size": 12800,
    "attention_multiplier": 1 / 128,
    "logits_scaling": 16.0,
}


def _shape(text: dict[str, Any], tied: bool = True, **more: Any) -> dict[str, Any]:
    encoder, projector = {**ENCODER, **more.pop("encoder", {})}, {**PROJECTOR, **more.pop("projector", {})}
    return {
        "model_type": "granite_speech",
        "encoder_config": encoder,
        "projector_config": projector,
        "text_config": {"model_type": "granite", **text, "tie_word_embeddings": tied},
        "tie_word_embeddings": tied,
        "audio_token_index": text["vocab_size"] - 1,
        "has_lora_adapter": False,
        **more,
    }


SHAPES = {
    "ibm-granite/granite-speech-3.2-8b": _shape(
        TEXT_8B, encoder={"num_layers": 10, "output_dim": 42}, has_lora_adapter=True
    ),
    "ibm-granite/granite-speech-3.3-2b": _shape(TEXT_2B, encoder={"output_dim": 256}, has_lora_adapter=True),
    "ibm-granite/granite-speech-3.3-8b": _shape(TEXT_8B, encoder={"output_dim": 256}, has_lora_adapter=True),
    "ibm-granite/granite-4.0-1b-speech": _shape(TEXT_4, tied=False),
    "ibm-granite/granite-speech-4.1-2b": _shape(TEXT_4, tied=False),
    "ibm-granite/granite-speech-4.1-2b-plus": _shape(
        TEXT_4,
        model_type="granite_speech_plus",
        encoder={"cat_hidden_layers": [3]},
        projector={"encoder_hidden_size": 2048},
    ),
}
ADAPTER = {"peft_type": "LORA", "r": 64, "lora_alpha": 32, "target_modules": ["q_proj", "v_proj"]}


def shape(name: str, layers: int | None = None) -> dict[str, Any]:
    """A checkpoint's configuration at full width; `layers` of encoder and language model if not all."""
    values = copy.deepcopy(SHAPES[name])
    if layers is not None:
        values["encoder_config"]["num_layers"] = values["text_config"]["num_hidden_layers"] = layers
        if "cat_hidden_layers" in values["encoder_config"]:
            values["encoder_config"]["cat_hidden_layers"] = [1]  # the third does not exist
    return values
