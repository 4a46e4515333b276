"""Would a model keep up with speech here? Guessed before it is fetched, from a slice of one that is timed now.

Nearly all the time goes into products with weights. So a slice of the 4.1-2b, made up of as many weights of the type in
question as no processor keeps at hand, does the work of an update; what that takes is multiplied by how many more
weights a model has. What an update is depends on how people speak: the figures below are those of plain reading, each
new token decoded by a forward of its own, all that was said before drafted right. Pauses cost nothing and are not
counted in: the guess is for somebody who goes on speaking. The benchmark `live_2b` sets it beside the truth.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from model.checkpoint import weights_met
from model.config import WINDOW_FRAMES, SpeechConfig
from model.features import FRAME_SECONDS
from model.granite import Extension
from model.known import Size
from model.linear import Bits, Kept, by_default, in_four_bits, packers, put
from model.packed import Bfloat16, Int4, Int8, Packed
from model.speech import GraniteSpeech, Span
from streamer.hearing import OVERLAP_FRAMES

TIMED: dict[str, Bits] = {"bfloat16": "none", "int8": "int8", "int4": "int4"}  # forms, as --quantize says them
TOKENS_A_SECOND = 4.0  # three words
EMBEDDINGS_A_FRAME = 3 / WINDOW_FRAMES
SEGMENT_SECONDS = 6.0  # between two pauses
INSTRUCTION = 16  # tokens between the audio and the text
SLICE = {  # a tenth of the 4.1-2b's language model and an eighth of its encoder, which has 16 layers
    "model_type": "granite_speech",
    "encoder_config": {"num_layers": 2, "output_dim": 348},
    "projector_config": {
        "hidden_size": 1024,
        "num_hidden_layers": 2,
        "num_attention_heads": 16,
        "intermediate_size": 4096,
        "encoder_hidden_size": 1024,
        "cross_attention_frequency": 1,
    },
    "text_config": {
        "vocab_size": 10_035,
        "hidden_size": 2048,
        "intermediate_size": 4096,
        "num_hidden_layers": 4,
        "num_attention_heads": 16,
        "num_key_value_heads": 4,
    },
    "tie_word_embeddings": False,
}
VALUE = 0.01  # of made-up weights: neither zeros, which memory may share, nor values that grow to infinity
STEP_SECONDS = 0.6  # of the update that is timed; others are reckoned from it
TURNS = 2  # of which the faster counts; the first is slow
PATIENCE_SECONDS = 1.0  # a call that takes longer is not repeated


@dataclass(frozen=True, slots=True)
class Update:
    """What an update asks of the network."""

    frames: int  # to encode
    positions: int  # to read at once: embeddings that changed, the instruction, and what was said as a draft
    tokens: float  # to decode, one by one

    @classmethod
    def of(cls, step_seconds: float) -> Update:
        """An update after so much new audio, in the middle of a segment."""
        frames = round(step_seconds / FRAME_SECONDS) + OVERLAP_FRAMES
        said = round(TOKENS_A_SECOND * SEGMENT_SECONDS / 2)
        return cls(frames, round(frames * EMBEDDINGS_A_FRAME) + INSTRUCTION + said, TOKENS_A_SECOND * step_seconds)

    @classmethod
    def final(cls) -> Update:
        """The end of a segment: it is encoded and read once more as a whole."""
        frames = round(SEGMENT_SECONDS / FRAME_SECONDS)
        said = round(TOKENS_A_SECOND * SEGMENT_SECONDS)
        return cls(frames, round(frames * EMBEDDINGS_A_FRAME) + INSTRUCTION + said, 0)


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds of work for each weight that something is multiplied with."""

    frame: float
    token: float  # that is read alone
    position: float  # of many that are read at once, behind the first

    def load(self, size: Size, step_seconds: float) -> float:
        """Seconds of work of a model for a second of speech: it keeps up if there are less than one."""
        update, final = self._seconds(size, Update.of(step_seconds)), self._seconds(size, Update.final())
        return update / step_seconds + final / SEGMENT_SECONDS

    def _seconds(self, size: Size, update: Update) -> float:
        reading = self.token * (1 + update.tokens) + self.position * (update.positions - 1)
        return size.per_frame * self.frame * update.frames + size.per_token * reading


@torch.inference_mode()
def measure(network: GraniteSpeech) -> Pace:
    """Times the calls of an update."""
    update, config = Update.of(STEP_SECONDS), network.config
    span = Span(torch.zeros(update.frames, config.encoder.input_dim))
    inputs = torch.zeros(update.positions, config.text.hidden_size, dtype=network.dtype, device=network.device)
    cache = network.cache(update.positions + 1)
    slot = cache.acquire()
    hearing = _fastest(lambda: network.encode([span]), network.device)
    reading = _fastest(lambda: network.extend([Extension(slot, 0, inputs)], cache), network.device)
    one = [Extension(slot, update.positions, inputs[:1])]
    alone = _fastest(lambda: network.extend(one, cache), network.device)
    per_frame, per_token = weights_met(network)
    return Pace(
        frame=hearing / update.frames / per_frame,
        token=alone / per_token,
        position=max(0.0, reading - alone) / (update.positions - 1) / per_token,
    )


def _fastest(work: Callable[[], object], device: torch.device) -> float:
    """Seconds that a call takes: what else the machine does meanwhile is no property of the model."""
    seconds = []
    for _ in range(TURNS):
        wall, processor = time.perf_counter(), time.process_time()
        work()
        wall, processor = time.perf_counter() - wall, time.process_time() - processor
        seconds += [wall, processor / torch.get_num_threads()] if device.type == "cpu" else [wall]
        if wall > PATIENCE_SECONDS:
            break
    return min(seconds)


def made_up(bits: Bits, device: torch.device) -> GraniteSpeech:
    """A network of the slice's shape with weights that mean nothing, kept as `GraniteSpeech.load` would keep them."""
    with torch.device("meta"):
        network = GraniteSpeech(SpeechConfig.parse(SLICE))
    dtype, kept = by_default(bits, device)
    four = in_four_bits(network) if bits == "int4" else set()
    for name in packers(network, kept):
        shape = network.get_parameter(name).flatten(1).shape
        put(network, name, _packed(shape, "int4" if name in four else "int8" if kept == "int4" else kept, device))
    for module in network.modules():
        for name, each in {**module._parameters, **module._buffers}.items():
            if each is not None and each.is_meta:
                kind = dtype if each.is_floating_point() else each.dtype
                made = torch.full(each.shape, VALUE if each.is_floating_point() else 0, dtype=kind, device=device)
                setattr(module, name, nn.Parameter(made, requires_grad=False) if name in module._parameters else made)
    return network.eval()


def _packed(shape: torch.Size, kept: Kept, device: torch.device) -> Packed:
    if kept == "bfloat16":
        return Bfloat16(torch.full(shape, VALUE, dtype=torch.bfloat16, device=device))
    if kept == "int8":
        codes = torch.ones(shape, dtype=torch.int8, device=device)
        return Int8(codes, torch.full(shape[:1], VALUE, dtype=torch.bfloat16, device=device))
    packed = Int4(shape[0], shape[1], device)
    packed.codes.fill_(1)
    packed.scales.fill_(VALUE)
    return packed
