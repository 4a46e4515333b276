"""transformers' Granite Speech as a user would run it, for the benchmarks that compare with it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import AutoTokenizer, GraniteSpeechFeatureExtractor, GraniteSpeechForConditionalGeneration
from transformers.utils import logging

from model.checkpoint import NANO
from model.features import SAMPLE_RATE
from model.guards import SPARE_TOKENS, TOKENS_PER_SECOND
from model.tasks import PLAIN

logging.disable_progress_bar()


class Reference:
    """Feature extractor, tokenizer, network; greedy."""

    def __init__(self, network: GraniteSpeechForConditionalGeneration) -> None:
        self.network = network
        self.extractor = GraniteSpeechFeatureExtractor()
        self.tokenizer = AutoTokenizer.from_pretrained(NANO)
        message = {"role": "user", "content": "<|audio|>" + PLAIN}
        ids = self.tokenizer.apply_chat_template([message], add_generation_prompt=True)["input_ids"]
        at = ids.index(network.config.audio_token_id)
        self._prefix, self._suffix = ids[:at], ids[at + 1 :]

    @classmethod
    def load(cls, model: str) -> Reference:
        """The same weights as `GraniteSpeech.load(model)`, float32."""
        path = NANO if model == "nano" else model
        return cls(GraniteSpeechForConditionalGeneration.from_pretrained(path, dtype=torch.float32).eval())

    @torch.inference_mode()
    def inputs(self, samples: Tensor) -> dict[str, Tensor]:
        """What `generate` takes: features, and a prompt with a placeholder for each embedding."""
        features = self.extractor(samples)
        count = int(features["audio_embed_sizes"][0])
        ids = torch.tensor([[*self._prefix, *[self.network.config.audio_token_id] * count, *self._suffix]])
        return {
            "input_ids": ids,
            "attention_mask": torch.ones_like(ids),
            "input_features": features["input_features"],
            "input_features_mask": features["input_features_mask"],
        }

    @torch.inference_mode()
    def transcribe(self, samples: Tensor, max_tokens: int | None = None, **more: Any) -> str:
        """Features, generate, text; by default as many tokens as our own guard allows for the audio's length."""
        if max_tokens is None:
            max_tokens = int(TOKENS_PER_SECOND * len(samples) / SAMPLE_RATE) + SPARE_TOKENS
        inputs = self.inputs(samples)
        said = self.network.generate(**inputs, do_sample=False, max_new_tokens=max_tokens, **more)
        text = self.tokenizer.decode(said[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        return str(text).strip()

    @torch.inference_mode()
    def embeddings(self, samples: Tensor) -> Tensor:
        """Features, encoder, projector."""
        features = self.extractor(samples)["input_features"].to(self.network.dtype)
        return self.network.get_audio_features(features, return_dict=True).pooler_output

    @torch.inference_mode()
    def read(self, inputs: Tensor) -> int:
        """Prefill: embeddings `[T, width]` of prompt and audio to the first token."""
        output = self.network(inputs_embeds=inputs[None], use_cache=True, logits_to_keep=1)
        return int(output.logits[0, -1].argmax())
