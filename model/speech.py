"""The whole network: audio in, text out, and the two operations that streaming is made of.

`encode` turns stretches of many segments' features into embeddings and character probabilities; `extend` reads
embeddings and tokens into cache slots. `transcribe` is the offline reference: one `encode` of a whole utterance, then
`extend` until its text ends.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from torch import Tensor, nn

from model import memory
from model.alignment import Alphabet
from model.cache import KVCache
from model.checkpoint import load_weights, locate, size_of
from model.config import SpeechConfig
from model.dictation import Dictation
from model.encoder import Conformer, Edge
from model.features import SAMPLE_RATE, LogMel
from model.granite import Extension, Granite, Prediction
from model.guards import token_limit
from model.known import KNOWN
from model.linear import Bits, Kept, by_default
from model.processor import Processor, Prompt
from model.projector import Projector
from model.tasks import Wish

# oneDNN keeps what it has compiled for each shape it meets, and here every length of audio is another one: 1024 of them
# would be 300 MB after hours of talk, and keeping them saves no time. Read when it is first used.
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "16")

LOUDEST = 1e6  # far beyond any scale that audio comes in, and its power still fits float32: no NaN enters a cache
CHANNELS_AND_RATE = "pass one channel of 16 kHz samples"


@dataclass(slots=True)
class Span:
    """A stretch of one segment's features. Frames count from the segment's start."""

    features: Tensor  # [T, 160]
    start: int = 0  # its first frame: where its edge lies. Its windows begin there, wherever the segment's do
    left: Edge | None = None  # what lies left of it; None at the start of the segment
    borders: tuple[int, ...] = ()  # frames at which to keep an edge


@dataclass(frozen=True, slots=True)
class Heard:
    """What the encoder made of a span."""

    hidden: Tensor  # [T, D]
    log_probs: Tensor  # [T, labels] of the CTC head
    embeddings: Tensor  # [3 for each window, width]
    edges: list[Edge] = field(default_factory=list)  # one for each border asked for


class GraniteSpeech(nn.Module):
    """Encoder, projector and language model of one checkpoint, with its processor. Weights never change once loaded."""

    def __init__(self, config: SpeechConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Conformer(config.encoder)
        self.projector = Projector(config)
        self.language_model = Granite(config.text)
        self.features = LogMel()
        self.alphabet = Alphabet(config)
        self.processor: Processor
        self.continuations: Tensor  # [vocabulary] bool: tokens that go on with the word before them
        self.name = ""

    @classmethod
    def load(
        cls,
        model: str | Path = "nano",
        dtype: torch.dtype | None = None,
        device: str | torch.device = "cpu",
        quantize: Bits = "none",
        compile: bool = False,
    ) -> GraniteSpeech:
        """Loads `nano` (embedded), a checkpoint directory, or a repository of the Hugging Face hub.

        Args:
            model: `nano`, a path, or `owner/name`, `owner/name@revision` on the hub.
            dtype: of the weights; by default float32 for `nano` and bfloat16, as they are published, for others. What
                they are multiplied with has the same type, but by default float32 on a processor without bfloat16.
            device: where to put them.
            quantize: weights of linear layers to pack: all of them into eight bits, or those of the language model
                into four. The rest has `dtype`, by default the type that this machine computes in.
            compile: the layers with torch.compile, now; it takes a minute or more, and less the next time.

        Raises:
            CheckpointError: the checkpoint cannot be used; the message says why and what to do.
            GraniteStreamError: nothing can be compiled here; as above.
            ValueError: there is no such way to quantize, or the type is none of floating point.
        """
        if quantize not in get_args(Bits):
            raise ValueError(f"quantize is {quantize!r}; it must be one of {', '.join(get_args(Bits))}")
        if dtype is not None and not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
            raise ValueError(f"dtype is {dtype!r}; it must be torch.float32, torch.bfloat16 or torch.float16")
        name, device = str(model), torch.device(device)
        kept: Kept = quantize
        if dtype is None and name == "nano" and quantize == "none":
            dtype = torch.float32
        elif dtype is None:
            dtype, kept = by_default(quantize, device)
        form = memory.Form.of(dtype, kept)
        for known in KNOWN:
            if known.name == name.partition("@")[0]:
                memory.require(name, known.size, form, device)  # before gigabytes are fetched for nothing
        directory = locate(name)
        config = SpeechConfig.read(directory)
        processor = Processor.read(directory, config)
        with torch.device("meta"):
            network = cls(config)
        memory.require(name, size_of(network, directory), form, device)
        load_weights(network, directory, dtype, device, kept)
        network.equip(processor)
        network.name = name
        network.eval().requires_grad_(False)
        if compile:
            from model.compiling import compile_layers  # loads torch's compiler, which takes seconds

            compile_layers(network)
        return network

    def equip(self, processor: Processor) -> None:
        """Takes the processor that goes with the weights, once they are where they stay."""
        self.processor, self.continuations = processor, processor.continuations().to(self.device)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.encoder.input_linear.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights."""
        return self.encoder.input_linear.weight.dtype

    def cache(self, capacity: int) -> KVCache:
        """An empty cache whose slots hold `capacity` positions."""
        return KVCache(self.config.text, capacity, self.dtype, self.device)

    @torch.inference_mode()
    def encode(self, spans: Sequence[Span]) -> list[Heard]:
        """Encodes stretches of many segments at once; each gets what it would get alone."""
        spans_with_frames = [span for span in spans if len(span.features)]
        results = iter(self._encode(spans_with_frames) if spans_with_frames else [])
        return [next(results) if len(span.features) else self._nothing() for span in spans]

    def _encode(self, spans: Sequence[Span]) -> list[Heard]:
        lengths, left = [len(span.features) for span in spans], [span.left for span in spans]
        encoding = self.encoder(
            torch.cat([span.features for span in spans]).to(self.device, self.dtype),
            self.encoder.layout(lengths, left),
            left,
            [(clip, border - span.start) for clip, span in enumerate(spans) for border in span.borders],
        )
        hidden = encoding.hidden.split(lengths)
        windows = [self.projector.windows(each) for each in hidden]
        embeddings = self.projector(torch.cat(windows)).split([len(each) for each in windows])
        log_probs = encoding.logits.float().log_softmax(-1).cpu().split(lengths)
        edges = iter(encoding.edges)
        return [
            Heard(hidden[i], log_probs[i], embeddings[i].flatten(0, 1), [next(edges) for _ in span.borders])
            for i, span in enumerate(spans)
        ]

    def _nothing(self) -> Heard:
        empty = torch.empty(0, device=self.device, dtype=self.dtype)
        return Heard(
            empty.view(0, self.config.encoder.output_width),
            torch.empty(0, self.config.encoder.output_dim),
            empty.view(0, self.config.text.hidden_size),
        )

    @torch.inference_mode()
    def extend(self, extensions: Sequence[Extension], cache: KVCache) -> list[Prediction]:
        """See `Granite.extend`."""
        return self.language_model.extend(extensions, cache)

    @torch.inference_mode()
    def transcribe(self, samples: np.ndarray | Tensor, wish: Wish | None = None, max_tokens: int | None = None) -> str:
        """Writes down one utterance, offline: the reference that streaming is measured against.

        Args:
            samples: `[T]` float, 16 kHz, nominally within -1 to 1.
            wish: what the model is asked to do; by default to transcribe.
            max_tokens: decode like the reference, up to so many tokens; by default the guards against loops and
                inventions say when it is enough.

        Returns:
            The text. That of a wish for speakers or times has tags between its words: `model.tags.parse` reads them.

        Raises:
            ValueError: the samples have another shape or type, or the model has not enough positions for them and for
                what is said in them.
            WishError: the checkpoint cannot do this.
        """
        wish = wish or Wish()
        audio, prompt = as_samples(samples), self.processor.prompt(self.processor.instruction(wish))
        (heard,) = self.encode([Span(self.features(audio))])
        guarded = max_tokens is None
        if max_tokens is None:
            spelled_bytes = self.alphabet.spelled_bytes(heard.log_probs)
            max_tokens = token_limit(len(audio) / SAMPLE_RATE, spelled_bytes, wish.times, wish.speakers)
        if not max_tokens or not len(heard.embeddings):
            return ""
        heard_text = self.alphabet.text(heard.log_probs)
        draft = self.processor.encode(heard_text)
        read = len(prompt.prefix) + len(heard.embeddings) + len(prompt.suffix)
        positions = self.config.text.max_position_embeddings
        if read + len(draft) >= positions:
            raise ValueError(
                f"{len(audio) / SAMPLE_RATE:.0f} s of audio are too long for this model at once; stream it"
            )
        max_tokens = min(max_tokens, positions - read)
        cache = self.cache(read + max_tokens + len(draft) + 1)
        dictation = self.dictation(cache, prompt, guarded)
        dictation.begin(heard.embeddings, 0, max_tokens, draft, lambda: heard_text)
        while dictation.writing:
            (said,) = self.extend([dictation.extension()], cache)
            dictation.read(said)
        return self.processor.decode(dictation.tokens).strip()

    @torch.inference_mode()
    def answer(self, text: str, max_tokens: int = 256) -> str:
        """Answers a prompt without audio as the language model that the checkpoint began as: its adapter is off.

        Args:
            text: what the user says; the checkpoint's chat template is put around it.
            max_tokens: the longest answer.

        Raises:
            ValueError: the text holds a placeholder for audio, or the model has not enough positions for it.
        """
        ids = self.processor.question(text)
        if len(ids) >= (positions := self.config.text.max_position_embeddings):
            raise ValueError(
                f"the text has {len(ids)} tokens; the model has {positions} positions for it and an answer"
            )
        max_tokens = min(max_tokens, positions - len(ids))
        cache = self.cache(len(ids) + max_tokens)
        slot, said = cache.acquire(), list[int]()
        while len(said) < max_tokens:
            unread = self.language_model.embed([*ids, *said][cache.lengths[slot] :])
            extension = Extension(slot, cache.lengths[slot], unread, audio=False)
            (token,) = self.extend([extension], cache)[0].tokens
            if token == self.processor.stop_token:
                break
            said.append(token)
        return self.processor.decode(said).strip()

    def dictation(self, cache: KVCache, prompt: Prompt, guarded: bool = True) -> Dictation:
        """Something that writes down a segment, in a slot of `cache` that it holds until it is closed."""
        processor, embed = self.processor, self.language_model.embed
        return Dictation(cache, prompt, processor.stop_token, embed, processor.decode, guarded, self.continuations)


def as_samples(samples: np.ndarray | Tensor) -> Tensor:
    """One utterance as a float32 tensor `[T]`; NaN and infinities become silence and full scale.

    Raises:
        ValueError: more than one dimension, or not floating point.
    """
    audio = torch.as_tensor(samples)
    if audio.ndim != 1:
        raise ValueError(f"audio of shape {list(audio.shape)}: {CHANNELS_AND_RATE}, shape [T]")
    if not audio.is_floating_point():
        raise ValueError(f"audio of type {audio.dtype}: {CHANNELS_AND_RATE}, float within -1 to 1")
    return audio.float().nan_to_num(nan=0.0, posinf=1.0, neginf=-1.0).clamp(-LOUDEST, LOUDEST)
