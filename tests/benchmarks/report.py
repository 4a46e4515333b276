"""Tables for people, JSON for comparison."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil
import torch
import transformers
from rich.console import Console
from rich.table import Table

from model.checkpoint import NANO
from tests.benchmarks.common import Settings

RESULTS = Path(__file__).parent / "results"


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Prints figures; floats with three significant digits."""
    grid = Table(*columns, title=title, title_justify="left")
    for row in rows:
        grid.add_row(*(f"{cell:.3g}" if isinstance(cell, float) else str(cell) for cell in row))
    Console(width=150).print(grid)


def save(name: str, settings: Settings, results: dict[str, Any]) -> None:
    """Writes results/<name>.json: machine, versions, settings, figures; no date, so that equal runs are equal files."""
    RESULTS.mkdir(exist_ok=True)
    report = {"machine": machine(), "settings": asdict(settings), "model": fingerprint(settings.model), **results}
    (RESULTS / f"{name}.json").write_text(json.dumps(_rounded(report), indent=1) + "\n")


def machine() -> dict[str, Any]:
    """Where a figure comes from."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "cpu": names[0] if names else platform.processor(),
        "cores": psutil.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }


def fingerprint(model: str) -> dict[str, str]:
    """Which weights they were."""
    files = sorted((NANO if model == "nano" else Path(model)).glob("*.safetensors"))
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()
    return {"name": model, "sha256": digest[:16]}


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    return [_rounded(each) for each in value] if isinstance(value, (list, tuple)) else value
