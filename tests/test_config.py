"""Configurations as transformers 4 and 5 write them, and refusals of what would be computed wrongly in silence."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import MISSING, fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import Blip2QFormerConfig, GraniteConfig, GraniteSpeechConfig, GraniteSpeechEncoderConfig

from model.config import EncoderConfig, ProjectorConfig, SpeechConfig, TextConfig
from model.encoder import Conformer
from model.errors import CheckpointError
from model.granite import Granite
from model.lora import LoraConfig
from model.projector import Projector
from tests.checkpoints import AUDIO_TOKEN, VARIANTS, Variant, reference

PLAIN: dict[str, Any] = json.loads(reference(VARIANTS[0]).config.to_json_string())
PLUS: dict[str, Any] = json.loads(reference(VARIANTS[4]).config.to_json_string())


def changed(values: dict[str, Any] = PLAIN, **changes: Any) -> dict[str, Any]:
    """A configuration with some values changed; `text__rope_theta` is `rope_theta` in `text_config`; ... removes."""
    result = copy.deepcopy(values)
    for path, value in changes.items():
        section, _, key = path.rpartition("__")
        target = result[f"{section}_config"] if section else result
        if value is ...:
            target.pop(key)
        else:
            target[key] = value
    return result


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_every_number_is_the_references(variant: Variant) -> None:
    theirs = reference(variant).config
    ours = SpeechConfig.parse(json.loads(theirs.to_json_string()))
    pairs = (
        (ours.encoder, theirs.encoder_config, {"cat_hidden_layers"}),
        (ours.projector, theirs.projector_config, set()),
        (ours.text, theirs.text_config, {"rope_theta", "rope_type", "lora"}),
    )
    for mine, other, special in pairs:
        for field in fields(mine):
            if field.name not in special:
                assert getattr(mine, field.name) == getattr(other, field.name), field.name
    assert ours.encoder.cat_hidden_layers == variant.cat_hidden_layers
    assert ours.text.rope_theta == variant.rope_theta
    assert ours.text.tie_word_embeddings == variant.tied
    assert ours.audio_token_index == AUDIO_TOKEN
    assert ours.encoder.output_width == ours.projector.encoder_hidden_size


@pytest.mark.parametrize(
    ("ours", "theirs", "special"),
    [
        (EncoderConfig, GraniteSpeechEncoderConfig, {"cat_hidden_layers"}),
        (ProjectorConfig, Blip2QFormerConfig, set()),
        (TextConfig, GraniteConfig, {"rope_theta", "rope_type", "tie_word_embeddings", "lora"}),  # `parse` gives them
    ],
)
def test_defaults_are_the_references(ours: type, theirs: type, special: set[str]) -> None:
    known = [each.name for each in fields(ours) if each.default is not MISSING and each.name not in special]
    reference, sizes = theirs(), [each.name for each in fields(ours) if each.default is MISSING]
    mine = ours(**{name: getattr(reference, name) for name in sizes})
    assert {name: getattr(mine, name) for name in known} == {name: getattr(reference, name) for name in known}


def test_what_a_checkpoint_hears_follows_from_its_family() -> None:
    config = SpeechConfig.parse(PLAIN)
    assert config.languages == ("en", "fr", "de", "es", "pt", "ja")
    adapted = replace(config, text=replace(config.text, lora=LoraConfig(64, 0.5, frozenset({"q_proj"}))))
    assert adapted.languages == ("en", "fr", "de", "es", "pt")
    assert replace(config, only_transcribes=True).languages == ("en",)


def test_the_rotary_base_of_transformers_4_is_read() -> None:
    old = changed(text__rope_parameters=..., text__rope_theta=5e6, text__rope_scaling=None)
    assert SpeechConfig.parse(old).text.rope_theta == 5e6


@pytest.mark.parametrize(("name", "value"), [("audio_token_index", 77), ("audio_token_id", 77)])
def test_the_placeholder_has_two_names(name: str, value: int) -> None:
    values = changed(audio_token_index=...)
    assert SpeechConfig.parse({**values, name: value}).audio_token_index == value
    assert SpeechConfig.parse(values).audio_token_index == GraniteSpeechConfig().audio_token_index


@pytest.mark.parametrize(
    ("outer", "inner", "tied"),
    [
        (True, True, True),
        (False, False, False),
        (True, False, True),
        (False, True, False),
        (..., True, True),
        (..., False, False),
        (True, ..., True),
        (False, ..., False),
        (..., ..., True),
    ],
)
def test_the_outer_word_on_tying_counts_before_the_inner_one(outer: Any, inner: Any, tied: bool) -> None:
    values = changed(tie_word_embeddings=outer, text__tie_word_embeddings=inner)
    assert SpeechConfig.parse(values).text.tie_word_embeddings == tied


def test_a_head_width_that_is_left_open_is_an_equal_share() -> None:
    assert SpeechConfig.parse(changed(encoder__dim_head=None)).encoder.dim_head == 16


def test_training_settings_and_metadata_are_left_alone() -> None:
    values = changed(text__attention_dropout=0.1, encoder__layerdrop=0.3, anything={"at": "all"})
    assert SpeechConfig.parse(values) == SpeechConfig.parse(PLAIN)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"text__hidden_act": "gelu"}, "text_config.hidden_act 'gelu' (silu)"),
        ({"confidence_power": 0}, "confidence_power 0 (above 0)"),
        ({"confidence_power": "2"}, "confidence_power is '2', should be a number"),
        ({"text__attention_bias": True}, "text_config.attention_bias True (false)"),
        ({"text__mlp_bias": True}, "text_config.mlp_bias True (false)"),
        ({"text__head_dim": 20}, "text_config.head_dim 20 (hidden_size / num_attention_heads = 16)"),
        ({"text__eos_token_id": [0, 2]}, "text_config.eos_token_id is [0, 2], should be a whole number"),
        ({"text__rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4}}, "text_config.rope_type 'yarn' (default)"),
        (
            {"text__rope_parameters": None, "text__rope_scaling": {"type": "linear", "factor": 2}},
            "text_config.rope_type 'linear' (default)",
        ),
        ({"projector__hidden_act": "relu"}, "projector_config.hidden_act 'relu' (gelu)"),
        ({"projector__encoder_hidden_size": 64}, "encoder_hidden_size 64 (the encoder gives 32)"),
        ({"encoder__conv_kernel_size": 16}, "conv_kernel_size 16 (odd)"),
        ({"encoder__context_size": 600}, "context_size 600 (1 to max_pos_emb)"),
        ({"encoder__context_size": 0}, "encoder_config.context_size is 0, should be 1 or more"),
        ({"window_size": 5, "downsample_rate": 1}, "window_size 5 (15)"),
        ({"downsample_rate": 4}, "downsample_rate 4 (a divisor of window_size)"),
        ({"text__vocab_size": ...}, "config.json lacks a value: "),
        ({"model_type": "whisper"}, "describes a 'whisper' model"),
        ({"model_type": ...}, "names no model_type"),
        (
            {"model_type": "granite_speech_nar"},
            "writes all its words at once (non-autoregressive) and is not supported",
        ),
        ({"model_type": "granite_speech_ctc"}, "writes by its CTC head alone, which is not supported yet"),
        ({"model_type": "granite_speech_next"}, "which is not supported yet; granite-stream runs granite_speech and"),
        ({"quantization_config": {"quant_method": "fp8"}}, "quantised (fp8); granite-stream reads float32, float16"),
        ({"text__quantization_config": {"bits": 4}}, "quantised (unknown method); granite-stream reads"),
        ({"encoder__num_layers": "16"}, "encoder_config.num_layers is '16', should be a whole number"),
        ({"encoder__num_layers": 10**9}, "encoder_config.num_layers is 1000000000, should be 1000 at most"),
        ({"text__hidden_size": -64}, "text_config.hidden_size is -64, should be 1 or more"),
        ({"text__num_attention_heads": 5}, "text_config.num_attention_heads 5 (a divisor of hidden_size)"),
        ({"text__num_key_value_heads": 3}, "text_config.num_key_value_heads 3 (a divisor of num_attention_heads)"),
        ({"projector__num_attention_heads": 3}, "projector_config.num_attention_heads 3 (a divisor of hidden_size)"),
        ({"projector_config": "none"}, "projector_config is 'none', should be an object"),
        ({"ctc_labels": ["", 7]}, "ctc_labels is ['', 7], should be a list of texts"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_would_be_computed_wrongly_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(CheckpointError) as refusal:
        SpeechConfig.parse(changed(**changes))
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)


WRONG = (None, "sixteen", -1, 0, 1.5, [], {}, True, [1], 10**9)


def values_of(config: dict[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Where each value of a configuration stands."""
    for key, value in config.items():
        yield (*above, key)
        if isinstance(value, dict):
            yield from values_of(value, (*above, key))


@pytest.mark.parametrize("place", list(values_of(PLUS)), ids=".".join)
def test_whatever_a_value_is_it_is_taken_or_named_in_one_line(place: tuple[str, ...]) -> None:
    for value in WRONG:
        config = copy.deepcopy(PLUS)
        target = config
        for key in place[:-1]:
            target = target[key]
        target[place[-1]] = value
        refused = ""
        try:
            parsed = SpeechConfig.parse(config)
        except CheckpointError as error:
            refused = str(error)
        assert "\n" not in refused
        if not refused:
            with torch.device("meta"):
                Conformer(replace(parsed.encoder, hidden_dim=min(parsed.encoder.hidden_dim, 64)))
                Projector(parsed)
                Granite(parsed.text)


def test_plus_needs_a_projector_as_wide_as_all_its_layers() -> None:
    with pytest.raises(CheckpointError, match=r"encoder_hidden_size 64 \(the encoder gives 96\)"):
        SpeechConfig.parse(changed(PLUS, encoder__cat_hidden_layers=[3, 8]))


def test_all_faults_are_named_at_once() -> None:
    with pytest.raises(CheckpointError, match=r"mlp_bias .*; conv_kernel_size 4 .*; window_size 7 "):
        SpeechConfig.parse(changed(text__mlp_bias=True, encoder__conv_kernel_size=4, window_size=7))


@pytest.mark.parametrize(
    ("text", "message"),
    [(None, "has no config.json: is it a Granite Speech checkpoint?"), ("{", "cannot read"), ("[]", "cannot read")],
    ids=["missing", "cut short", "not an object"],
)
def test_a_directory_without_a_readable_configuration_is_refused(
    tmp_path: Path, text: str | None, message: str
) -> None:
    if text is not None:
        (tmp_path / "config.json").write_text(text)
    with pytest.raises(CheckpointError) as refusal:
        SpeechConfig.read(tmp_path)
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)
