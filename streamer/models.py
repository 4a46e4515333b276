"""What models there are, what they need, and whether this machine has it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TextIO

import torch

from clients.arguments import Parser
from model.files import NANO
from model.files import size as size_of
from model.hub import Repository
from model.known import KNOWN, Size
from model.memory import FORMS, free_bytes, needed_bytes

GB = 1e9


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    name: str
    parameters: str
    memory: tuple[str, ...]  # one for each form of the weights; float16 needs as much as bfloat16
    cached: str
    fits: str
    note: str

    def cells(self) -> tuple[str, ...]:
        """As they stand beside each other."""
        return self.name, self.parameters, *self.memory, self.cached, self.fits, self.note


HEADER = Row("name", "parameters", tuple(form.name for form in FORMS), "cached", "fits here", "note")


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
    table = [row.cells() for row in (HEADER, *rows(free))]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for line in table:
        out.write("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() + "\n")
    if free is not None:
        out.write(f"\n{free / GB:.1f} GB of memory are free on {device.type}; ")
    out.write("any other Granite Speech model: --model OWNER/NAME, or a directory\n")


def rows(free: int | None) -> Iterator[Row]:
    """One for each model; `free` is how many bytes there are, if it is known."""
    yield row("nano", size_of(NANO), "embedded", free, "this project's miniature of the architecture, not an IBM model")
    for known in KNOWN:
        yield row(known.name, known.size, Repository(known.name).cached(), free, known.note)


def row(model: str, count: Size, cached: str, free: int | None, note: str) -> Row:
    """What is to be said of a model of this size."""
    needed = {form.name: needed_bytes(count, form) for form in FORMS}
    fitting = [form for form, wanted in needed.items() if free is None or wanted <= free]
    memory = tuple(map(size, needed.values()))
    return Row(model, size(count.parameters, "").strip(), memory, cached, verdict(fitting, free), note)


def verdict(fitting: list[str], free: int | None) -> str:
    """The best form that fits, in a word."""
    if free is None:
        return "unknown"
    if len(fitting) == len(FORMS):
        return "yes"
    return f"as {fitting[0]}" if fitting else "no"


def size(count: int, unit: str = "B") -> str:
    """A count with three digits or so: 10 MB, 4.6 GB, 2.3 B (billion) without a unit."""
    if count < GB:
        return f"{count / 1e6:.0f} M{unit}"
    return f"{count / GB:.1f} {'G' + unit if unit else 'B'}"
