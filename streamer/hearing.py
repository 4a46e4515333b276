"""One segment's audio on its way to embeddings: what is encoded again at an update, and from where.

```
frames:   | encoded once | encoded again | new  |
          ^ 0            ^ resumed       ^ heard ^ frames there are
```
An update encodes the new frames and the last ones of the update before, from an *edge*: what those need of the frames
before them, as keys and values of their block and inputs of the convolutions. So a frame that is not encoded again
has seen at least 600 ms of what follows it, but not always all of its block, and an update costs about a second of
frames however long the segment is. A segment that has ended is encoded once more as a whole, as offline: its final
rests on no draft.

Why not settle whole blocks on the way and keep them for the final? Measured on `nano` (benchmarks `settling`, `floor`
and `choices`), in the largest difference of a block's frames from offline, relative to the largest value:

| behind the block | nothing | 200 ms | 600 ms | 2 s | one block | two blocks |
|---|---|---|---|---|---|---|
| difference | 64 % | 28 % | 12 % | 5 % | 0.7 % | 0.004 % |

A carried edge itself is exact; zeros in its place cost 84 %. But the floor of the features lies under the loudest bin
of the whole segment, and in 50 to 83 % of segments of 10 to 30 s that bin comes so late that frames of settled blocks
change; half of the texts change if this is ignored. So most blocks had to be encoded again anyway, and the whole of a
segment, 30 s at most, costs no more than offline does.
"""

from __future__ import annotations

import torch
from torch import Tensor

from model.config import WINDOW_FRAMES
from model.encoder import Edge
from model.features import FRAME_SAMPLES, MEL_BANDS, LogMel, MelState, loudest, settled_frames, stack
from model.speech import Heard, Span

OVERLAP_FRAMES = 2 * WINDOW_FRAMES  # 600 ms at the end of an update that the next one encodes again


class Hearing:
    """Features, frames and embeddings of one segment. It runs nothing: it says what to encode and takes the result."""

    def __init__(self, log_mel: LogMel, window_embeddings: int) -> None:
        """Begins a segment; a window becomes `window_embeddings` embeddings."""
        self._log_mel, self._window_embeddings = log_mel, window_embeddings
        self.samples = 0  # taken so far
        self.ended = False
        self.log_probs = torch.empty(0)  # [heard, labels] of the CTC head: as many frames as were encoded so far
        self.embeddings = torch.empty(0)  # [3 for each window, width]
        self._new: list[Tensor] = []  # samples that no mel frame was made of yet
        self._mel = MelState()
        self._raw = torch.empty(0, MEL_BANDS)  # [mel frames, 80], final but for the floor
        self._resumed = 0  # the frame at which the next update begins, a window's first
        self._edge: Edge | None = None  # what it needs of those before

    @property
    def heard(self) -> int:
        """Frames encoded so far."""
        return len(self.log_probs)

    @property
    def windows(self) -> int:
        """Whole windows that the samples taken so far fill for good."""
        return settled_frames(self.samples) // 2 // WINDOW_FRAMES

    @property
    def whole_samples(self) -> int:
        """Samples in them."""
        return self.windows * WINDOW_FRAMES * FRAME_SAMPLES

    @property
    def windows_heard(self) -> int:
        """Whole windows encoded so far."""
        return self.heard // WINDOW_FRAMES

    @property
    def due_frames(self) -> int:
        """How many frames the next span has; of an ended segment to within one, and never 0: a final is due."""
        if self.ended:
            return max(1, self.samples // FRAME_SAMPLES)
        return self.windows * WINDOW_FRAMES - self._resumed

    @property
    def new_frames(self) -> int:
        """How many of them were never encoded before."""
        return (0 if self.ended else self._resumed) + self.due_frames - self.heard

    def feed(self, samples: Tensor) -> None:
        """Takes the segment's next samples `[T]`."""
        self._new.append(samples)
        self.samples += len(samples)

    def span(self) -> Span:
        """What to encode next: up to the last whole window, or all frames once the segment has ended."""
        self._make_frames()
        frames = len(self._raw) // 2
        if self.ended:
            return Span(stack(self._raw, loudest(self._raw)))
        frames -= frames % WINDOW_FRAMES
        start, resume = self._resumed, frames - OVERLAP_FRAMES
        return Span(
            # the floor is that of the loudest bin so far; frames of the past keep the one they had
            features=stack(self._raw[2 * start : 2 * frames], loudest(self._raw)),
            start=start,
            left=self._edge,
            borders=(resume,) if resume > start else (),
        )

    def take(self, span: Span, heard: Heard) -> int:
        """Takes what became of a span; tells the first embedding that is not what it was."""
        if span.borders:
            (self._resumed,), (self._edge,) = span.borders, heard.edges
        first = span.start // WINDOW_FRAMES * self._window_embeddings
        self.log_probs = torch.cat([self.log_probs[: span.start], heard.log_probs])
        # the first ones say which type and device the network works in
        self.embeddings = torch.cat([self.embeddings[:first].to(heard.embeddings), heard.embeddings])
        return first

    def _make_frames(self) -> None:
        pieces = [self._raw, self._log_mel.push(torch.cat(self._new), self._mel)] if self._new else [self._raw]
        self._new.clear()
        if self.ended:
            pieces.append(self._log_mel.finish(self._mel))
            self._mel = MelState()  # an update that was interrupted is asked for again, and nothing is mirrored twice
        self._raw = torch.cat(pieces)
