"""In which precision a machine multiplies matrices fastest."""

from __future__ import annotations

import torch


def product_type(device: torch.device | str = "cpu") -> torch.dtype:
    """bfloat16 where there are instructions for it; else float32, since emulating bfloat16 is 5 to 50 times slower."""
    if torch.device(device).type != "cpu" or _processor_knows_bfloat16():
        return torch.bfloat16
    return torch.float32


def autocast(device: torch.device | str = "cpu") -> torch.autocast:
    """Autocast to that type; off where it is float32."""
    on = product_type(device) == torch.bfloat16
    return torch.autocast(torch.device(device).type, dtype=torch.bfloat16, enabled=on)


def _processor_knows_bfloat16() -> bool:
    """What oneDNN, which multiplies bfloat16 on a CPU, says of it; it is not part of every build of PyTorch."""
    return torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()  # type: ignore[no-untyped-call]
