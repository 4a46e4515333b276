"""The true shape of granite-speech 4.1-2b with random weights in bfloat16: `model.transcribe` against transformers.

Both networks are made of the same tensors, so memory holds them once (4.6 GB). About 10 s of speech, exactly 12 new
tokens: stop tokens are switched off on both sides. Definitions as in `offline`. Needs 8 GiB of free memory.
"""

from __future__ import annotations

import dataclasses

import psutil
import torch
from torch import Tensor
from transformers import GraniteSpeechConfig, GraniteSpeechForConditionalGeneration
from transformers.models.granite.modeling_granite import GraniteRotaryEmbedding

from model.alignment import Alphabet
from model.checkpoint import NANO, canonical
from model.config import SpeechConfig
from model.processor import Processor
from model.speech import GraniteSpeech
from tests.benchmarks.common import SAMPLE_RATE, Settings, recordings
from tests.benchmarks.offline import compare, derive, embeddings, parts, show
from tests.benchmarks.reference import Reference
from tests.benchmarks.report import save, table

TOKENS = 12
SECONDS = 10
NEEDED_GIB = 8
AUDIO_TOKEN = 3  # that of nano's tokenizer, which stands in for the real one
SHAPE = {
    "encoder_config": {"num_layers": 16, "hidden_dim": 1024, "output_dim": 348, "num_heads": 8, "dim_head": 128},
    "projector_config": {
        "hidden_size": 1024,
        "encoder_hidden_size": 1024,
        "num_hidden_layers": 2,
        "num_attention_heads": 16,
        "intermediate_size": 4096,
    },
    "text_config": {
        "model_type": "granite",
        "vocab_size": 100_353,
        "hidden_size": 2048,
        "intermediate_size": 4096,
        "num_hidden_layers": 40,
        "num_attention_heads": 16,
        "num_key_value_heads": 4,
        "max_position_embeddings": 4096,
        "attention_multiplier": 1 / 128,
        "embedding_multiplier": 12.0,
        "residual_multiplier": 0.22,
        "logits_scaling": 8.0,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10_000.0},
        "tie_word_embeddings": False,
    },
}


def run(settings: Settings) -> None:
    """Builds both, measures both."""
    free = psutil.virtual_memory().available / 2**30
    if free < NEEDED_GIB:
        print(f"offline_2b left out: it needs {NEEDED_GIB} GiB of memory, {free:.1f} are free")
        return
    config = GraniteSpeechConfig(
        **SHAPE, audio_token_index=AUDIO_TOKEN, has_lora_adapter=False, tie_word_embeddings=False
    )
    network = ours(config)
    reference = Reference(theirs(config, network))
    clip = recordings()["talk"][: SECONDS * SAMPLE_RATE]
    network.transcribe(clip, max_tokens=1)
    reference.transcribe(clip, max_tokens=1)
    pairs = {
        "transcribe": (
            lambda: reference.transcribe(clip, max_tokens=TOKENS, min_new_tokens=TOKENS),
            lambda: network.transcribe(clip, max_tokens=TOKENS),
        ),
        **parts(network, reference, [clip]),
    }
    results = {name: compare(*pair, min(settings.repeats, 2)) for name, pair in pairs.items()}
    derive(results, TOKENS)
    parameters = sum(each.numel() for each in network.parameters())
    show(f"4.1-2b shape, {parameters / 1e9:.2f} B parameters, bfloat16, {SECONDS} s of audio", results)
    table("difference of embeddings", ("relative maximum",), [[difference(network, reference, clip)]])
    more = {"parameters": parameters, "audio_seconds": SECONDS, "tokens": TOKENS, "dtype": "bfloat16"}
    save("offline_2b", settings, {"results": results, **more})


def ours(config: GraniteSpeechConfig) -> GraniteSpeech:
    """Our network with random weights; nothing is saved."""
    shape = SpeechConfig.parse(config.to_dict())
    with torch.device("meta"):
        network = GraniteSpeech(shape)
    noise = torch.randn(1 << 20, generator=torch.Generator().manual_seed(0)).bfloat16()
    network.load_state_dict(
        {name: _draw(name, each, noise) for name, each in network.state_dict().items()}, assign=True
    )
    network.equip(Processor.read(NANO, shape))
    network.processor.stop_token = -1  # no token is: decoding goes on to the limit
    network.alphabet = Alphabet(
        dataclasses.replace(shape, ctc_labels=("",))
    )  # a head that spells nothing drafts nothing
    return network.eval().requires_grad_(False)


def _draw(name: str, shape: Tensor, noise: Tensor) -> Tensor:
    """Noise scaled so that activations stay of the order of one; the same million numbers over and over."""
    if not shape.is_floating_point():
        return torch.zeros(shape.shape, dtype=shape.dtype)
    if shape.ndim == 1:
        return (torch.ones if "norm" in name.lower() and not name.endswith(("bias", "mean")) else torch.zeros)(
            shape.shape, dtype=torch.bfloat16
        )
    drawn = torch.empty(shape.shape, dtype=torch.bfloat16)
    scaled = noise / shape[0].numel() ** 0.5
    for piece in drawn.flatten().split(len(noise)):
        piece.copy_(scaled[: len(piece)])
    return drawn


def theirs(config: GraniteSpeechConfig, network: GraniteSpeech) -> GraniteSpeechForConditionalGeneration:
    """transformers' network over our tensors."""
    with torch.device("meta"):
        result = GraniteSpeechForConditionalGeneration(config)
    tensors = network.state_dict()
    result.load_state_dict({name: tensors[canonical(name)] for name in result.state_dict()}, assign=True)
    # tables that are computed, not stored, are still without memory
    result.model.language_model.rotary_emb = GraniteRotaryEmbedding(config.text_config)
    places = torch.arange(config.encoder_config.context_size)
    result.model.encoder.attention_dists = places[:, None] - places + config.encoder_config.max_pos_emb
    result.generation_config.eos_token_id = None
    return result.eval().requires_grad_(False)


def difference(network: GraniteSpeech, reference: Reference, clip: Tensor) -> float:
    """How far the two are apart: a sign that they compute the same."""
    mine, other = embeddings(network, clip).float(), reference.embeddings(clip)[0].float()
    return float((mine - other).abs().max() / other.abs().max())
