"""Trains nano: `python -m model.nano.train encoder --work DIR`, then `language`, `speech`, `joint`.

The learning rate warms up and stays (the trunk, DIR/<stage>/last.pt), so a run has no end: killed at any moment, the
same command goes on. `--cooldown N` branches off: N steps in which the rate falls from the trunk's last checkpoint on
to zero, written to DIR/<stage>/cooled.pt; the trunk stays as it is, to be gone on with.

On a CPU each worker is a thread with half of the batch and one core: they meet once a step instead of at every
operation, which on a busy machine is the difference between 60 and 3 times real time.
"""

from __future__ import annotations

import argparse
import copy
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from model.nano.evaluate import Judge
from model.nano.network import hub_config, network_of, new_network, replica
from model.nano.optimizer import Optimizer
from model.nano.stages import Stage, stage_named, ways_to_listen
from model.nano.tokens import processor_of
from model.precision import autocast
from model.speech import GraniteSpeech

AVERAGE = 0.999  # of the running mean of weights, which is what is evaluated and exported
CLIP = 2.0  # norm of the gradient
REPORT_STEPS = 50
SAVE_STEPS = 250
PARTS = ("encoder", "projector", "language_model")


class Trainer:
    """Weights, their running mean, the optimizer, and the step they have reached."""

    def __init__(self, arguments: argparse.Namespace, stage: Stage) -> None:
        torch.manual_seed(arguments.seed)
        self.stage, self.arguments = stage, arguments
        self.folder: Path = arguments.work / arguments.stage
        self.device = torch.device(arguments.device)
        self.config = hub_config(arguments.width, arguments.layers)
        self.network = new_network(self.config).to(self.device).train()
        self.step, self.heard_seconds = 0, 0.0
        for path in arguments.init or []:
            load_parts(self.network, path)
        self.learning = stage.trained(self.network)
        self.mean = {name: value.detach().clone() for name, value in self.network.state_dict().items()}
        workers = arguments.workers if self.device.type == "cpu" else 1
        learning = {id(parameter) for parameter in self.learning}
        named = [(name, each) for name, each in self.network.named_parameters() if id(each) in learning]
        self.optimizer = Optimizer(named, arguments.rate, workers)
        last = self.folder / "last.pt"
        if last.exists():
            self._resume(torch.load(last, map_location=self.device, weights_only=True))
        self.networks = [self.network, *(replica(self.network) for _ in range(workers - 1))]
        self.pool = ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,))

    def _resume(self, saved: dict[str, Any]) -> None:
        self.network.load_state_dict(saved["network"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.mean, self.step, self.heard_seconds = saved["mean"], saved["step"], saved["heard_seconds"]

    def save(self, name: str) -> None:
        """Write a checkpoint: whole or not at all."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / name
        torch.save(
            {
                "network": self.network.state_dict(),
                "mean": self.mean,
                "optimizer": self.optimizer.state_dict(),
                "step": self.step,
                "heard_seconds": self.heard_seconds,
                "config": self.config,
            },
            path.with_suffix(".new"),
        )
        os.replace(path.with_suffix(".new"), path)

    def learn(self, rate: float) -> tuple[dict[str, float], float]:
        """One step: every worker its batch, then one change of the weights. Gives figures and seconds of audio."""
        self.stage.prepare(self.step)
        work = [self.pool.submit(self._gradients, worker) for worker in range(len(self.networks))]
        done = [each.result() for each in work]
        together = zip(*(gradients for gradients, _, _ in done), strict=True)
        for parameter, gradients in zip(self.learning, together, strict=True):
            parameter.grad = sum(gradients) / len(done)
        norm = nn.utils.clip_grad_norm_(self.learning, CLIP)
        if norm.isfinite():
            self.optimizer.step(rate, self.pool)
        self._average()
        self.step += 1
        figures = {name: sum(values[name] for _, values, _ in done) / len(done) for name in done[0][1]}
        heard = sum(seconds for _, _, seconds in done)
        self.heard_seconds += heard
        return {**figures, "norm": float(norm)}, heard

    def _gradients(self, worker: int) -> tuple[list[Tensor], dict[str, float], float]:
        with autocast(self.device):
            loss, figures, seconds = self.stage.loss(self.networks[worker], self.step, worker)
        found = torch.autograd.grad(loss, self.learning, allow_unused=True)
        empty = zip(found, self.learning, strict=True)
        return [torch.zeros_like(p) if g is None else g for g, p in empty], figures, seconds

    def _average(self) -> None:
        """Move the running mean; the workers' statistics of batch norm become one."""
        buffers = [dict(network.named_buffers()) for network in self.networks]
        for name, buffer in buffers[0].items():
            if buffer.is_floating_point() and len(buffers) > 1:
                together = torch.stack([each[name] for each in buffers]).mean(0)
                for each in buffers:
                    each[name].copy_(together)
        keep = min(AVERAGE, (1 + self.step) / (10 + self.step))
        state = self.network.state_dict()
        moving = [name for name, value in self.mean.items() if value.is_floating_point()]
        torch._foreach_lerp_([self.mean[n] for n in moving], [state[n] for n in moving], 1 - keep)


def load_parts(network: GraniteSpeech, path: Path) -> None:
    """Take a part from another stage's checkpoint, or from an exported model: `encoder=PATH` names it."""
    part, _, file = str(path).partition("=")
    assert part in PARTS, f"--init takes PART=PATH with a part of {PARTS}, not {path}"
    mean = network_of(Path(file)).state_dict()
    wanted = {name.removeprefix(part + "."): value for name, value in mean.items() if name.startswith(part + ".")}
    getattr(network, part).load_state_dict(wanted)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", choices=["encoder", "language", "speech", "joint"])
    parser.add_argument("--work", type=Path, required=True, help="the folder that synthesize filled")
    parser.add_argument(
        "--init", nargs="*", help="PART=CHECKPOINT or PART=DIR of an exported model: where a part starts from"
    )
    parser.add_argument("--steps", type=int, default=1_000_000, help="of the trunk, in all")
    parser.add_argument("--cooldown", type=int, default=0, help="steps of decay, in a branch from the trunk's last")
    parser.add_argument("--rate", type=float, default=1.2e-3, help="learning rate")
    parser.add_argument("--warm-up", type=int, default=400, help="steps in which the rate rises")
    parser.add_argument("--batch-seconds", type=float, default=24.0, help="audio for each worker at a step")
    parser.add_argument(
        "--easy-steps", type=int, default=1200, help="of short single utterances, or of random tokens, at first"
    )
    parser.add_argument(
        "--ramp-steps", type=int, default=8000, help="in which distortion then grows to its full strength"
    )
    parser.add_argument("--evaluate-every", type=int, default=500, help="steps; 0 never")
    parser.add_argument("--evaluate-clips", type=int, default=24, help="of each set, while training")
    parser.add_argument("--snapshot-every", type=int, default=5000, help="steps between checkpoints that are kept")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="threads on a CPU")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--width", type=int, default=192)
    parser.add_argument("--layers", type=int, default=8, help="of the encoder")
    parser.add_argument("--seed", type=int, default=1, help="of all that is drawn; a later round needs another")
    return parser.parse_args(arguments)


class Progress:
    """One line every so many steps: what was heard, how fast, and the stage's figures on average since the last."""

    def __init__(self) -> None:
        self.pause()

    def pause(self) -> None:
        """What was done until now is not to count: the clock begins anew."""
        self._sums: dict[str, float] = {}
        self._steps, self._seconds, self._began = 0, 0.0, time.monotonic()

    def add(self, trainer: Trainer, rate: float, figures: dict[str, float], seconds: float) -> None:
        """Takes in a step."""
        self._steps, self._seconds = self._steps + 1, self._seconds + seconds
        self._sums = {key: self._sums.get(key, 0.0) + value for key, value in figures.items()}
        if trainer.step % REPORT_STEPS == 0:
            shown = " ".join(f"{key} {value / self._steps:.3f}" for key, value in self._sums.items())
            hours, speed = trainer.heard_seconds / 3600, self._seconds / (time.monotonic() - self._began)
            line = f"{trainer.step} heard {hours:.2f} h, {speed:.0f} x real time, rate {rate:.1e}, {shown}"
            print(line, flush=True)
            self.pause()


def rate_at(arguments: argparse.Namespace, step: int, end: int) -> float:
    """The learning rate of a step: it rises, stays, and in a branch that cools down falls to zero at its end."""
    rate = arguments.rate * min(1.0, (step + 1) / arguments.warm_up)
    return float(rate * (end - step) / arguments.cooldown if arguments.cooldown else rate)


def main(arguments: argparse.Namespace) -> None:
    """Train until the steps are done or the process is told to end."""
    torch.set_flush_denormal(True)
    torch.set_num_threads(1 if arguments.device == "cpu" else os.cpu_count() or 1)
    if arguments.device == "cpu":  # plain products in bfloat16: the fused attention makes a step a tenth longer
        torch.backends.cuda.enable_flash_sdp(False)
        torch.backends.cuda.allow_fp16_bf16_reduction_math_sdp(True)
    trainer = Trainer(arguments, stage_named(arguments))
    judge = Judge(arguments.work / "eval", arguments.evaluate_clips) if arguments.evaluate_every else None
    tried = copy.deepcopy(trainer.network).eval()
    if judge and arguments.stage != "encoder":
        tried.equip(processor_of(arguments.work))

    def evaluate() -> None:
        if judge:
            tried.load_state_dict(trainer.mean)
            print(f"{trainer.step} EVAL {judge.report(tried, ways_to_listen(arguments.stage))}", flush=True)

    stopping: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _frame: stopping.append(received))
    cooling = bool(arguments.cooldown)
    name, end = ("cooled.pt", trainer.step + arguments.cooldown) if cooling else ("last.pt", arguments.steps)
    progress = Progress()
    while trainer.step < end and not stopping:
        rate = rate_at(arguments, trainer.step, end)
        figures, heard = trainer.learn(rate)
        progress.add(trainer, rate, figures, heard)
        if trainer.step % SAVE_STEPS == 0 and not cooling:
            trainer.save(name)
        if arguments.snapshot_every and trainer.step % arguments.snapshot_every == 0 and not cooling:
            trainer.save(f"step-{trainer.step}.pt")
        if arguments.evaluate_every and trainer.step % arguments.evaluate_every == 0:
            evaluate()
            progress.pause()
    if not (cooling and stopping):
        trainer.save(name)
    if cooling:
        evaluate()


if __name__ == "__main__":
    main(parse())
