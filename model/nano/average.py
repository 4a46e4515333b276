"""The mean of several checkpoints: `python -m model.nano.average CHECKPOINT=SHARE … --to FILE`.

Points on one way of training, and rounds that went on from one another, each make mistakes of their own; their mean
makes fewer. (Weights that were trained apart have none in common that could be averaged.)
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor

from model.nano.network import config_of, network_of


def average(shares: dict[Path, float]) -> dict[str, Tensor]:
    """The weighted mean of checkpoints, or folders of exported models, by name; shares are relative."""
    whole = sum(shares.values())
    mean: dict[str, Tensor] = {}
    for path, share in shares.items():
        for name, value in network_of(path).state_dict().items():
            if value.is_floating_point():
                mean[name] = mean.get(name, 0.0) + value * (share / whole)
            else:
                mean.setdefault(name, value)
    return mean


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="+", metavar="CHECKPOINT=SHARE", help="a stage's, or an exported model's folder")
    parser.add_argument("--to", type=Path, required=True, metavar="FILE", help="a checkpoint for --init and export")
    arguments = parser.parse_args()
    parts = [part.rpartition("=") for part in arguments.parts]
    shares = {Path(path): float(share) for path, _, share in parts}
    torch.save({"mean": average(shares), "config": config_of(next(iter(shares)))}, arguments.to)


if __name__ == "__main__":
    main()
