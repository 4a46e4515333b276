"""Is somebody speaking? Silero's voice detector, for many streams at once, and the rule that cuts speech into segments.

The detector hears 32 ms at a time. Only its LSTM looks back, so all chunks of all streams go through its convolutions
together. Its weights come with the package `silero-vad` (https://github.com/snakers4/silero-vad, MIT); the network is
written here because the packaged one keeps its state inside and takes one stream and one chunk a call.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import pad

from model.features import SAMPLE_RATE

CHUNK = 512  # samples, 32 ms
CONTEXT = 64  # samples of the chunk before that the detector sees again
CHUNK_MS = 1000 * CHUNK / SAMPLE_RATE
SPEECH, NO_SPEECH = 0.5, 0.35  # probabilities at which speech begins and ends; between them nothing changes
ONSET_CHUNKS = 3  # about 100 ms of speech in a row begin a segment: a click does not
PATIENT_SECONDS = 12.0  # until here a segment ends at a full endpoint; then ever shorter pauses will do
SHORTEST_PAUSE_MS = 2 * CHUNK_MS


@dataclass(slots=True)
class VoiceState:
    """What the detector remembers of one stream."""

    context: Tensor = field(default_factory=lambda: torch.zeros(CONTEXT))
    hidden: Tensor = field(default_factory=lambda: torch.zeros(128))
    cell: Tensor = field(default_factory=lambda: torch.zeros(128))


class VoiceDetector(nn.Module):
    """Silero VAD version 6, 16 kHz. Attribute names are those of its weights."""

    def __init__(self) -> None:
        super().__init__()
        self.stft_conv = nn.Conv1d(1, 258, 256, stride=128, bias=False)
        self.conv1 = nn.Conv1d(129, 128, 3, padding=1)
        self.conv2 = nn.Conv1d(128, 64, 3, stride=2, padding=1)
        self.conv3 = nn.Conv1d(64, 64, 3, stride=2, padding=1)
        self.conv4 = nn.Conv1d(64, 128, 3, padding=1)
        self.lstm = nn.LSTM(128, 128, batch_first=True)
        self.final_conv = nn.Conv1d(128, 1, 1)

    @classmethod
    def load(cls) -> VoiceDetector:
        """The detector with the weights of the installed package."""
        package = find_spec("silero_vad")
        assert package is not None, "silero-vad is a dependency"
        assert package.origin is not None, "silero-vad is a package of files"
        weights = load_file(Path(package.origin).parent / "data" / "silero_vad_16k.safetensors")
        detector = cls()
        detector.load_state_dict(
            {
                # the package has an LSTM cell; a one-layer LSTM is the same cell over a whole sequence
                (f"lstm.{name.removeprefix('lstm_cell.')}_l0" if name.startswith("lstm_cell.") else name): tensor
                for name, tensor in weights.items()
            }
        )
        return detector.eval().requires_grad_(False)

    @torch.inference_mode()
    def listen(self, audio: Sequence[Tensor], states: Sequence[VoiceState]) -> list[Tensor]:
        """Speech probabilities `[n]` of each stream's next `n` chunks `[n * 512]`; changes the states."""
        pieces, counts = [], []
        for samples, state in zip(audio, states, strict=True):
            pieces.append(torch.cat([state.context, samples]).unfold(0, CONTEXT + CHUNK, CHUNK))
            counts.append(len(pieces[-1]))
            state.context = samples[-CONTEXT:]
        encoded = torch.split(self._encode(torch.cat(pieces)), counts)
        before = (
            torch.stack([state.hidden for state in states])[None],
            torch.stack([state.cell for state in states])[None],
        )
        packed = nn.utils.rnn.pack_sequence(list(encoded), enforce_sorted=False)
        output, (hidden, cell) = self.lstm(packed, before)
        for index, state in enumerate(states):
            state.hidden, state.cell = hidden[0, index], cell[0, index]
        padded, _ = nn.utils.rnn.pad_packed_sequence(output, batch_first=True)
        probabilities = self.final_conv(padded.relu().transpose(1, 2)).sigmoid()[:, 0]
        return [row[:count] for row, count in zip(probabilities, counts, strict=True)]

    def _encode(self, chunks: Tensor) -> Tensor:
        """Chunks with their context `[N, 576]` to what the LSTM sees `[N, 128]`, each for itself."""
        spectrum = self.stft_conv(pad(chunks, (0, CONTEXT), mode="reflect")[:, None])
        real, imaginary = spectrum.chunk(2, dim=1)
        hidden = (real.square() + imaginary.square()).sqrt()
        for layer in (self.conv1, self.conv2, self.conv3, self.conv4):
            hidden = layer(hidden).relu()
        return hidden[..., 0]


@dataclass(slots=True)
class Endpointer:
    """Where segments begin and end, from speech probabilities alone: so however audio is cut, segments are the same.

    The longer a segment, the shorter the pause that ends it: the full endpoint up to 12 s, from there falling
    steadily to 64 ms at the longest segment allowed, so that talks without rest are cut at their best pause.
    """

    endpoint_ms: float
    longest_seconds: float
    speaking: bool = False
    speech_ms: float = 0.0  # of uninterrupted speech, while not yet speaking
    pause_ms: float = 0.0  # since speech was last heard
    length_ms: float = 0.0  # of the open segment

    def hear(self, probability: float) -> bool:
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
        self.speaking, self.speech_ms = False, 0.0
        return True

    def begin(self, seconds: float) -> None:
        """Opens a segment of which so much was heard: an onset, or what lies behind a cut."""
        self.speaking, self.pause_ms, self.length_ms = True, 0.0, 1000 * seconds

    def room_chunks(self) -> int:
        """Chunks until a segment that is open, or opens now, is as long as it may get."""
        length_ms = self.length_ms if self.speaking else 0.0
        return int((1000 * self.longest_seconds - length_ms) // CHUNK_MS)

    def pause_needed_ms(self) -> float:
        """The silence that ends a segment as long as the open one."""
        late_ms = self.length_ms - 1000 * PATIENT_SECONDS
        room_ms = 1000 * (self.longest_seconds - PATIENT_SECONDS)
        if late_ms <= 0 or room_ms <= 0:
            return self.endpoint_ms
        return max(SHORTEST_PAUSE_MS, self.endpoint_ms * (1 - late_ms / room_ms))
