"""Is somebody speaking? Silero's voice detector, for many streams at once, and the rule that cuts speech into segments.

The detector hears 32 ms at a time. Only its LSTM looks back, so all chunks of all streams go through its convolutions
together. Its weights come with the package `silero-vad` (https://github.com/snakers4/silero-vad, MIT); the network is
written here because the packaged one keeps its state inside and takes one chunk a call. They are those that the
package itself runs, so they are read from its TorchScript file: its safetensors hold another training's.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.features import SAMPLE_RATE

CHUNK = 512  # samples, 32 ms
SPECTRUM_STRIDE = 128  # samples between its four spectra of a chunk
CONTEXT = 64  # samples of the chunk before that the detector sees again
CHUNK_MS = 1000 * CHUNK / SAMPLE_RATE
SPEECH, NO_SPEECH = 0.5, 0.35  # probabilities at which speech begins and ends; between them nothing changes
ONSET_CHUNKS = 3  # about 100 ms of speech in a row begin a segment: a click does not
PATIENT_SECONDS = 12.0  # until here a segment ends at a full endpoint; then ever shorter pauses will do
SHORTEST_PAUSE_MS = 2 * CHUNK_MS
LAG_MS = 3 * CHUNK_MS  # from a word's end to the end of the first chunk without speech: the median of 240 clips is 89


@dataclass(slots=True)
class VoiceState:
    """What the detector remembers of one stream."""

    context: Tensor = field(default_factory=lambda: torch.zeros(CONTEXT))
    hidden: Tensor = field(default_factory=lambda: torch.zeros(128))
    cell: Tensor = field(default_factory=lambda: torch.zeros(128))


class VoiceDetector:
    """Silero VAD version 6, 16 kHz."""

    def __init__(self, weights: dict[str, Tensor]) -> None:
        """Takes the state of the packaged network's half for 16 kHz."""
        self._spectrum = weights["stft.forward_basis_buffer"][:, 0]  # [258, 256] cosines, then sines
        self._layers = [
            (weights[f"encoder.{index}.reparam_conv.weight"], weights[f"encoder.{index}.reparam_conv.bias"], stride)
            for index, stride in enumerate((1, 2, 2, 1))
        ]
        self._lstm = nn.LSTM(128, 128, batch_first=True).requires_grad_(False)
        # the package has an LSTM cell; a one-layer LSTM is the same cell over a whole sequence
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        self._lstm.load_state_dict({f"{name}_l0": weights[f"decoder.rnn.{name}"] for name in names})
        self._last = weights["decoder.decoder.2.weight"][..., 0], weights["decoder.decoder.2.bias"]

    @classmethod
    def load(cls) -> VoiceDetector:
        """The detector with the weights of the installed package."""
        package = find_spec("silero_vad")
        assert package is not None, "silero-vad is a dependency"
        assert package.origin is not None, "silero-vad is a package of files"
        path = Path(package.origin).parent / "data" / "silero_vad.jit"
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*torch.jit", FutureWarning)  # deprecated, but this file is nothing else
            packaged = torch.jit.load(path, map_location="cpu")  # type: ignore[no-untyped-call]
        return cls(packaged._model.state_dict())  # `_model` is for 16 kHz, `_model_8k` for 8

    @torch.inference_mode()
    def listen(self, audio: Sequence[Tensor], states: Sequence[VoiceState]) -> list[Tensor]:
        """Speech probabilities `[n]` of each stream's next `n` chunks `[n * 512]`; changes the states."""
        pieces, counts = [], []
        for samples, state in zip(audio, states, strict=True):
            pieces.append(torch.cat([state.context, samples]).unfold(0, CONTEXT + CHUNK, CHUNK))
            counts.append(len(pieces[-1]))
        encoded = torch.split(self._encode(torch.cat(pieces)), counts)
        before = (
            torch.stack([state.hidden for state in states])[None],
            torch.stack([state.cell for state in states])[None],
        )
        if len(set(counts)) == 1:  # packing costs more than the LSTM
            output, (hidden, cell) = self._lstm(torch.stack(encoded), before)
        else:
            packed = nn.utils.rnn.pack_sequence(list(encoded), enforce_sorted=False)
            output, (hidden, cell) = self._lstm(packed, before)
            output, _ = nn.utils.rnn.pad_packed_sequence(output, batch_first=True)
        for index, (samples, state) in enumerate(zip(audio, states, strict=True)):  # last: what fails changes nothing
            state.context, state.hidden, state.cell = samples[-CONTEXT:].clone(), hidden[0, index], cell[0, index]
        probabilities = F.linear(output.relu(), *self._last).sigmoid()[..., 0]
        return [row[:count] for row, count in zip(probabilities, counts, strict=True)]

    def _encode(self, chunks: Tensor) -> Tensor:
        """Chunks with their context `[N, 576]` to what the LSTM sees `[N, 128]`, each for itself."""
        mirrored = F.pad(chunks, (0, CONTEXT), mode="reflect")
        spectrum = mirrored.unfold(1, self._spectrum.shape[1], SPECTRUM_STRIDE) @ self._spectrum.T  # [N, 4, 258]
        cosine, sine = spectrum.chunk(2, dim=-1)
        hidden = (cosine.square() + sine.square()).sqrt()
        for weight, bias, stride in self._layers:
            # over four places or fewer, a product of matrices is much cheaper than a call of a convolution
            near = F.pad(hidden, (0, 0, 1, 1)).unfold(1, 3, stride).flatten(2)  # [N, places, channels * 3]
            hidden = F.linear(near, weight.flatten(1), bias).relu()
        return hidden[:, 0]


@dataclass(slots=True)
class Endpointer:
    """Where segments begin and end, from speech probabilities alone: so however audio is cut, segments are the same.

    The silence of an endpoint begins with the end of speech, which the detector notices later; so it hears less of it.
    The longer a segment, the shorter the pause that ends it: the full endpoint up to 12 s, from there falling
    steadily to 64 ms shortly before the longest allowed, so that talks without rest are cut at their best pause.
    """

    endpoint_ms: float
    longest_seconds: float
    speaking: bool = False
    speech_ms: float = 0.0  # of uninterrupted speech, while not yet speaking
    pause_ms: float = 0.0  # since speech was last heard
    length_ms: float = 0.0  # of the open segment

    def notice(self, probability: float) -> bool:
        """Takes the next chunk's probability; tells whether speech began or ended with it."""
        if not self.speaking:
            self.speech_ms = self.speech_ms + CHUNK_MS if probability >= SPEECH else 0.0
            if self.speech_ms < ONSET_CHUNKS * CHUNK_MS:
                return False
            self.begin(ONSET_CHUNKS * CHUNK_MS / 1000)
            return True
        self.length_ms += CHUNK_MS
        if probability >= SPEECH:
            self.pause_ms = 0.0
        elif probability < NO_SPEECH or self.pause_ms:
            self.pause_ms += CHUNK_MS
        if self.pause_ms < self.pause_needed_ms():
            return False
        self.stop()
        return True

    def stop(self) -> None:
        """The open segment ends here, whoever wished it."""
        self.speaking, self.speech_ms = False, 0.0

    def begin(self, seconds: float, pause_ms: float = 0.0) -> None:
        """Opens a segment of which so much was heard: an onset with its pre-roll, or what lies behind a cut.

        The latter may lie in a pause that has lasted for `pause_ms`, and goes on.
        """
        self.speaking, self.pause_ms, self.length_ms = True, pause_ms, 1000 * seconds

    def room_chunks(self, lead_ms: float) -> int:
        """Chunks until the open segment, or one that opens with the next chunk, is as long as it may get.

        `lead_ms` of the latter lie before that chunk, at most.
        """
        length_ms = self.length_ms if self.speaking else lead_ms
        return int((1000 * self.longest_seconds - length_ms) // CHUNK_MS)

    def pause_needed_ms(self) -> float:
        """The pause, as the detector hears it, that ends a segment as long as the open one."""
        late_ms = self.length_ms - 1000 * PATIENT_SECONDS
        room_ms = 1000 * (self.longest_seconds - PATIENT_SECONDS)
        patience = 1.0 if late_ms <= 0 or room_ms <= 0 else 1 - late_ms / room_ms
        return max(SHORTEST_PAUSE_MS, self.endpoint_ms * patience - LAG_MS)
