"""The low-rank adapter of the 3.x checkpoints as `adapter_config.json` has it: rank, scale, and what it is on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from model.errors import CheckpointError
from model.reading import read_object

ADAPTER_CONFIG, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj")  # names that the encoder has too would mean that as well

# What training and bookkeeping leave behind. Every other option must be off: it would change what is computed.
INERT = frozenset(
    {
        *("auto_mapping", "base_model_name_or_path", "inference_mode", "peft_version", "revision", "task_type"),
        *("lora_dropout", "megatron_core", "qalora_group_size", "runtime_config"),
    }
)
USED = frozenset({"peft_type", "r", "lora_alpha", "target_modules", "use_rslora", "init_lora_weights"})
PLAIN_STARTS = (True, False, None, "gaussian")  # other ways to initialise an adapter change the base weights too


@dataclass(frozen=True, slots=True)
class LoraConfig:
    """An adapter: `y = W x + scale * B A x` for the layers that it is on."""

    rank: int
    scale: float
    targets: frozenset[str]

    @classmethod
    def read(cls, directory: Path) -> Self:
        """Reads `adapter_config.json` of a checkpoint directory that needs its adapter.

        Raises:
            CheckpointError: one of the adapter's two files is missing, or asks for what is not supported.
        """
        missing = [name for name in (ADAPTER_CONFIG, ADAPTER_WEIGHTS) if not (directory / name).is_file()]
        if missing:
            raise CheckpointError(
                f"{directory} needs its LoRA adapter but lacks {' and '.join(missing)}: "
                "copy them from the checkpoint's page; without them it would hear worse and not say so"
            )
        return cls.parse(read_object(directory / ADAPTER_CONFIG))

    @classmethod
    def parse(cls, values: dict[str, Any]) -> Self:
        """Takes the contents of `adapter_config.json`."""
        rank, alpha, targets = values.get("r"), values.get("lora_alpha"), values.get("target_modules")
        wrong = [f"{name} {value}" for name, value in values.items() if name not in INERT | USED and value]
        if values.get("bias") == "none":
            wrong.remove("bias none")
        if values.get("peft_type") != "LORA":
            wrong.append(f"peft_type {values.get('peft_type')} (LORA)")
        if values.get("init_lora_weights") not in PLAIN_STARTS:
            wrong.append(f"init_lora_weights {values['init_lora_weights']}")
        if not isinstance(rank, int) or isinstance(rank, bool) or rank < 1:
            wrong.append(f"r {rank} (a whole number from 1 on)")
        if not isinstance(alpha, int | float) or isinstance(alpha, bool) or not math.isfinite(alpha):
            wrong.append(f"lora_alpha {alpha} (a number)")
        if not isinstance(targets, list) or not targets or not all(target in TARGETS for target in targets):
            wrong.append(f"target_modules {targets} (some of {', '.join(TARGETS)})")
        if wrong:
            raise CheckpointError(f"{ADAPTER_CONFIG} asks for what granite-stream does not run: {'; '.join(wrong)}")
        assert isinstance(rank, int)
        assert isinstance(alpha, int | float)
        assert isinstance(targets, list)
        divisor = math.sqrt(rank) if values.get("use_rslora") else rank
        return cls(rank, alpha / divisor, frozenset(targets))
