"""The true shape of granite-speech 4.1-2b with random weights: ours in bfloat16, int8 and int4 against transformers.

All networks are made of the same tensors, and ours are kept as they would be if they had been loaded here: a processor
without bfloat16 has a copy of the same weights, to compute with in float32. 30 s of speech, exactly 12 new tokens:
stop tokens are switched off. Definitions as in `offline`; ratio: CPU seconds of transformers / of the one in question.
weights: bytes of all tensors. work: what the process takes beyond that while it transcribes, at its peak. `--layers 2`
tries it with two layers of each stack. Needs 15 GiB of memory.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil
import torch
from torch import Tensor, nn
from transformers import GraniteSpeechConfig, GraniteSpeechForConditionalGeneration
from transformers.models.granite.modeling_granite import GraniteRotaryEmbedding

from model.alignment import Alphabet
from model.checkpoint import NANO, canonical
from model.config import SpeechConfig
from model.linear import Bits, by_default, packers, put
from model.processor import Processor
from model.speech import GraniteSpeech
from streamer.estimate import TIMED
from tests import shapes
from tests.benchmarks.common import SAMPLE_RATE, Clock, Settings, median, recordings
from tests.benchmarks.offline import embeddings, parts
from tests.benchmarks.reference import Reference
from tests.benchmarks.report import save, table

TOKENS = 12
SECONDS = 30
NEEDED_GIB, FEW_GIB = 15, 4  # with all layers, with a few
AUDIO_TOKEN = 3  # that of nano's tokenizer, which stands in for the real one


def run(settings: Settings) -> None:
    """Builds all, measures all."""
    if not enough_memory("offline_2b", settings):
        return
    config = shape_2b(settings.layers)
    network = ours(config)
    reference = Reference(theirs(config, network))
    clip = recordings()["talk"][: SECONDS * SAMPLE_RATE]
    networks = {form: loaded(network, bits) for form, bits in TIMED.items()}
    results = compare(reference, networks, clip, min(settings.repeats, 2))
    columns = ["", *results]
    rows = [[key, *(each[key] for each in results.values())] for key in next(iter(results.values()))]
    parameters = sum(each.numel() for each in network.parameters())
    table(f"4.1-2b shape, {parameters / 1e9:.2f} B parameters, {SECONDS} s of audio, CPU seconds", columns, rows)
    table("difference of embeddings", ("relative maximum",), [[difference(networks["bfloat16"], reference, clip)]])
    more = {"parameters": parameters, "audio_seconds": SECONDS, "tokens": TOKENS}
    save("offline_2b", settings, {"results": results, **more})


def enough_memory(name: str, settings: Settings) -> bool:
    """Whether there is; says so if not."""
    free, needed_gib = psutil.virtual_memory().available / 2**30, FEW_GIB if settings.layers else NEEDED_GIB
    if free < needed_gib:
        print(f"{name} left out: it needs {needed_gib} GiB of memory, {free:.1f} are free")
    return free >= needed_gib


def shape_2b(layers: int) -> GraniteSpeechConfig:
    """The shape, or so many layers of each stack."""
    values = {**shapes.shape("ibm-granite/granite-speech-4.1-2b", layers or None), "audio_token_index": AUDIO_TOKEN}
    return GraniteSpeechConfig.from_dict(values)


def compare(
    reference: Reference, networks: Mapping[str, GraniteSpeech], clip: Tensor, repeats: int
) -> dict[str, dict[str, float]]:
    """What each takes for each part, taking turns; transformers comes first."""
    work: dict[str, dict[str, Callable[[], object]]] = {"transformers": {}}
    for form, network in networks.items():
        pairs = parts(network, reference, [clip])
        work[form] = {name: pair[1] for name, pair in pairs.items()}
        work[form]["transcribe"] = lambda network=network: network.transcribe(clip, max_tokens=TOKENS)
        work["transformers"] = {name: pair[0] for name, pair in pairs.items()}
    work["transformers"]["transcribe"] = lambda: reference.transcribe(clip, TOKENS, min_new_tokens=TOKENS)
    weights = {"transformers": reference.network, **networks}
    for calls in work.values():
        calls["transcribe"]()  # first calls are slow, and what they load is no work
    peaks = {form: working_bytes(calls["transcribe"]) for form, calls in work.items()}
    seconds: dict[str, dict[str, list[float]]] = {form: {name: [] for name in calls} for form, calls in work.items()}
    for _ in range(repeats):
        for part in work["transformers"]:
            for form, calls in work.items():
                with Clock() as clock:
                    calls[part]()
                seconds[form][part].append(clock.cpu)
    results: dict[str, dict[str, float]] = {}
    for form in work:
        result = {part: median(each) for part, each in seconds[form].items()}
        result["token"] = (result["transcribe"] - result["encode"] - result["prefill"]) / TOKENS
        theirs_took = results.get("transformers", result)
        ratios = {f"ratio: {part}": theirs_took[part] / took for part, took in result.items()}
        memory = {"weights GB": weight_bytes(weights[form]) / 1e9, "work GB": peaks[form] / 1e9}
        results[form] = {**result, "tokens a second": 1 / result["token"], **ratios, **memory}
    return results


def working_bytes(call: Callable[[], object]) -> float:
    """By how much the process grows at most during a call; NaN where the system does not tell (Linux does)."""
    clear = Path("/proc/self/clear_refs")
    if not clear.exists():
        call()
        return float("nan")
    clear.write_text("5")  # the peak begins anew
    before = _status("VmRSS")
    call()
    return _status("VmHWM") - before


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(name)).split()[1])


def weight_bytes(network: nn.Module) -> int:
    """Of all its tensors; shared ones count once."""
    return sum(each.nbytes for each in {*network.parameters(), *network.buffers()})


def loaded(network: GraniteSpeech, bits: Bits) -> GraniteSpeech:
    """The same as `GraniteSpeech.load` would keep it on this machine; what is kept as it is is shared."""
    dtype, kept = by_default(bits, network.device)
    with torch.device("meta"):
        packed = GraniteSpeech(network.config)
    state, packing = network.state_dict(), packers(packed, kept)
    for name, pack in packing.items():
        put(packed, name, pack(state[name].flatten(1), network.device))
    rest = {name: each for name, each in state.items() if name not in packing}
    rest = {name: each.to(dtype) if each.is_floating_point() else each for name, each in rest.items()}
    packed.load_state_dict(rest, assign=True)
    packed.alphabet = network.alphabet
    packed.equip(network.processor)
    return packed.eval().requires_grad_(False)


def ours(config: GraniteSpeechConfig) -> GraniteSpeech:
    """Our network with random weights; nothing is saved."""
    shape = SpeechConfig.parse(config.to_dict())
    with torch.device("meta"):
        network = GraniteSpeech(shape)
    noise = torch.randn(1 << 20, generator=torch.Generator().manual_seed(0)).bfloat16()
    network.load_state_dict(
        {name: _draw(name, each, noise) for name, each in network.state_dict().items()}, assign=True
    )
    network.equip(Processor.read(NANO, shape))
    network.processor.stop_token = -1  # no token is: decoding goes on to the limit
    network.alphabet = Alphabet(
        dataclasses.replace(shape, ctc_labels=("",))
    )  # a head that spells nothing drafts nothing
    return network.eval().requires_grad_(False)


def _draw(name: str, shape: Tensor, noise: Tensor) -> Tensor:
    """Noise scaled so that activations stay of the order of one; the same million numbers over and over."""
    if not shape.is_floating_point():
        return torch.zeros(shape.shape, dtype=shape.dtype)
    if shape.ndim == 1:
        return (torch.ones if "norm" in name.lower() and not name.endswith(("bias", "mean")) else torch.zeros)(
            shape.shape, dtype=torch.bfloat16
        )
    drawn = torch.empty(shape.shape, dtype=torch.bfloat16)
    scaled = noise / shape[0].numel() ** 0.5
    for piece in drawn.flatten().split(len(noise)):
        piece.copy_(scaled[: len(piece)])
    return drawn


def theirs(config: GraniteSpeechConfig, network: GraniteSpeech) -> GraniteSpeechForConditionalGeneration:
    """transformers' network over our tensors."""
    with torch.device("meta"):
        result = GraniteSpeechForConditionalGeneration(config)
    tensors = network.state_dict()
    result.load_state_dict({name: tensors[canonical(name)] for name in result.state_dict()}, assign=True)
    # tables that are computed, not stored, are still without memory
    result.model.language_model.rotary_emb = GraniteRotaryEmbedding(config.text_config)
    places = torch.arange(config.encoder_config.context_size)
    result.model.encoder.attention_dists = places[:, None] - places + config.encoder_config.max_pos_emb
    result.generation_config.eos_token_id = None
    return result.eval().requires_grad_(False)


def difference(network: GraniteSpeech, reference: Reference, clip: Tensor) -> float:
    """How far the two are apart: a sign that they compute the same."""
    mine, other = embeddings(network, clip).float(), reference.embeddings(clip)[0].float()
    return float((mine - other).abs().max() / other.abs().max())
