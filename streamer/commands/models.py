"""What models there are, what they need, and whether this machine has it: memory, and time."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TextIO

import torch

from clients.arguments import DONE, Complain, Parser, add_compute, number, threads
from model.checkpoint import size_of
from model.files import NANO
from model.hub import Repository
from model.known import KNOWN, Size
from model.memory import FORMS, free_bytes, needed_bytes
from model.speech import GraniteSpeech
from streamer.commands.loading import device_named
from streamer.estimate import TIMED, Pace, made_up, measure
from streamer.load import LONGEST_STEP_SECONDS, MOST_BUSY
from streamer.options import Options

GB = 1e9
ROOM = 1_000_000_000  # bytes that timing them takes, and then some
Paces = Mapping[str, Pace]  # of each form


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    name: str
    parameters: str
    memory: tuple[str, ...]  # one for each form of the weights; float16 needs as much as bfloat16
    cached: str
    fits: str
    keeps_up: str
    note: str

    def cells(self) -> tuple[str, ...]:
        """As they stand beside each other."""
        return self.name, self.parameters, *self.memory, self.cached, self.fits, self.keeps_up, self.note


HEADER = Row("name", "parameters", tuple(form.name for form in FORMS), "cached", "fits here", "keeps up (est.)", "note")


def main(arguments: Sequence[str], complain: Complain) -> int:
    """`granite-stream models`."""
    given = parse(arguments, complain)
    if given.threads:
        torch.set_num_threads(given.threads)
    show_models(sys.stdout, torch.device(device_named(given.device)), given.step_ms / 1000)
    return DONE


def parse(arguments: Sequence[str], complain: Complain) -> Namespace:
    """What the user typed."""
    parser = Parser(
        complain,
        prog="granite-stream models",
        description="The models that --model knows by name; memory is that of the weights and a tenth, and whether "
        "one keeps up with speech is estimated from layers that are timed for a few seconds.",
    )
    step = Options().update_ms
    parser.add_argument(
        "--step",
        metavar="MS",
        dest="step_ms",
        type=number(int, 1),
        default=step,
        help=f"of new audio between two updates (default: {step})",
    )
    parser.add_argument("--threads", metavar="N", type=threads, help="processor threads to use")
    add_compute(parser)
    return parser.parse_args(arguments)


def show_models(out: TextIO, device: torch.device, step_seconds: float) -> None:
    """Prints a table of the models that `--model` knows by name."""
    free = free_bytes(device)
    paces = timed(device) if free is None or free > ROOM else {}
    table = [row.cells() for row in (HEADER, *rows(free, paces, device, step_seconds))]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for line in table:
        out.write("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() + "\n")
    threads = "" if device.type != "cpu" else f", --threads {torch.get_num_threads()}"
    out.write(
        f"\nkeeps up: est. seconds of work for a second of speech, timed now on {device.type}{threads}; "
        f"{MOST_BUSY:g} at most, "
        f"with steps of {step_seconds:g} s, or of {LONGEST_STEP_SECONDS:g} s, to which they grow by themselves\n"
    )
    if free is not None:
        out.write(f"{free / GB:.1f} GB of memory are free on {device.type}; ")
    out.write("any other Granite Speech model: --model OWNER/NAME, or a directory\n")


def timed(device: torch.device) -> Paces:
    """How fast this machine is with each form of the weights, one after the other: they need not fit side by side."""
    return {form: measure(made_up(bits, device)) for form, bits in TIMED.items()}


def rows(free: int | None, paces: Paces, device: torch.device, step_seconds: float) -> Iterator[Row]:
    """One for each model; `free` is how many bytes there are, if it is known."""
    nano = GraniteSpeech.load("nano", device=device)
    own = {"float32": measure(nano)}  # small as it is, its weights are the least of what it costs
    about = "this project's miniature of the architecture, not an IBM model"
    yield row("nano", size_of(nano, NANO), "embedded", free, own, step_seconds, about)
    for known in KNOWN:
        yield row(known.name, known.size, Repository(known.name).cached(), free, paces, step_seconds, known.note)


def row(model: str, size: Size, cached: str, free: int | None, paces: Paces, step_seconds: float, note: str) -> Row:
    """What is to be said of a model of this size."""
    needed = {form.name: needed_bytes(size, form) for form in FORMS}
    fitting = [form for form, wanted in needed.items() if free is None or wanted <= free]
    memory = tuple(map(rounded, needed.values()))
    usable = {form: pace for form, pace in paces.items() if form in fitting}
    keeps_up = speed(size, usable, step_seconds)
    return Row(model, rounded(size.parameters, "").strip(), memory, cached, verdict(fitting, free), keeps_up, note)


def verdict(fitting: list[str], free: int | None) -> str:
    """The best form that fits, in a word."""
    if free is None:
        return "unknown"
    if len(fitting) == len(FORMS):
        return "yes"
    return f"as {fitting[0]}" if fitting else "no"


def speed(size: Size, paces: Paces, step_seconds: float) -> str:
    """The most exact form that keeps up, else the one that comes nearest, with its seconds for a second of speech."""
    if not paces:
        return "-"
    longest = max(step_seconds, LONGEST_STEP_SECONDS)
    for step in (step_seconds, longest):
        for form, pace in paces.items():
            if (load := pace.load(size, step)) <= MOST_BUSY:
                return f"as {form}: {load:.2f}" + (f" at {step:g} s" if step > step_seconds else "")
    load, form = min((pace.load(size, longest), form) for form, pace in paces.items())
    return f"no: {load:.1f} as {form}"


def rounded(count: int, unit: str = "B") -> str:
    """A count with three digits or so: 10 MB, 4.6 GB, 2.3 B (billion) without a unit."""
    if count < GB:
        return f"{count / 1e6:.0f} M{unit}"
    return f"{count / GB:.1f} {'G' + unit if unit else 'B'}"
