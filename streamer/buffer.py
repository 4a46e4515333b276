"""Samples addressed by their place in the stream, old ones forgotten."""

from __future__ import annotations

import torch
from torch import Tensor


class SampleBuffer:
    """The audio of a stream from some sample on. Appending copies each sample a bounded number of times."""

    def __init__(self) -> None:
        self.end = 0  # samples appended since the stream began
        self._origin = 0  # the stream's sample at the start of the memory
        self._memory = torch.empty(0)

    def append(self, samples: Tensor) -> None:
        """Adds samples `[T]` behind those there are."""
        used = self.end - self._origin
        if used + len(samples) > len(self._memory):
            grown = torch.empty(2 * (used + len(samples)))
            grown[:used] = self._memory[:used]
            self._memory = grown
        self._memory[used : used + len(samples)] = samples
        self.end += len(samples)

    def slice(self, start: int, end: int) -> Tensor:
        """A copy of the samples from `start` up to `end`, both counted from the stream's beginning."""
        assert self._origin <= start <= end <= self.end, f"{start}:{end} is not within {self._origin}:{self.end}"
        return self._memory[start - self._origin : end - self._origin].clone()

    def forget(self, before: int) -> None:
        """Lets go of samples before `before`. The memory shrinks once they are more than the rest."""
        if before - self._origin > self.end - before:
            self._memory = self._memory[before - self._origin : self.end - self._origin].clone()
            self._origin = before
