"""A training checkpoint to the hub's format: `python -m model.nano.export --work DIR --checkpoint FILE --to DIR`.

Writes config.json, model.safetensors (16 bit), tokenizer.json, tokenizer_config.json, chat_template.jinja,
generation_config.json and preprocessor_config.json, as transformers and this package load them.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from model.features import FFT_SIZE, HOP, MEL_BANDS, SAMPLE_RATE, WINDOW
from model.nano.network import END, PAD, SPECIAL, TEMPLATE
from model.nano.tokens import tokenizer_of

MOST_BYTES = 25_000_000


def settings(config: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The small files beside the weights."""
    return {
        "config.json": config,
        "generation_config.json": {"bos_token_id": END, "eos_token_id": END, "pad_token_id": PAD},
        "preprocessor_config.json": {
            "feature_extractor_type": "GraniteSpeechFeatureExtractor",
            "sampling_rate": SAMPLE_RATE,
            "n_fft": FFT_SIZE,
            "win_length": WINDOW,
            "hop_length": HOP,
            "n_mels": MEL_BANDS,
            "projector_window_size": config["window_size"],
            "projector_downsample_rate": config["downsample_rate"],
        },
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": SPECIAL[END],
            "eos_token": SPECIAL[END],
            "pad_token": SPECIAL[PAD],
            "unk_token": SPECIAL[END],
            "clean_up_tokenization_spaces": False,
            "model_max_length": config["text_config"]["max_position_embeddings"],
        },
    }


def export(work: Path, checkpoint: Path, folder: Path, confidence_power: float = 1.0) -> int:
    """Write the model's files; gives their size in bytes."""
    saved = torch.load(checkpoint, map_location="cpu", weights_only=True)
    mean: dict[str, Tensor] = saved["mean"]
    folder.mkdir(parents=True, exist_ok=True)
    weights = {
        name: value.to(torch.float16).contiguous() if value.is_floating_point() else value
        for name, value in mean.items()
        if name != "language_model.lm_head.weight"  # tied to the embeddings
    }
    save_file(weights, str(folder / "model.safetensors"), metadata={"format": "pt"})
    (folder / "model.safetensors").chmod(0o644)  # the library makes it readable for its owner alone
    found = {"confidence_power": confidence_power, "only_transcribes": True}  # no other instruction was trained on
    for name, values in settings({**saved["config"], **found}).items():
        (folder / name).write_text(json.dumps(values, indent=1) + "\n", "utf8")
    (folder / "chat_template.jinja").write_text(TEMPLATE, "utf8")
    tokenizer_of(work).save(str(folder / "tokenizer.json"))
    size = sum(path.stat().st_size for path in folder.iterdir() if path.suffix in (".json", ".safetensors", ".jinja"))
    assert size <= MOST_BYTES, f"{size} bytes are more than the package may carry ({MOST_BYTES})"
    return size


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--checkpoint", type=Path, required=True, help="the last stage's, or an average")
    parser.add_argument("--to", type=Path, required=True, help="directory of the model")
    parser.add_argument("--confidence-power", type=float, default=1.0, help="as `make eval` finds it for these weights")
    it = parser.parse_args()
    size = export(it.work, it.checkpoint, it.to, it.confidence_power)
    print(f"{it.to}: {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
