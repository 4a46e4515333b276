"""In which precision a machine multiplies matrices fastest, and well enough to learn from."""

from __future__ import annotations

import torch


def product_type(device: torch.device | str = "cpu") -> torch.dtype:
    """bfloat16 where there are instructions for it; float32 elsewhere, where bfloat16 is emulated, 50 times slower."""
    if torch.device(device).type != "cpu" or torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return torch.bfloat16
    return torch.float32


def autocast(device: torch.device | str = "cpu") -> torch.autocast:
    """Autocast to that type; off where it is float32."""
    dtype = product_type(device)
    return torch.autocast(torch.device(device).type, dtype=torch.bfloat16, enabled=dtype == torch.bfloat16)
