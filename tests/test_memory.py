"""Loading takes little more memory than the weights themselves, and says so beforehand where there is not enough."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import torch
from safetensors.torch import load_file, save_file

from model import memory
from model.checkpoint import size_of, weights_met
from model.config import SpeechConfig
from model.errors import CheckpointError
from model.files import SINGLE
from model.granite import Extension
from model.known import KNOWN, Known, Size
from model.linear import Bits, in_four_bits
from model.lora import LoraConfig
from model.memory import Form
from model.packed import Int4
from model.speech import GraniteSpeech
from tests.checkpoints import VARIANTS, save
from tests.shapes import ADAPTER, shape

GB = 10**9
LAYERS = 4  # of 1024 wide: 160 million parameters with the rest, 320 MB in bfloat16
ROUNDING = 96 << 20  # bytes: together with the packed weights still less than the whole ones
CPU = torch.device("cpu")

# Runs alone, because the peak of a process is that of all it ever did. Every weight is read: mapped ones count too.
LOAD = """
import sys, torch
from pathlib import Path
from model.checkpoint import load_weights
from model.config import SpeechConfig
from model.speech import GraniteSpeech
directory, dtype = Path(sys.argv[1]), getattr(torch, sys.argv[2])
def peak():
    return 1024 * int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
torch.zeros(9).bfloat16().float().half()
with torch.device("meta"):
    network = GraniteSpeech(SpeechConfig.read(directory))
before = peak()
load_weights(network, directory, dtype, torch.device("cpu"), sys.argv[3])
everything = {*network.parameters(), *network.buffers()}
weights = sum(each.nbytes for each in everything)
assert all(torch.isfinite(each.min()) for each in everything)
print(weights, peak() - before)
"""


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of 300 MB, as far as loading weights goes."""
    directory = tmp_path_factory.mktemp("large")
    values = shape("ibm-granite/granite-speech-4.1-2b", layers=2)
    values["text_config"] |= {"hidden_size": 1024, "vocab_size": 4096, "num_hidden_layers": LAYERS}
    values["text_config"] |= {"num_attention_heads": 8, "num_key_value_heads": 2}
    (directory / "config.json").write_text(json.dumps(values))
    with torch.device("meta"):
        network = GraniteSpeech(SpeechConfig.read(directory))
    state = {name: each for name, each in network.state_dict().items() if each.is_floating_point()}
    save_file({name: torch.rand(each.shape, dtype=torch.bfloat16) for name, each in state.items()}, directory / SINGLE)
    return directory


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells the peak of a process")
@pytest.mark.parametrize(
    ("dtype", "bits", "least"),
    [
        ("bfloat16", "none", 0.28),
        ("float16", "none", 0.28),
        ("float32", "none", 0.56),
        ("bfloat16", "int8", 0.14),
        ("bfloat16", "int4", 0.11),
    ],
)
def test_loading_takes_a_tenth_more_than_the_weights_at_most(large: Path, dtype: str, bits: str, least: float) -> None:
    command = [sys.executable, "-c", LOAD, str(large), dtype, bits]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    weights, peak = map(int, result.stdout.split())
    assert least * GB < weights < 1.3 * least * GB
    # where weights are packed, pieces of a file and of rows that are rounded stand beside them, and leave holes
    assert peak <= 1.1 * weights + (0 if bits == "none" else ROUNDING)


def test_parameters_are_counted_without_reading_them(large: Path) -> None:
    with torch.device("meta"):
        network = GraniteSpeech(SpeechConfig.read(large))
    total = sum(each.numel() for each in network.state_dict().values() if each.is_floating_point())
    assert size_of(network, large) == Size(total, numbers_in_four_bits(network), *weights_met(network))


def test_what_is_counted_in_four_bits_is_what_is_packed_into_them(tmp_path: Path) -> None:
    variant = VARIANTS[0]
    save(variant, tmp_path)
    state = load_file(tmp_path / SINGLE)
    state["language_model.lm_head.weight"] = state["language_model.model.embed_tokens.weight"].clone()
    save_file(state, tmp_path / SINGLE)
    network = GraniteSpeech.load(tmp_path, quantize="int4")
    packed = [
        each.packed.shape.numel() for each in network.modules() if isinstance(getattr(each, "packed", None), Int4)
    ]
    assert packed
    with torch.device("meta"):
        shape_alone = GraniteSpeech(network.config)
    assert size_of(shape_alone, tmp_path).four_bits == sum(packed), "the tied head, stored twice, is not among them"


def numbers_in_four_bits(network: GraniteSpeech) -> int:
    state = network.state_dict()
    return sum(state[name].numel() for name in in_four_bits(network))


@pytest.mark.parametrize(
    ("dtype", "bits", "free", "advice"),
    [
        (
            torch.float32,
            "none",
            18 * GB,
            "m needs 35.2 GB of memory as float32 on cpu and 18.0 GB are free; what would fit: "
            "m as bfloat16 (17.6 GB), m as int8 (8.8 GB), m as int4 (5.9 GB), "
            "ibm-granite/granite-speech-3.3-2b as bfloat16 (6.7 GB), nano",
        ),
        (
            torch.bfloat16,
            "none",
            5 * GB,
            "m needs 17.6 GB of memory as bfloat16 on cpu and 5.0 GB are free; what would fit: "
            "ibm-granite/granite-speech-4.1-2b-plus as bfloat16 (4.6 GB), nano",
        ),
        (
            torch.bfloat16,
            "int8",
            1 * GB,
            "m needs 8.8 GB of memory as int8 on cpu and 1.0 GB are free; what would fit: nano",
        ),
    ],
    ids=["half the size fits", "a smaller model fits", "only nano fits"],
)
def test_too_little_memory_is_a_line_that_says_what_would_fit(
    monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype, bits: Bits, free: int, advice: str
) -> None:
    monkeypatch.setattr(memory, "free_bytes", lambda _: free)
    with pytest.raises(CheckpointError) as caught:
        memory.require("m", Size(8 * GB, 6 * GB, GB, 7 * GB), Form.of(dtype, bits), CPU)
    assert str(caught.value) == advice


def test_what_would_fit_names_no_model_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    largest = max(KNOWN, key=lambda known: known.size.parameters)
    monkeypatch.setattr(memory, "free_bytes", lambda _: memory.needed_bytes(largest.size, memory.BFLOAT16))
    with pytest.raises(CheckpointError) as caught:
        memory.require(f"{largest.name}@main", largest.size, Form.of(torch.float32), CPU)
    advice = str(caught.value).partition("would fit: ")[2]
    assert advice.count(largest.name) == 3
    assert advice.count("as bfloat16") == 2


@pytest.mark.parametrize("free", [None, 100 * GB], ids=["unknown", "enough"])
def test_enough_memory_is_no_matter(monkeypatch: pytest.MonkeyPatch, free: int | None) -> None:
    monkeypatch.setattr(memory, "free_bytes", lambda _: free)
    memory.require("m", Size(8 * GB, 6 * GB, GB, 7 * GB), Form.of(torch.float32), CPU)


def test_memory_is_asked_for_before_weights_are_loaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    save(VARIANTS[0], tmp_path)
    monkeypatch.setattr(memory, "free_bytes", lambda _: 1000)
    with pytest.raises(CheckpointError, match=r"needs .* and 0\.0 GB are free"):
        GraniteSpeech.load(tmp_path)


def test_a_known_model_that_does_not_fit_is_not_even_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_bytes", lambda _: GB)
    monkeypatch.setattr("model.speech.locate", lambda _: pytest.fail("it was fetched"))
    with pytest.raises(CheckpointError, match=r"3\.3-8b@v1 needs 19\.1 GB"):
        GraniteSpeech.load("ibm-granite/granite-speech-3.3-8b@v1")


def test_this_machine_tells_how_much_is_free() -> None:
    free = memory.free_bytes(CPU)
    if sys.platform == "linux":
        assert free is not None
    assert free is None or 1_000_000 < free <= psutil.virtual_memory().total


@pytest.mark.parametrize(
    ("limit", "allowed"), [("3000000000", 2 * GB + 30), ("max", None)], ids=["a limit", "no limit"]
)
def test_a_container_has_what_its_limit_leaves(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, limit: str, allowed: int | None
) -> None:
    (tmp_path / "memory.max").write_text(limit + "\n")
    (tmp_path / "memory.current").write_text("1000000000\n")
    (tmp_path / "memory.stat").write_text("anon 5\ninactive_file 10\nactive_file 20\nfile 40\n")
    monkeypatch.setattr(memory, "CONTROL_GROUP", tmp_path)
    monkeypatch.setattr(memory, "_available", lambda: 8 * GB)
    assert memory.free_bytes(CPU) == (allowed or 8 * GB)


@pytest.mark.parametrize("known", KNOWN, ids=lambda known: known.name)
def test_known_models_are_as_large_as_their_shapes(known: Known) -> None:
    config = SpeechConfig.parse(shape(known.name))
    if config.has_lora_adapter:
        config = replace(config, text=replace(config.text, lora=LoraConfig.parse(ADAPTER)))
    with torch.device("meta"):
        network = GraniteSpeech(config)
    buffers = sum(each.numel() for each in network.buffers() if each.is_floating_point())
    assert known.size.parameters == buffers + sum(each.numel() for each in network.parameters())
    assert known.size.four_bits == numbers_in_four_bits(network)
    assert (known.size.per_frame, known.size.per_token) == weights_met(network)


# Runs alone, because what keeps compiled code is the process, and reads how much at the first use.
ENCODE = """
import torch
from model import GraniteSpeech
from model.speech import Span
torch.set_num_threads(1)
network = GraniteSpeech.load("nano")
def resident():
    return 1024 * int(next(line for line in open("/proc/self/status") if line.startswith("VmRSS")).split()[1])
network.encode([Span(torch.zeros(300, 160))])
before = resident()
for frames in range(20, 220):
    network.encode([Span(torch.zeros(frames, 160))])
print(resident() - before)
"""


def test_audio_of_ever_new_lengths_leaves_nothing_behind() -> None:
    grown = subprocess.run([sys.executable, "-c", ENCODE], capture_output=True, text=True, check=True).stdout
    assert int(grown) < 30 << 20  # where all is kept, 200 lengths leave 65 MB


def test_slots_of_the_cache_take_memory_only_where_they_are_written(nano: GraniteSpeech) -> None:
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

    before, cache = resident(), nano.cache(capacity=100_000)  # 300 MB a slot
    slots = [cache.acquire() for _ in range(6)]
    nano.extend([Extension(slot, 0, torch.randn(500, nano.config.text.hidden_size)) for slot in slots], cache)
    slots += [cache.acquire() for _ in range(3)]
    assert len(cache.lengths) == 16
    assert resident() - before < 5 * 10**8
