"""The shape of a checkpoint, read from its `config.json`: every number of the network comes from here."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from types import UnionType
from typing import Any, Self

from model.errors import CheckpointError
from model.lora import ADAPTER_CONFIG, LoraConfig
from model.reading import read_object
from model.tasks import LANGUAGES

KINDS: dict[str, tuple[type | UnionType, str]] = {
    "int": (int, "a whole number"),
    "float": (int | float, "a number"),
    "str": (str, "a text"),
    "bool": (bool | None, "true or false"),
    "tuple[int, ...]": (list, "a list of whole numbers"),
    "tuple[str, ...]": (list, "a list of texts"),
}
FEATURES = 160  # of a frame of 20 ms: two mel frames of 80 bands
WINDOW_FRAMES = 15  # of 20 ms, which the projector takes at once: 300 ms, in every checkpoint there is
MOST_LAYERS = 1000  # more are a slip of somebody's pen, and would take for ever to make
CURE = (  # for weights of other types
    "granite-stream reads float32, float16 and bfloat16, and packs them itself: "
    "take the original checkpoint, with --quantize int8 or int4"
)


class _FromJson:
    """Builds a dataclass from the keys it knows and leaves the others (training settings, metadata) alone."""

    @classmethod
    def from_json(cls, values: dict[str, Any], section: str = "", **more: Any) -> Self:
        kinds = {field.name: str(field.type) for field in fields(cls)}  # type: ignore[arg-type]
        known = {name: value for name, value in values.items() if name in kinds and name not in more}
        for name, value in known.items():
            if fault := _fault(name, value, kinds[name]):
                place = f"{section}.{name}" if section else name
                raise CheckpointError(f"config.json: {place} is {value!r}, should be {fault}")
        try:
            lists = {name: tuple(value) for name, value in known.items() if isinstance(value, list)}
            return cls(**{**known, **lists}, **more)
        except TypeError as error:
            raise CheckpointError(f"config.json lacks a value: {error}") from None


def _section(values: dict[str, Any], name: str) -> dict[str, Any]:
    """An object within `config.json`; empty where it is left out."""
    found = values.get(name) or {}
    if not isinstance(found, dict):
        raise CheckpointError(f"config.json: {name} is {found!r}, should be an object")
    return dict(found)


def _fault(name: str, value: object, annotation: str) -> str:
    """What a value should be, if it is not."""
    kind, should = KINDS.get(annotation, (object, ""))
    if not isinstance(value, kind) or (isinstance(value, bool) and annotation != "bool"):
        return should
    if isinstance(value, list):
        inner = int if annotation == "tuple[int, ...]" else str
        return "" if all(isinstance(each, inner) for each in value) else should
    if annotation == "int" and isinstance(value, int):
        least = 0 if "token" in name else 1
        if value < least:
            return f"{least} or more"
        if name.endswith("layers") and value > MOST_LAYERS:
            return f"{MOST_LAYERS} at most"
    return ""


@dataclass(frozen=True, slots=True)
class EncoderConfig(_FromJson):
    """The conformer. Defaults are those of the reference's own configuration class."""

    input_dim: int = FEATURES
    num_layers: int = 10
    hidden_dim: int = 1024
    feedforward_mult: int = 4
    num_heads: int = 8
    dim_head: int = 128
    output_dim: int = 42  # labels of the CTC head, blank included
    context_size: int = 200  # frames that attend to each other: one block, 4 s
    max_pos_emb: int = 512  # the largest distance the position table holds
    conv_kernel_size: int = 15
    conv_expansion_factor: int = 2
    cat_hidden_layers: tuple[int, ...] = ()  # `plus`: layers whose output is concatenated to the last one

    @property
    def equal_share(self) -> int:
        """Width of a head where `dim_head` is left open."""
        return self.hidden_dim // self.num_heads

    @property
    def conv_dim(self) -> int:
        """Channels inside the convolution module."""
        return self.hidden_dim * self.conv_expansion_factor

    @property
    def output_width(self) -> int:
        """Width of what the encoder gives to the projector."""
        return self.hidden_dim * (1 + len(self.cat_hidden_layers))


@dataclass(frozen=True, slots=True)
class ProjectorConfig(_FromJson):
    """The BLIP-2 Q-Former that turns a window of frames into a few embeddings. Defaults are those of the reference."""

    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    encoder_hidden_size: int = 1408
    cross_attention_frequency: int = 2  # every how many layers the queries look at the frames
    layer_norm_eps: float = 1e-12
    hidden_act: str = "gelu"


@dataclass(frozen=True, slots=True)
class TextConfig(_FromJson):
    """Granite: a Llama with four multipliers. Defaults are those of the reference."""

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    max_position_embeddings: int = 2048
    embedding_multiplier: float = 1.0
    attention_multiplier: float = 1.0
    residual_multiplier: float = 1.0
    logits_scaling: float = 1.0
    rms_norm_eps: float = 1e-6
    rope_theta: float = 10000.0
    rope_type: str = "default"
    eos_token_id: int = 2
    tie_word_embeddings: bool = True
    hidden_act: str = "silu"
    attention_bias: bool = False
    mlp_bias: bool = False
    lora: LoraConfig | None = None  # from a file of its own

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.hidden_size // self.num_attention_heads


@dataclass(frozen=True, slots=True)
class SpeechConfig(_FromJson):
    """A whole Granite Speech checkpoint."""

    encoder: EncoderConfig
    projector: ProjectorConfig
    text: TextConfig
    audio_token_index: int
    window_size: int = WINDOW_FRAMES  # frames in a projector window, 300 ms
    downsample_rate: int = 5  # frames for each embedding
    has_lora_adapter: bool = False
    ctc_labels: tuple[str, ...] = ()  # characters of the CTC head from label 0 (blank) on; empty: Latin-1
    confidence_power: float = 1.0  # to which probabilities of words are raised, where that was measured to be honest
    only_transcribes: bool = False  # it knows one instruction and English, as `nano` does
    plus: bool = False  # the variant that may write speakers and times, and is asked in a way of its own

    @property
    def languages(self) -> tuple[str, ...]:
        """Codes of the languages that it hears; that 3.x knows no Japanese, only its adapter tells."""
        if self.only_transcribes:
            return ("en",)
        return tuple(code for code in LANGUAGES if code != "ja" or self.text.lora is None)

    @property
    def window_embeddings(self) -> int:
        """Embeddings that one window becomes."""
        return self.window_size // self.downsample_rate

    @classmethod
    def read(cls, directory: Path) -> SpeechConfig:
        """Reads `config.json` of a checkpoint directory, and what its adapter is where it has one.

        Raises:
            CheckpointError: a file is missing, is not JSON, or asks for what is not a Granite Speech model.
        """
        config = cls.read_alone(directory)
        # as the reference: an adapter that lies there is used even if config.json is silent, and one that it promises
        # must be there
        if config.has_lora_adapter or (directory / ADAPTER_CONFIG).exists():
            return replace(config, text=replace(config.text, lora=LoraConfig.read(directory)))
        return config

    @classmethod
    def read_alone(cls, directory: Path) -> SpeechConfig:
        """Reads `config.json` and nothing else: what a download needs to know before it is complete.

        Raises:
            CheckpointError: a file is missing, is not JSON, or asks for what is not a Granite Speech model.
        """
        path = directory / "config.json"
        try:
            return cls.parse(read_object(path))
        except FileNotFoundError:
            raise CheckpointError(f"{directory} has no config.json: is it a Granite Speech checkpoint?") from None

    @classmethod
    def parse(cls, values: dict[str, Any]) -> SpeechConfig:
        """Takes the contents of `config.json` in the form of transformers 4 or 5."""
        kind = values.get("model_type")
        if kind not in ("granite_speech", "granite_speech_plus"):
            named = f"describes a {kind!r} model" if kind else "names no model_type"
            raise CheckpointError(
                f"config.json {named}{_unlike(str(kind))}; "
                "granite-stream runs granite_speech and granite_speech_plus: granite-stream models lists them"
            )
        encoder, text = _section(values, "encoder_config"), _section(values, "text_config")
        if packed := _section(values, "quantization_config") or _section(text, "quantization_config"):
            raise CheckpointError(f"the weights are quantised ({packed.get('quant_method', 'unknown method')}); {CURE}")
        encoder["cat_hidden_layers"] = encoder.get("cat_hidden_layers") or []
        if "dim_head" in encoder and encoder["dim_head"] is None:
            encoder["dim_head"] = EncoderConfig.from_json({**encoder, "dim_head": 1}, "encoder_config").equal_share
        # transformers 5 moved the rotary base into a dictionary of its own
        rope = _section(text, "rope_parameters") or _section(text, "rope_scaling")
        text.setdefault("rope_theta", rope.get("rope_theta", 10000.0))
        text["rope_type"] = rope.get("rope_type", rope.get("type", "default"))
        # the outer value wins over that of text_config, as in the reference
        text["tie_word_embeddings"] = values.get("tie_word_embeddings", text.get("tie_word_embeddings", True))
        config = cls.from_json(
            {
                **values,
                "audio_token_index": values.get("audio_token_index", values.get("audio_token_id", 49155)),
                "plus": kind == "granite_speech_plus",
            },
            encoder=EncoderConfig.from_json(encoder, "encoder_config"),
            projector=ProjectorConfig.from_json(_section(values, "projector_config"), "projector_config"),
            text=TextConfig.from_json(text, "text_config"),
        )
        config._check(text.get("head_dim"))
        return config

    def _check(self, head_dim: int | None) -> None:
        """Refuses what this implementation would silently compute in another way."""
        encoder, projector, text = self.encoder, self.projector, self.text
        heads, kv_heads, layers = text.num_attention_heads, text.num_key_value_heads, encoder.cat_hidden_layers
        rows: tuple[tuple[str, object, str, bool], ...] = (  # name, value, what it must be, whether it is
            ("confidence_power", self.confidence_power, "above 0", self.confidence_power > 0),
            ("text_config.hidden_act", text.hidden_act, "silu", text.hidden_act == "silu"),
            ("projector_config.hidden_act", projector.hidden_act, "gelu", projector.hidden_act == "gelu"),
            ("text_config.rope_type", text.rope_type, "default", text.rope_type == "default"),
            ("text_config.num_attention_heads", heads, "a divisor of hidden_size", text.hidden_size % heads == 0),
            ("text_config.num_key_value_heads", kv_heads, "a divisor of num_attention_heads", heads % kv_heads == 0),
            (
                "projector_config.num_attention_heads",
                projector.num_attention_heads,
                "a divisor of hidden_size",
                projector.hidden_size % projector.num_attention_heads == 0,
            ),
            (
                "text_config.head_dim",
                head_dim,
                f"hidden_size / num_attention_heads = {text.head_dim}",
                head_dim in (None, text.head_dim),
            ),
            ("text_config.attention_bias", text.attention_bias, "false", not text.attention_bias),
            ("text_config.mlp_bias", text.mlp_bias, "false", not text.mlp_bias),
            ("cat_hidden_layers", list(layers), "0 to num_layers", all(0 <= n <= encoder.num_layers for n in layers)),
            ("conv_kernel_size", encoder.conv_kernel_size, "odd", encoder.conv_kernel_size % 2 == 1),
            (
                "context_size",
                encoder.context_size,
                "1 to max_pos_emb",
                0 < encoder.context_size <= encoder.max_pos_emb,
            ),
            ("input_dim", encoder.input_dim, str(FEATURES), encoder.input_dim == FEATURES),
            # streams count their updates in windows of 300 ms, and encode again what two of them may still change
            ("window_size", self.window_size, str(WINDOW_FRAMES), self.window_size == WINDOW_FRAMES),
            (
                "downsample_rate",
                self.downsample_rate,
                "a divisor of window_size",
                self.window_size % self.downsample_rate == 0,
            ),
            (
                "encoder_hidden_size",
                projector.encoder_hidden_size,
                f"the encoder gives {encoder.output_width}",
                projector.encoder_hidden_size == encoder.output_width,
            ),
        )
        found = [f"{name} {value!r} ({wanted})" for name, value, wanted, holds in rows if not holds]
        if found:
            raise CheckpointError("config.json asks for what granite-stream does not run: " + "; ".join(found))


def _unlike(kind: str) -> str:
    """What a relative of Granite Speech is, said where it is refused."""
    if not kind.startswith("granite_speech"):
        return ""
    if "ctc" in kind or kind.startswith("granite_speech5"):
        return ", an encoder that writes by its CTC head alone, which is not supported yet"
    if "nar" in kind or "nle" in kind:
        return ", which writes all its words at once (non-autoregressive) and is not supported yet"
    return ", which is not supported yet"
