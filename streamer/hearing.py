"""One segment's audio on its way to embeddings: what is settled, what must be encoded again, and from where.

```
frames:   | settled blocks | previous block | open block          |
                           ^ settled        ^ opened     ^ resumed ^ heard
```
While a block fills up, an update encodes only its last frames and the new ones, from an *edge*: what those frames need
of the ones before. So frames of the open block have seen at least 600 ms of what follows them, not all of it: a draft.
When the block is full, it and the one before it are encoded together, as offline: the earlier one has now seen a whole
neighbour on either side and is settled, nothing older is ever needed again. An ended segment is encoded as offline from
the settled border on. So an update costs a second of frames, and two blocks more every four seconds, however long the
segment.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from model.encoder import Edge
from model.features import (
    FRAME_SAMPLES,
    HOP,
    MEL_BANDS,
    MIN_SAMPLES,
    REACH,
    SAMPLE_RATE,
    LogMel,
    MelState,
    feature_floor,
    stack,
)
from model.speech import Heard, Span

FRAME_SECONDS = FRAME_SAMPLES / SAMPLE_RATE  # 20 ms
OVERLAP_FRAMES = 30  # 600 ms at the end of an update are encoded again by the next one: two windows of 15


class Border(NamedTuple):
    """A place from which frames can be encoded, and what they need of those left of it."""

    frame: int
    edge: Edge | None  # None at the start of the segment


class Hearing:
    """Features, frames and embeddings of one segment. It runs nothing: it says what to encode and takes the result."""

    def __init__(self, log_mel: LogMel, block: int, window: int, window_embeddings: int) -> None:
        """Begins a segment; `block` and `window` are counted in frames."""
        self._log_mel, self._block = log_mel, block
        self._window, self._window_embeddings = window, window_embeddings
        self.samples = 0  # taken so far
        self.ended = False
        self.heard = 0  # frames encoded so far
        self.log_probs = torch.empty(0)  # [heard, labels] of the CTC head
        self.embeddings = torch.empty(0)  # [3 for each window, width]
        self._new: list[Tensor] = []  # samples that no mel frame was made of yet
        self._mel = MelState()
        self._raw = torch.empty(0, MEL_BANDS)  # [mel frames, 80], final but for the floor
        self._hidden = torch.empty(0)  # [heard, D]
        self._settled = self._opened = self._resumed = Border(0, None)
        self._quietest = float("inf")  # the lowest value among the features of settled frames

    @property
    def windows(self) -> int:
        """Whole windows that the samples taken so far fill for good."""
        mel_frames = (self.samples - REACH) // HOP + 1 if self.samples >= MIN_SAMPLES else 0
        return mel_frames // 2 // self._window

    @property
    def windows_heard(self) -> int:
        """Whole windows encoded so far."""
        return self.heard // self._window

    def feed(self, samples: Tensor) -> None:
        """Takes the segment's next samples `[T]`."""
        self._new.append(samples)
        self.samples += len(samples)

    def span(self) -> Span:
        """What to encode next: up to the last whole window, or to the last frame once the segment has ended."""
        self._make_frames()
        frames = len(self._raw) // 2
        if not self.ended:
            frames = frames // self._window * self._window
        peak = float(self._raw.max())
        complete = frames // self._block * self._block
        filled = complete > self._opened.frame and not self.ended
        if self.ended and feature_floor(peak) > self._quietest:
            # The loudest bin came late and its floor reaches into settled frames: only a whole new encoding is exact.
            start, edge = Border(0, None)
        else:
            start, edge = self._settled if self.ended or filled else self._resumed
        borders: list[int] = []
        if filled:
            borders += [border for border in (complete - self._block, complete) if border > start]
        if not self.ended and frames - OVERLAP_FRAMES > max(complete, start):
            borders.append(frames - OVERLAP_FRAMES)
        return Span(
            features=stack(self._raw[2 * start : 2 * frames], peak),
            start=start,
            left=edge,
            before=self._hidden[start - start % self._window : start],
            borders=tuple(borders),
        )

    def take(self, span: Span, heard: Heard) -> int:
        """Takes what became of a span; tells the first embedding that is not what it was."""
        borders = [Border(frame, edge) for frame, edge in zip(span.borders, heard.edges, strict=True)]
        if borders:
            self._resumed = borders[-1]
        between_blocks = [border for border in borders if border.frame % self._block == 0]
        if between_blocks:
            *settled, self._opened = between_blocks
            for border in settled:
                self._settled = border
                self._quietest = min(self._quietest, float(span.features[: border.frame - span.start].min()))
        first = span.start // self._window * self._window_embeddings
        self._hidden = torch.cat([self._hidden[: span.start], heard.hidden])
        self.log_probs = torch.cat([self.log_probs[: span.start], heard.log_probs])
        self.embeddings = torch.cat([self.embeddings[:first], heard.embeddings])
        self.heard = len(self._hidden)
        return first

    def _make_frames(self) -> None:
        pieces = [self._raw, self._log_mel.push(torch.cat(self._new), self._mel)] if self._new else [self._raw]
        self._new.clear()
        if self.ended:
            pieces.append(self._log_mel.finish(self._mel))
        self._raw = torch.cat(pieces)
