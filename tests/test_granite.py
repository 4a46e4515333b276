"""The language model over its cache: however a sequence is cut, rewound or batched, it says what one reading says."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import GraniteConfig, GraniteForCausalLM

import model.cache
from model.cache import KVCache
from model.config import TextConfig
from model.granite import Extension, Granite, Prediction
from tests.checkpoints import randomise

TOLERANCE = 1e-5  # absolute, on log-probabilities in float32: another cut sums in another order
SHAPE = {
    "vocab_size": 83,
    "hidden_size": 64,
    "intermediate_size": 112,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "embedding_multiplier": 12.0,
    "residual_multiplier": 0.22,
    "attention_multiplier": 1 / 64,
    "logits_scaling": 8.0,
    "rms_norm_eps": 1e-5,
}
CONFIG = TextConfig(**SHAPE, tie_word_embeddings=False)
CAPACITY = 64  # positions
TOKENS = random.Random(4).choices(range(83), k=40)
# Unwritten memory holds this in all tests here. A read past the end then changes the answer beyond any tolerance. It
# cannot be NaN: a masked position still enters the sum times zero, and zero times NaN is NaN.
UNWRITTEN = 1e4


@pytest.fixture(scope="module")
def theirs() -> GraniteForCausalLM:
    oracle = GraniteForCausalLM(GraniteConfig(**SHAPE, tie_word_embeddings=False)).eval().requires_grad_(False)
    for name, tensor in oracle.state_dict().items():
        tensor.copy_(granite.state_dict()[name])
    return oracle


@pytest.fixture(scope="module", autouse=True)
def without_gradients() -> Iterator[None]:
    with torch.inference_mode():
        yield


def make() -> Granite:
    network = torch.nn.ModuleDict({"language_model": Granite(CONFIG)}).eval().requires_grad_(False)
    randomise(network, seed=9)
    return network["language_model"]


granite = make()


def poisoned(slots: int, capacity: int = CAPACITY) -> KVCache:
    """A cache with this many slots taken, whose memory is full of what nobody wrote."""
    cache = KVCache(CONFIG, capacity, torch.float32, "cpu")
    for _ in range(slots):
        cache.acquire()
    for memory in (*cache._keys, *cache._values):
        memory.fill_(UNWRITTEN)
    return cache


def extension(slot: int, start: int, tokens: Sequence[int], predictions: int | None = None) -> Extension:
    return Extension(slot, start, granite.embed(tokens), len(tokens) if predictions is None else predictions)


def say(cache: KVCache, slot: int, start: int, tokens: Sequence[int]) -> Prediction:
    """Predictions after every one of the tokens."""
    (prediction,) = granite.extend([extension(slot, start, tokens)], cache)
    return prediction


def fresh(tokens: Sequence[int]) -> Prediction:
    return say(poisoned(1), 0, 0, tokens)


def assert_same(ours: Prediction, expected: Prediction) -> None:
    assert ours.tokens == expected.tokens
    assert ours.log_probs == pytest.approx(expected.log_probs, abs=TOLERANCE)


def joined(parts: Sequence[Prediction]) -> Prediction:
    return Prediction([t for part in parts for t in part.tokens], [p for part in parts for p in part.log_probs])


def logits(theirs: GraniteForCausalLM, tokens: Sequence[int]) -> Tensor:
    return theirs(torch.tensor([tokens])).logits[0]  # plain Granite divides by logits_scaling itself


def test_predictions_are_the_references_best_tokens_and_their_log_probabilities(theirs: GraniteForCausalLM) -> None:
    best = logits(theirs, TOKENS).log_softmax(-1).max(-1)
    assert len(set(best.indices.tolist())) > 10, "the model says always the same: these tests would prove little"
    assert_same(fresh(TOKENS), Prediction(best.indices.tolist(), best.values.tolist()))


def test_training_logits_are_those_of_the_reference_for_each_of_a_batch(theirs: GraniteForCausalLM) -> None:
    clips = [TOKENS[:7], TOKENS[3:30], TOKENS[:1]]
    lengths = [len(clip) for clip in clips]
    packed = granite(torch.cat([granite.embed(clip) for clip in clips]), lengths)
    for clip, ours in zip(clips, packed.split(lengths), strict=True):
        torch.testing.assert_close(ours, logits(theirs, clip), atol=TOLERANCE, rtol=0)


@settings(deadline=None, max_examples=30)
@given(st.sets(st.integers(1, len(TOKENS) - 1)))
@example(set())
@example(set(range(1, len(TOKENS))))
def test_any_cut_of_a_sequence_is_read_as_a_whole(cuts: set[int]) -> None:
    cache, borders = poisoned(1), [0, *sorted(cuts), len(TOKENS)]
    parts = [say(cache, 0, start, TOKENS[start:end]) for start, end in pairwise(borders)]
    assert_same(joined(parts), fresh(TOKENS))
    assert cache.lengths[0] == len(TOKENS)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 24), st.randoms(use_true_random=False)), max_size=6))
def test_rewinding_and_appending_again_is_reading_afresh(steps: list[tuple[int, int, random.Random]]) -> None:
    cache, said = poisoned(1), list(TOKENS[:9])
    say(cache, 0, 0, said)
    for rewound, count, generator in steps:
        start = min(rewound, len(said))
        new = generator.choices(range(83), k=count)
        said[start:] = new
        assert_same(say(cache, 0, start, new), Prediction(*_last(fresh(said), count)))
        assert cache.lengths[0] == len(said)


def _last(prediction: Prediction, count: int) -> tuple[list[int], list[float]]:
    return prediction.tokens[-count:], prediction.log_probs[-count:]


@pytest.mark.parametrize("slots", [[0, 1, 2], [2, 0, 1], [3, 1], [1, 2], [0]], ids=str)
def test_a_ragged_batch_gives_each_slot_what_it_gets_alone(slots: list[int]) -> None:
    cache = poisoned(4)
    histories = [TOKENS[: 3 * slot] for slot in slots]  # slot 0 is empty
    for slot, history in zip(slots, histories, strict=True):
        if history:
            say(cache, slot, 0, history)
    news = [TOKENS[10 : 11 + 5 * (slot % 3)] for slot in slots]
    batch = granite.extend(
        [extension(slot, len(old), new) for slot, old, new in zip(slots, histories, news, strict=True)], cache
    )
    for old, new, ours in zip(histories, news, batch, strict=True):
        assert_same(ours, Prediction(*_last(fresh([*old, *new]), len(new))))


@pytest.mark.parametrize("lengths", [[6, 6, 6], [6, 1, 13], [0, 5]], ids=str)
def test_each_of_many_slots_reads_one_token(lengths: list[int]) -> None:
    cache = poisoned(len(lengths))
    histories = [TOKENS[slot : slot + length] for slot, length in enumerate(lengths)]
    for slot, history in enumerate(histories):
        granite.extend([extension(slot, 0, history)] if history else [], cache)
    batch = granite.extend([extension(slot, length, [TOKENS[20 + slot]]) for slot, length in enumerate(lengths)], cache)
    for slot, (history, ours) in enumerate(zip(histories, batch, strict=True)):
        assert_same(ours, Prediction(*_last(fresh([*history, TOKENS[20 + slot]]), 1)))


def test_what_one_slot_says_does_not_depend_on_the_others() -> None:
    histories = [TOKENS[:20], TOKENS[20:]], [TOKENS[5:9], TOKENS[20:]]
    said = []
    for others, own in histories:
        cache = poisoned(2)
        say(cache, 0, 0, others)
        said.append(say(cache, 1, 0, own))
    assert said[0] == said[1]


def test_only_the_last_positions_asked_for_are_predicted() -> None:
    cache = poisoned(2)
    silent, three = granite.extend([extension(0, 0, TOKENS[:9], 0), extension(1, 0, TOKENS[:9], 3)], cache)
    assert silent == Prediction([], [])
    assert_same(three, Prediction(*_last(fresh(TOKENS[:9]), 3)))
    assert granite.extend([extension(0, 9, TOKENS[9:11], 0)], cache) == [Prediction([], [])]
    assert_same(say(cache, 0, 11, TOKENS[11:20]), Prediction(*_last(fresh(TOKENS[:20]), 9)))


def test_no_extensions_are_no_predictions() -> None:
    assert granite.extend([], poisoned(1)) == []


def test_unwritten_memory_is_never_read() -> None:
    clean = KVCache(CONFIG, CAPACITY, torch.float32, "cpu")
    clean.acquire()
    assert say(clean, 0, 0, TOKENS) == fresh(TOKENS)


def test_a_slot_holds_exactly_its_capacity() -> None:
    cache = poisoned(1, capacity=10)
    say(cache, 0, 0, TOKENS[:10])
    with pytest.raises(AssertionError, match="11 positions do not fit a slot of 10"):
        say(cache, 0, 10, TOKENS[10:11])
    assert cache.lengths[0] == 10


def test_rewinding_forward_is_refused() -> None:
    cache = poisoned(1)
    say(cache, 0, 0, TOKENS[:5])
    with pytest.raises(AssertionError, match="cannot rewind slot 0 from 5 to 6"):
        say(cache, 0, 6, TOKENS[:1])


def test_a_slot_can_be_extended_only_once_in_a_batch() -> None:
    with pytest.raises(AssertionError, match="a slot appears twice"):
        granite.extend([extension(0, 0, TOKENS[:2]), extension(0, 0, TOKENS[:2])], poisoned(1))


def test_a_released_slot_is_given_out_again_empty() -> None:
    cache = poisoned(2)
    say(cache, 1, 0, TOKENS)
    cache.release(1)
    assert cache.acquire() == 1
    assert cache.lengths[1] == 0
    assert_same(say(cache, 1, 0, TOKENS[7:15]), fresh(TOKENS[7:15]))


def test_a_slot_is_released_only_once() -> None:
    cache = poisoned(1)
    cache.release(0)
    with pytest.raises(AssertionError, match="slot 0 was released twice"):
        cache.release(0)


def test_growing_keeps_what_slots_hold() -> None:
    cache = KVCache(CONFIG, CAPACITY, torch.float32, "cpu")
    slots = []
    for count in range(1, 6):
        slots.append(cache.acquire())
        say(cache, slots[-1], 0, TOKENS[:count])
    assert sorted(slots) == [0, 1, 2, 3, 4]
    for count, slot in enumerate(slots, start=1):
        assert_same(say(cache, slot, count, TOKENS[count:]), Prediction(*_last(fresh(TOKENS), len(TOKENS) - count)))


def test_what_went_wrong_in_a_slot_does_not_reach_its_next_user() -> None:
    cache = KVCache(CONFIG, 32, torch.float32, "cpu")
    slot = cache.acquire()
    granite.extend([Extension(slot, 0, torch.full((8, CONFIG.hidden_size), float("nan")))], cache)
    cache.rewind(slot, 2)
    granite.extend([Extension(slot, 2, torch.ones(1, CONFIG.hidden_size))], cache)  # less than was written before
    cache.release(slot)
    assert all(memory.isfinite().all() for memory in (*cache._keys, *cache._values))


def test_a_cache_that_found_no_memory_for_all_layers_grows_when_there_is_some(monkeypatch: pytest.MonkeyPatch) -> None:
    cache, zeros = KVCache(CONFIG, CAPACITY, torch.float32, torch.device("cpu")), model.cache._zeros
    slots = [cache.acquire()]
    while cache._free:
        slots.append(cache.acquire())
    calls = iter([zeros, zeros, zeros, *[lambda *_: (_ for _ in ()).throw(MemoryError)] * 2])
    monkeypatch.setattr("model.cache._zeros", lambda *given: next(calls, zeros)(*given))
    with pytest.raises(MemoryError):
        cache.acquire()
    assert cache.acquire() not in slots
    assert {len(memory) for memory in (*cache._keys, *cache._values)} == {len(cache.lengths)}


def test_a_cache_that_finds_no_memory_for_twice_as_many_slots_takes_one_more(monkeypatch: pytest.MonkeyPatch) -> None:
    cache, zeros = KVCache(CONFIG, CAPACITY, torch.float32, "cpu"), model.cache._zeros

    def few(shape: tuple[int, ...], *given: Any) -> torch.Tensor:
        if shape[0] > 5:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return zeros(shape, *given)

    monkeypatch.setattr("model.cache._zeros", few)
    slots = [cache.acquire() for _ in range(5)]
    assert sorted(slots) == [0, 1, 2, 3, 4]
    say(cache, slots[-1], 0, TOKENS)
    with pytest.raises(torch.OutOfMemoryError):
        cache.acquire()
    cache.release(slots[0])
    assert cache.acquire() == slots[0]
    assert_same(say(cache, slots[-1], 3, TOKENS[3:]), Prediction(*_last(fresh(TOKENS), len(TOKENS) - 3)))


def test_positions_far_from_the_start_are_told_apart_in_bfloat16() -> None:
    keys = []
    for network, dtype in ((granite, torch.float32), (make().to(torch.bfloat16), torch.bfloat16)):
        cache = KVCache(CONFIG, 600, dtype, "cpu")
        slot = cache.acquire()
        network.extend([Extension(slot, 0, network.embed([7] * 600), 0)], cache)
        keys.append(cache._keys[0][slot].float())  # of the first layer: alike but for their positions
    assert (keys[1] - keys[0]).norm() < 0.02 * keys[0].norm()


def test_probabilities_are_of_float32_whatever_the_weights_are() -> None:
    network = make().to(torch.bfloat16)
    inputs = network.embed(TOKENS)
    best = network(inputs, [len(TOKENS)]).float().log_softmax(-1).max(-1)
    cache = KVCache(CONFIG, 64, torch.bfloat16, "cpu")
    (said,) = network.extend([Extension(cache.acquire(), 0, inputs, len(TOKENS))], cache)
    assert_same(said, Prediction(best.indices.tolist(), best.values.tolist()))


def test_each_slot_of_a_batch_may_have_tokens_of_its_own_that_are_not_said() -> None:
    plain = fresh(TOKENS[:9])
    cache, batch = poisoned(3), []
    for slot, index in enumerate([8, 3, None]):
        one = extension(slot, 0, TOKENS[:9])
        if index is not None:
            one.suppressed = index, torch.arange(CONFIG.vocab_size) == plain.tokens[index]
        batch.append(one)
    for said, index in zip(granite.extend(batch, cache), [8, 3, None], strict=True):
        assert [at for at in range(9) if said.tokens[at] != plain.tokens[at]] == ([] if index is None else [index])


def test_every_norm_has_the_epsilon_of_the_configuration() -> None:
    unlike = Granite(replace(CONFIG, rms_norm_eps=0.25))
    assert {module.eps for module in unlike.modules() if isinstance(module, torch.nn.RMSNorm)} == {0.25}
