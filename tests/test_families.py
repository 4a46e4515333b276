"""Each family of IBM's checkpoints equals transformers at its true widths, from features to text.

The weights are random and there are two layers of each stack; the vocabulary, the one width that is no more than the
length of a table, is cut so that two networks after each other fit 2 GB. The files are written by transformers in the
hub's layout, in bfloat16 as IBM's are, and loaded by both.

In float32 nothing but the order of sums differs, over up to 8192 terms: the largest difference of values of the order
of one is at most 1e-5. The 8b would need 2 GB for itself in float32, so it is run in bfloat16. There every step rounds
by up to 2**-9, in both networks, some fifty times on the way: that makes a few percent of the values, on average.
"""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import (
    AutoConfig,
    GraniteSpeechFeatureExtractor,
    GraniteSpeechForConditionalGeneration,
    GraniteSpeechPlusForConditionalGeneration,
)

from model.lora import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from model.speech import GraniteSpeech, Span
from tests.checkpoints import AUDIO_TOKEN, TEMPLATE_3, TEMPLATE_4, WRITE, change, samples_for, scaled, speech, tokenizer
from tests.shapes import ADAPTER, shape

VOCABULARY = 4096
NOISE = 4_194_301  # values, a prime: repeated over and over they never meet themselves in a matrix
GAINS = {"q_proj": 4.0, "k_proj": 4.0, "o_proj": 8.0, "down_proj": 8.0}
WORDS = 8  # tokens, each one letter
SAMPLES = speech(samples_for(47), seed=3)
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 0.03}


@dataclass(frozen=True)
class Family:
    """Checkpoints of one shape."""

    name: str
    template: str
    dtype: torch.dtype = torch.float32

    def __str__(self) -> str:
        return self.name.removeprefix("ibm-granite/")

    @property
    def kind(self) -> type[GraniteSpeechForConditionalGeneration]:
        plus = shape(self.name)["model_type"] == "granite_speech_plus"
        return GraniteSpeechPlusForConditionalGeneration if plus else GraniteSpeechForConditionalGeneration


FAMILIES = (
    Family("ibm-granite/granite-speech-3.3-2b", TEMPLATE_3),
    Family("ibm-granite/granite-speech-3.3-8b", TEMPLATE_3, torch.bfloat16),
    Family("ibm-granite/granite-speech-4.1-2b", TEMPLATE_4),
    Family("ibm-granite/granite-speech-4.1-2b-plus", TEMPLATE_3),
)


@dataclass(frozen=True)
class Stages:
    """What a network makes of the recording."""

    features: Tensor  # [T, 160]
    hidden: Tensor  # [T, D]
    characters: Tensor  # [T, labels] logarithms of probabilities
    embeddings: Tensor  # [M, width]
    logits: Tensor  # [positions, vocabulary]
    plain_logits: Tensor  # the same without the adapter
    text: str


def write(family: Family, directory: Path) -> None:
    """A checkpoint directory as a download would be."""
    values = shape(family.name, layers=2)
    values["text_config"]["vocab_size"] = VOCABULARY
    values["text_config"] |= {"eos_token_id": 0, "bos_token_id": 0, "pad_token_id": 3}
    values["audio_token_index"] = AUDIO_TOKEN
    (directory / "config.json").write_text(json.dumps(values))
    config = AutoConfig.from_pretrained(directory)
    config.dtype = torch.bfloat16
    with torch.device("meta"):
        network = family.kind(config)
    network = network.to(torch.bfloat16).to_empty(device="cpu")
    network.tie_weights()
    noise = torch.randn(NOISE, generator=torch.Generator().manual_seed(4))
    for index, (name, tensor) in enumerate(sorted(network.state_dict(keep_vars=True).items())):
        if tensor.is_floating_point():
            fill(name, tensor.data, noise.roll(1009 * index))
    for table in (network.get_input_embeddings().weight, network.lm_head.weight):
        table.data[AUDIO_TOKEN:] = 0  # letters alone are said: a placeholder would be taken for audio
    network.save_pretrained(directory, save_original_format=True, max_shard_size="300MB")
    if values["has_lora_adapter"]:
        write_adapter(values["text_config"], directory, noise)
    change(directory / "config.json", has_lora_adapter=values["has_lora_adapter"])
    tokenizer().save(str(directory / "tokenizer.json"))
    (directory / "chat_template.jinja").write_text(family.template)


def fill(name: str, tensor: Tensor, noise: Tensor) -> None:
    repeated = noise.repeat(-(-tensor.numel() // NOISE))[: tensor.numel()].view(tensor.shape)
    # a last norm around one would let every token of a tied table be followed by itself
    tensor.copy_(repeated if name.endswith("language_model.norm.weight") else scaled(name, repeated, GAINS))


def write_adapter(text: dict[str, int], directory: Path, noise: Tensor) -> None:
    """With the keys that are on the hub."""
    width, rank = text["hidden_size"], ADAPTER["r"]
    targets = {"q_proj": width, "v_proj": width * text["num_key_value_heads"] // text["num_attention_heads"]}
    tensors = {}
    for layer in range(text["num_hidden_layers"]):
        for index, (name, size) in enumerate(targets.items()):
            key = f"base_model.model.language_model.model.layers.{layer}.self_attn.{name}"
            down, up = noise[index : index + rank * width], noise[layer : layer + size * rank]
            tensors[f"{key}.lora_A.weight"] = down.view(rank, width) / width**0.5
            tensors[f"{key}.lora_B.weight"] = up.view(size, rank) * 4 / rank**0.5
    save_file({key: tensor.bfloat16() for key, tensor in tensors.items()}, directory / ADAPTER_WEIGHTS)
    (directory / ADAPTER_CONFIG).write_text(json.dumps(ADAPTER))


def theirs(family: Family, directory: Path, prompt: tuple[list[int], list[int]]) -> Stages:
    network = family.kind.from_pretrained(str(directory), dtype=family.dtype).eval()
    features = GraniteSpeechFeatureExtractor()(SAMPLES)["input_features"]
    encoder = network.model.encoder
    hidden = encoder(features.to(family.dtype)).last_hidden_state
    embeddings = network.model.projector(hidden)[0]
    ids = torch.tensor([[*prompt[0], *[AUDIO_TOKEN] * len(embeddings), *prompt[1]]])
    mask = torch.ones(1, len(embeddings), dtype=torch.bool)
    inputs = {"input_ids": ids, "input_features": features, "input_features_mask": mask}
    scaling = network.config.text_config.logits_scaling  # which the reference's speech model forgets
    logits = plain = network(**inputs).logits[0] / scaling
    if network._hf_peft_config_loaded:
        network.disable_adapters()
        plain = network(**inputs).logits[0] / scaling
    said = network.generate(**inputs, do_sample=False, max_new_tokens=WORDS)[0, ids.shape[1] :]
    return Stages(
        features=features[0],
        hidden=hidden[0],
        characters=encoder.out(hidden[0, :, -encoder.config.hidden_dim :]).float().log_softmax(-1),
        embeddings=embeddings,
        logits=logits,
        plain_logits=plain,
        text=tokenizer().decode(said.tolist()).strip(),
    )


def ours(network: GraniteSpeech) -> Stages:
    features = network.features(SAMPLES)
    (heard,) = network.encode([Span(features)])
    prompt, embed = network.processor.prompt("write"), network.language_model.embed
    inputs = torch.cat([embed(prompt.prefix), heard.embeddings, embed(prompt.suffix)])
    logits, plain = (network.language_model(inputs, [len(inputs)], audio) for audio in (True, False))
    text = network.transcribe(SAMPLES, WRITE, max_tokens=WORDS)
    return Stages(features, heard.hidden, heard.log_probs, heard.embeddings, logits, plain, text)


@pytest.fixture(scope="module", autouse=True)
def without_gradients() -> Iterator[None]:
    with torch.inference_mode():
        yield


@pytest.mark.parametrize("family", FAMILIES, ids=str)
def test_a_family_at_full_width_equals_the_reference(family: Family, tmp_path: Path) -> None:
    write(family, tmp_path)
    gc.collect()
    network = GraniteSpeech.load(tmp_path, dtype=family.dtype)
    prompt, mine = network.processor.prompt("write"), ours(network)
    del network
    gc.collect()
    reference = theirs(family, tmp_path, (prompt.prefix, prompt.suffix))
    for field in fields(Stages):
        found, expected = getattr(mine, field.name), getattr(reference, field.name)
        if isinstance(found, Tensor):
            assert error(found, expected, family.dtype) < TOLERANCE[family.dtype], field.name
    assert mine.text
    assert mine.text == reference.text
    adapted = not torch.equal(mine.logits, mine.plain_logits)
    assert adapted == shape(family.name)["has_lora_adapter"]


def error(found: Tensor, expected: Tensor, dtype: torch.dtype) -> float:
    """How far two stages are from each other: the largest difference, or in bfloat16 the root of the mean square."""
    difference = found.float() - expected.float()
    if dtype == torch.float32:
        return difference.abs().max().item()
    return (difference.norm() / expected.float().norm()).item()
