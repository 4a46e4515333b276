"""How weights change: Muon for the matrices of a network, AdamW for everything else, behind one call.

Muon (https://kellerjordan.github.io/posts/muon/) makes a step equally large in all directions of a matrix. Its rate is
scaled so that a step is as large as one of AdamW's (https://arxiv.org/abs/2502.16982), so both share one.

From nano after 67 h of audio, 400 steps of 24 s at 1e-3, the last 240 cooling down, left fewer wrong characters than
AdamW alone in six of seven sets of 16 clips (espeak 15.8 for 16.7 %, festival 24.8 for 26.9, test-other 40.1 for 42.5;
accents 44.0 for 43.0), for a fifth more time.

It is our own because PyTorch's works in bfloat16 whatever the machine: on a processor without instructions for that, a
step takes ten seconds instead of half a second.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from typing import Any

import torch
from torch import Tensor, nn

from model.precision import product_type

WEIGHT_DECAY = 0.01
BETAS = (0.9, 0.98)
MOMENTUM = 0.95
FEWEST_ROWS = 32  # a smaller matrix is a head of few labels, whose rows are not alike
# Muon's: a quintic that brings all singular values of a matrix near 1 (between about 0.7 and 1.2) in five rounds
QUINTIC = (3.4445, -4.7750, 2.0315)
ROUNDS = 5
ROOT_MEAN_SQUARE = 0.2  # of AdamW's steps, which Muon's are scaled to (https://arxiv.org/abs/2502.16982, section 2.2)


def orthogonal(matrices: Tensor, dtype: torch.dtype) -> Tensor:
    """Matrices `[n, rows, columns]` with all their singular values near 1, by a Newton-Schulz iteration in `dtype`."""
    tall = matrices.shape[1] > matrices.shape[2]
    found = (matrices.mT if tall else matrices).to(dtype)
    found = found / found.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    first, third, fifth = QUINTIC
    for _ in range(ROUNDS):
        square = found @ found.mT
        found = torch.baddbmm(found, torch.baddbmm(square, square, square, beta=third, alpha=fifth), found, beta=first)
    return (found.mT if tall else found).to(matrices.dtype)


class Muon(torch.optim.Optimizer):
    """Muon with Nesterov's momentum and decoupled weight decay, for matrices of one shape, which are done together."""

    def __init__(self, matrices: Iterable[nn.Parameter], rate: float) -> None:
        super().__init__(matrices, {"lr": rate})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Change the matrices by their gradients."""
        assert closure is None, "the loss is computed once"
        for group in self.param_groups:
            gradients = torch.stack([matrix.grad for matrix in group["params"]])
            state = self.state[group["params"][0]]
            momentum = state.setdefault("momentum", torch.zeros_like(gradients))
            momentum.lerp_(gradients, 1 - MOMENTUM)
            change = orthogonal(gradients.lerp_(momentum, MOMENTUM), product_type(gradients.device))
            size = ROOT_MEAN_SQUARE * max(gradients.shape[1:]) ** 0.5
            for matrix, direction in zip(group["params"], change, strict=True):
                matrix.mul_(1 - group["lr"] * WEIGHT_DECAY).add_(direction, alpha=-group["lr"] * size)


class Optimizer:
    """One optimizer of two kinds. The matrices are dealt to the threads of a pool, since theirs is the work."""

    def __init__(self, named: Sequence[tuple[str, nn.Parameter]], rate: float, workers: int = 1) -> None:
        # what Muon sees: a convolution over single frames, `[out, in, 1]`, is a matrix too and shares its memory
        self._matrices = {
            parameter: nn.Parameter(parameter.data.flatten(1))
            for name, parameter in named
            if is_matrix(name, parameter)
        }
        others = [parameter for _, parameter in named if parameter not in self._matrices]
        alike: dict[torch.Size, list[nn.Parameter]] = {}
        for matrix in self._matrices.values():
            alike.setdefault(matrix.shape, []).append(matrix)
        self._parts: list[torch.optim.Optimizer] = [
            Muon(dealt, rate)
            for _, matrices in sorted(alike.items(), key=lambda pair: -pair[0].numel() * len(pair[1]))
            for worker in range(workers)
            if (dealt := matrices[worker::workers])
        ]
        self._parts.append(torch.optim.AdamW(others, lr=rate, betas=BETAS, weight_decay=WEIGHT_DECAY))

    def step(self, rate: float, pool: Executor) -> None:
        """Change the weights by the gradients that they hold."""
        for parameter, matrix in self._matrices.items():
            assert parameter.grad is not None, "a matrix without a gradient"
            matrix.grad = parameter.grad.flatten(1)
        for part in self._parts:
            for group in part.param_groups:
                group["lr"] = rate
        list(pool.map(lambda part: part.step(), self._parts))

    def state_dict(self) -> list[dict[str, Any]]:
        """What a checkpoint needs."""
        return [part.state_dict() for part in self._parts]

    def load_state_dict(self, states: list[dict[str, Any]]) -> None:
        """Go on from a checkpoint."""
        for part, state in zip(self._parts, states, strict=True):
            part.load_state_dict(state)


def is_matrix(name: str, parameter: nn.Parameter) -> bool:
    """Whether a parameter maps hidden values to hidden values: no table of rows, no bias, no head of few labels."""
    flat = parameter.ndim == 2 or (parameter.ndim == 3 and parameter.shape[-1] == 1)
    return flat and "emb" not in name and "lm_head" not in name and min(parameter.shape[:2]) > FEWEST_ROWS
