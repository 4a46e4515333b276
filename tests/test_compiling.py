"""A compiled network says what it says uncompiled, and nothing is compiled once it is loaded, whatever comes.

Nearly all of it is tested on what torch makes of the layers before it writes code (`eager`, and `aot_eager` after it):
graphs without breaks, lengths as symbols, the cache as an argument that changes. To build code takes long, so a few
forms of it must do.
"""

from __future__ import annotations

import logging
import os
import random
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch._dynamo.utils import counters
from torch._inductor import config as inductor

from model import compiling
from model.compiling import compile_layers
from model.granite import Extension
from model.speech import GraniteSpeech, Span
from tests.checkpoints import VARIANTS, adapt, save

TOLERANCE = 1e-5  # absolute, on values of the order of one in float32: fused operations round elsewhere
FRAMES = torch.randn(640, 160, generator=torch.Generator().manual_seed(7))
EMBEDDINGS = torch.randn(80, 64, generator=torch.Generator().manual_seed(8)) / 12
STREAMS = 4

logging.getLogger("torch.__trace").propagate = False  # pytest would keep thousands of its records


@dataclass(frozen=True)
class Twins:
    """The same network twice."""

    compiled: GraniteSpeech
    plain: GraniteSpeech

    @classmethod
    def load(cls, directory: Path, bits: str, backend: str) -> Twins:
        compiled, plain = (GraniteSpeech.load(directory, dtype=torch.float32, quantize=bits) for _ in range(2))
        compile_layers(compiled, backend)
        return cls(compiled, plain)

    def encode(self, clips: list[tuple[int, int]]) -> None:
        """Compares what both make of clips: so many frames, behind an edge at so many."""
        spans = [self.span(frames, start) for frames, start in clips]
        for ours, expected in zip(self.compiled.encode(spans), self.plain.encode(spans), strict=True):
            for name in ("hidden", "log_probs", "embeddings"):
                torch.testing.assert_close(getattr(ours, name), getattr(expected, name), atol=TOLERANCE, rtol=0)
            for one, other in zip(ours.edges, expected.edges, strict=True):
                torch.testing.assert_close(one.inputs, other.inputs, atol=TOLERANCE, rtol=0)
                torch.testing.assert_close(one.context, other.context, atol=TOLERANCE, rtol=0)

    def span(self, frames: int, start: int) -> Span:
        left = None
        if start:
            (before,) = self.plain.encode([Span(FRAMES[:start], borders=(start,))])
            left = before.edges[0]
        return Span(FRAMES[start : start + frames], start, left, borders=(start + frames // 2,))

    def extend(self, turns: list[list[tuple[int, int, int, bool]]]) -> None:
        """Compares what both predict in each turn, for: slot, start, positions, whether its prompt holds audio."""
        networks = self.compiled, self.plain
        caches = [network.cache(200) for network in networks]
        for cache in caches:
            for _ in range(STREAMS):
                cache.acquire()
        for turn in turns:
            asked = [Extension(slot, start, EMBEDDINGS[slot : slot + n], n, on) for slot, start, n, on in turn]
            both = [network.extend(asked, cache) for network, cache in zip(networks, caches, strict=True)]
            for ours, expected in zip(*both, strict=True):
                assert ours.log_probs == pytest.approx(expected.log_probs, abs=TOLERANCE)


@pytest.fixture(scope="module", params=["adapter", "int8", "int4"])
def twins(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Twins:
    """All forms with an adapter; with packed weights, which come in more sizes each, those of one stream."""
    directory = save(VARIANTS[1], tmp_path_factory.mktemp(request.param))
    if request.param == "adapter":
        return Twins.load(adapt(VARIANTS[1], directory), "none", "aot_eager")
    with pytest.MonkeyPatch.context() as patch:
        rehearse_one_stream(patch)
        return Twins.load(directory, request.param, "eager")


def rehearse_one_stream(patch: pytest.MonkeyPatch) -> None:
    for name, only in (("FRAMES", (7, 90)), ("POSITIONS", (1, 20)), ("CLIPS", (1,)), ("SLOTS", ((0,),))):
        patch.setattr(compiling, name, only)


@pytest.fixture
def strict(monkeypatch: pytest.MonkeyPatch, twins: Twins) -> Iterator[None]:
    """Whatever is not compiled yet is an error, where a loaded network would run it uncompiled."""
    for name in ("encode", "extend"):
        monkeypatch.delattr(twins.compiled, name)
    with torch.compiler.set_stance("fail_on_recompile"):
        yield


def clips(chance: random.Random) -> list[tuple[int, int]]:
    """One or several, ragged, at the start of an utterance or within it."""
    return [(chance.randint(2, 430), chance.choice([0, chance.randint(2, 199)])) for _ in range(chance.randint(1, 3))]


def turns(chance: random.Random) -> list[list[tuple[int, int, int, bool]]]:
    """Streams in any number and order, with one token each or ragged drafts, rewound or going on."""
    lengths, drawn = [0] * STREAMS, []
    for _ in range(8):
        one, turn = min(lengths) > 0 and chance.random() < 0.4, []
        for slot in chance.sample(range(STREAMS), chance.choice([1, 1, 2, 3]) if any(lengths) else STREAMS):
            start, count = chance.randint(1, lengths[slot]) if lengths[slot] else 0, 1 if one else chance.randint(2, 70)
            lengths[slot] = start + count
            turn.append((slot, start, count, True))
        drawn.append(turn)
    return drawn


@pytest.mark.usefixtures("strict")
@pytest.mark.parametrize("twins", ["adapter"], indirect=True)
@pytest.mark.parametrize("seed", range(6))
def test_any_lengths_in_any_batch_are_compiled_already_and_heard_alike(twins: Twins, seed: int) -> None:
    twins.encode(clips(random.Random(seed)))
    twins.extend(turns(random.Random(seed)))


@pytest.mark.usefixtures("strict")
def test_one_stream_is_compiled_with_an_adapter_and_with_packed_weights(twins: Twins) -> None:
    for frames, start in ((60, 0), (5, 0), (60, 100), (33, 130)):
        twins.encode([(frames, start)])
    twins.extend([[(0, 0, 40, True)], [(0, 40, 1, True)], [(0, 30, 5, True)], [(0, 35, 30, True)], [(0, 65, 1, True)]])


def test_what_was_not_rehearsed_runs_uncompiled(twins: Twins) -> None:
    graphs = counters["stats"]["unique_graphs"]
    twins.encode([(1, 0)])
    twins.encode([(1, 0), (1, 1), (5, 0)])
    twins.extend([[(0, 0, 1, True)], [(0, 1, 9, False), (1, 0, 7, True)], [(1, 3, 1, False)]])
    assert counters["stats"]["unique_graphs"] == graphs


@pytest.mark.usefixtures("strict")
def test_what_one_thread_has_compiled_serves_another(twins: Twins) -> None:
    failures = []

    def work() -> None:
        try:
            twins.encode([(50, 0)])
            twins.extend([[(0, 0, 30, True)], [(0, 30, 1, True)]])
        except Exception as error:
            failures.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert not failures


@pytest.mark.skipif(not shutil.which("g++"), reason="no C++ compiler here")
def test_the_code_itself_says_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rehearse_one_stream(monkeypatch)
    monkeypatch.setattr(compiling, "FRAMES", ())
    monkeypatch.setattr(compiling, "POSITIONS", (20,))
    with inductor.patch(compile_threads=1):  # else more processes are started, each of which loads torch
        both = Twins.load(adapt(VARIANTS[1], save(VARIANTS[1], tmp_path)), "none", "inductor")
    both.encode([(60, 0)])
    both.encode([(47, 0)])
    both.extend([[(0, 0, 60, True)], [(0, 20, 17, True)]])


def test_without_a_compiler_one_line_says_what_to_install(tmp_path: Path) -> None:
    environment = {**os.environ, "CXX": "no-such-compiler", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path)}
    program = "import sys; from streamer.command import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", program, "tests/audio/talk.flac", "--compile"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert not done.stdout
    assert "compiling nano" in done.stderr
    assert "apt-get install g++" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
