"""What models there are, what they need, and whether this machine has it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, dataclass
from typing import TextIO

import torch

from clients.arguments import Parser
from model.files import NANO, parameters
from model.hub import Repository
from model.known import KNOWN
from model.memory import free_bytes, name, needed_bytes

TYPES = (torch.float32, torch.bfloat16)  # float16 needs as much as bfloat16
GB = 1e9


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    name: str
    parameters: str
    float32: str
    bfloat16: str
    cached: str
    fits: str
    note: str


HEADER = Row("name", "parameters", "float32", "bfloat16", "cached", "fits here", "note")


def main(arguments: Sequence[str], complain: Callable[[str], None]) -> int:
    """`granite-stream models`."""
    parser = Parser(
        prog="granite-stream models",
        description="The models that --model knows by name; memory is that of the weights and a tenth.",
    )
    parser.complain = complain
    parser.parse_args(arguments)
    show_models(sys.stdout)
    return 0


def show_models(out: TextIO) -> None:
    """Prints a table of the models that `--model` knows by name."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    free = free_bytes(device)
    table = [astuple(row) for row in (HEADER, *rows(free))]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for line in table:
        out.write("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() + "\n")
    if free is not None:
        out.write(f"\n{free / GB:.1f} GB of memory are free on {device.type}; ")
    out.write("any other Granite Speech model: --model OWNER/NAME, or a directory\n")


def rows(free: int | None) -> Iterator[Row]:
    """One for each model; `free` is how many bytes there are, if it is known."""
    yield row(
        "nano", parameters(NANO), "embedded", free, "this project's miniature of the architecture, not an IBM model"
    )
    for known in KNOWN:
        yield row(known.name, known.parameters, Repository(known.name).cached(), free, known.note)


def row(model: str, count: int, cached: str, free: int | None, note: str) -> Row:
    """What is to be said of a model of `count` parameters."""
    needed = {each: needed_bytes(count, each) for each in TYPES}
    fitting = [name(each) for each in TYPES if free is None or needed[each] <= free]
    float32, bfloat16 = (size(needed[each]) for each in TYPES)
    return Row(model, size(count, "").strip(), float32, bfloat16, cached, verdict(fitting, free), note)


def verdict(fitting: list[str], free: int | None) -> str:
    """Which types fit, in a word."""
    if free is None:
        return "unknown"
    if len(fitting) == len(TYPES):
        return "yes"
    return f"as {fitting[0]}" if fitting else "no"


def size(count: int, unit: str = "B") -> str:
    """A count with three digits or so: 10 MB, 4.6 GB, 2.3 B (billion) without a unit."""
    if count < GB:
        return f"{count / 1e6:.0f} M{unit}"
    return f"{count / GB:.1f} {'G' + unit if unit else 'B'}"
