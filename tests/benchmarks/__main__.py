"""Measures, prints tables, and writes tests/benchmarks/results/<name>.json.

python -m tests.benchmarks                  all but those that stream for hours
python -m tests.benchmarks tax endless      these
"""

from __future__ import annotations

import argparse
from importlib import import_module
from time import perf_counter

import torch

from tests.benchmarks.common import Settings

USUAL = (
    "tax",
    "retranscription",
    "offline",
    "settling",
    "floor",
    "choices",
    "offline_2b",
    "live_2b",
    "rounding",
    "capacity",
    "browser",
    "desktop",
)
LONG = ("endless", "sockets", "microphone")  # an hour of audio each, or four of them: only when named
NAMES = USUAL + LONG


def main() -> None:
    """Runs what was asked for, one after the other."""
    defaults = Settings()
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {', '.join(USUAL)} (default: these); {', '.join(LONG)}"
    )
    parser.add_argument("--model", default=defaults.model, help="nano (default) or a checkpoint directory")
    parser.add_argument("--threads", type=int, default=defaults.threads, help="of torch (default: 1)")
    parser.add_argument("--repeats", type=int, default=defaults.repeats, help="of which medians are taken (default: 3)")
    parser.add_argument(
        "--minutes",
        type=float,
        default=defaults.minutes,
        help="of audio for the last three; sockets: four times as many (default: 60)",
    )
    parser.add_argument("--layers", type=int, default=0, help="of each stack for offline_2b and live_2b (default: all)")
    given = parser.parse_args()
    unknown = set(given.names) - set(NAMES)
    if unknown:
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    settings = Settings(given.model, given.threads, given.repeats, given.minutes, given.layers)
    torch.set_num_threads(settings.threads)
    began = perf_counter()
    for name in given.names or USUAL:
        start = perf_counter()
        import_module(f"tests.benchmarks.{name}").run(settings)
        print(f"{name}: {perf_counter() - start:.0f} s\n")
    print(f"all: {(perf_counter() - began) / 60:.0f} min")


if __name__ == "__main__":
    main()
