"""Audio to log-mel features, at once or as it arrives; both give the same frames.

The numbers are those of the reference's `GraniteSpeechFeatureExtractor`. A mel frame comes every 10 ms; two of them,
stacked, are one encoder frame of 20 ms. The only thing that looks at the whole utterance is a floor 8 decades under
its loudest bin, so the frames kept here are raw and the floor is applied where they are used.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torchaudio.transforms import MelSpectrogram

SAMPLE_RATE = 16_000  # samples a second
FFT_SIZE = 512  # samples, 32 ms
WINDOW = 400  # samples, 25 ms
HOP = 160  # samples, 10 ms: one mel frame
MEL_BANDS = 80
FRAME_SAMPLES = 2 * HOP  # samples, 20 ms: one encoder frame
FRAME_SECONDS = FRAME_SAMPLES / SAMPLE_RATE
REACH = FFT_SIZE // 2  # samples that a mel frame needs on either side of its centre
MIN_SAMPLES = REACH + 1  # the fewest that can be mirrored at the ends; anything shorter (16 ms) has no frames
QUIETEST = 1e-10  # power below which everything counts as silence
FLOOR_DECADES = 8.0  # bins further below the loudest one are raised to that distance


@dataclass(slots=True)
class MelState:
    """What one segment has heard so far: the samples that later frames still need, and where they stand."""

    tail: Tensor = field(default_factory=lambda: torch.empty(0))  # [samples]
    samples: int = 0  # samples taken in
    mirrored: bool = False  # its start is in the tail, in mirror image, as the reference does it


class LogMel:
    """The filterbank. It holds no state: `push` and `finish` change the `MelState` that the caller owns."""

    def __init__(self) -> None:
        # computed, not loaded: it has to be real where the weights around it are only shapes
        with torch.device("cpu"):
            self.spectrogram = MelSpectrogram(SAMPLE_RATE, FFT_SIZE, WINDOW, HOP, n_mels=MEL_BANDS, center=False)

    def __call__(self, samples: Tensor) -> Tensor:
        """Whole utterance `[T]` (float, 16 kHz) to features `[T // 160 + 1 >> 1, 160]`, as the reference gives them."""
        state = MelState()
        raw = torch.cat([self.push(samples, state), self.finish(state)])
        return stack(raw, loudest(raw))

    def push(self, samples: Tensor, state: MelState) -> Tensor:
        """Takes samples `[T]`; gives the raw mel frames `[n, 80]` that no later sample can change.

        A frame is given once the audio reaches 256 samples past its centre. The window itself ends at 200, but the
        transform is cut from 512: the 3.5 ms of waiting keep streaming and offline the same computation.
        """
        state.samples += len(samples)
        state.tail = torch.cat([state.tail, samples]) if len(state.tail) else samples
        if state.samples < MIN_SAMPLES:
            return samples.new_empty(0, MEL_BANDS)
        if not state.mirrored:
            state.tail, state.mirrored = torch.cat([state.tail[1:MIN_SAMPLES].flip(0), state.tail]), True
        return self._frames(state)

    def finish(self, state: MelState) -> Tensor:
        """Gives the last raw frames `[n, 80]`; the audio is mirrored at its end as it was at its start."""
        if state.samples < MIN_SAMPLES:
            return state.tail.new_empty(0, MEL_BANDS)
        state.tail = torch.cat([state.tail, state.tail[-MIN_SAMPLES:-1].flip(0)])
        return self._frames(state)

    def _frames(self, state: MelState) -> Tensor:
        """Every frame that the tail holds whole; the tail then begins where the next frame's transform begins."""
        count = (len(state.tail) - FFT_SIZE) // HOP + 1
        if count <= 0:
            return state.tail.new_empty(0, MEL_BANDS)
        power = self.spectrogram(state.tail[: (count - 1) * HOP + FFT_SIZE])  # [80, count]
        state.tail = state.tail[count * HOP :]
        return power.clamp(min=QUIETEST).log10().T


def settled_frames(samples: int) -> int:
    """Raw mel frames that `LogMel.push` has given after so many samples."""
    return (samples - REACH) // HOP + 1 if samples >= MIN_SAMPLES else 0


def loudest(raw: Tensor) -> float:
    """The loudest bin of raw mel frames `[n, 80]`."""
    return float(raw.max()) if len(raw) else 0.0


def stack(raw: Tensor, peak: float) -> Tensor:
    """Raw mel frames `[n, 80]` to encoder features `[n // 2, 160]`; `peak` is the loudest bin of the utterance.

    A last frame without a partner is dropped, as in the reference.
    """
    frames = len(raw) // 2
    return (torch.clamp(raw[: 2 * frames], min=peak - FLOOR_DECADES) / 4 + 1).reshape(frames, 2 * MEL_BANDS)
