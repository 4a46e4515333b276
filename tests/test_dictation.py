import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.cache import KVCache
from model.config import SpeechConfig
from model.dictation import Dictation
from model.granite import Prediction
from model.guards import loop_length, token_limit
from model.nano.network import hub_config
from model.processor import Prompt
from model.speech import GraniteSpeech, Span
from streamer.engine import ANSWER_POSITIONS
from streamer.options import LONGEST_SEGMENT_SECONDS

NEVER = 10_000  # a token limit that is not reached


def write(model, cache, dictation, embeddings, first_changed, limit=40):
    dictation.begin(embeddings, first_changed, limit)
    turns = 0
    while dictation.writing:
        (said,) = model.extend([dictation.extension()], cache)
        dictation.read(said)
        turns += 1
    return turns


def dictation_of(model, cache):
    return model.dictation(cache, model.processor.prompt())


@pytest.fixture(scope="module")
def embeddings(nano, spoken):
    (heard,) = nano.encode([Span(nano.features(spoken[0].samples))])
    return heard.embeddings


@pytest.fixture(scope="module")
def greedy(nano, embeddings):
    dictation = dictation_of(nano, cache := nano.cache(512))
    write(nano, cache, dictation, embeddings, 0)
    return dictation


@settings(max_examples=15)
@given(
    agreeing=st.integers(0, 40),
    tail=st.lists(st.integers(5, 1000), max_size=6),
    lengths=st.lists(st.integers(1, 30), max_size=3),
)
def test_whatever_the_draft_the_hypothesis_is_what_greedy_decoding_writes(
    nano, embeddings, greedy, agreeing, tail, lengths
):
    dictation = dictation_of(nano, cache := nano.cache(512))
    for length in lengths:  # updates over less audio, so that the cache holds what is then replaced
        write(nano, cache, dictation, embeddings[: 3 * length], 0)
    dictation.tokens = greedy.tokens[:agreeing] + tail
    dictation.log_probs = [0.0] * len(dictation.tokens)
    write(nano, cache, dictation, embeddings, min([0, *(3 * length for length in lengths)]))
    assert dictation.tokens == greedy.tokens
    assert dictation.log_probs == pytest.approx(greedy.log_probs, abs=1e-4)


def test_a_right_draft_is_checked_in_one_forward(nano, embeddings, greedy):
    dictation = dictation_of(nano, cache := nano.cache(512))
    dictation.tokens = list(greedy.tokens)
    assert write(nano, cache, dictation, embeddings, 0) == 1


def test_embeddings_that_did_not_change_are_not_read_again(nano, embeddings):
    dictation = dictation_of(nano, cache := nano.cache(512))
    write(nano, cache, dictation, embeddings[:30], 0)
    dictation.begin(embeddings[:33], 27, 40)
    extension = dictation.extension()
    prompt = nano.processor.prompt()
    assert extension.start == len(prompt.prefix) + 27
    assert len(extension.inputs) == 6 + len(prompt.suffix) + len(dictation.tokens)


def test_committed_tokens_stand_though_greedy_decoding_disagrees(nano, embeddings, greedy):
    dictation = dictation_of(nano, cache := nano.cache(512))
    forced = [token + 1 for token in greedy.tokens[:4]]
    dictation.tokens, dictation.committed = list(forced), 4
    write(nano, cache, dictation, embeddings, 0)
    assert dictation.tokens[:4] == forced
    assert all(value <= 0 for value in dictation.log_probs)
    assert len(dictation.log_probs) == len(dictation.tokens)


def goes_on(model, token):
    """Whether a token would be read as part of the word before it; a byte that is no character by itself is none."""
    first = model.processor.tokenizer.decode([token])[:1]
    return not first or first.isalnum() or first in "'-"


@given(committed=st.integers(1, 12))
@settings(max_examples=12)
def test_what_follows_committed_tokens_does_not_go_on_with_their_word(nano, embeddings, greedy, committed):
    """Wherever the commitment ends, within a word too: a forced beginning of a word is then all of it."""
    dictation = dictation_of(nano, cache := nano.cache(512))
    dictation.tokens, dictation.committed = list(greedy.tokens), committed
    write(nano, cache, dictation, embeddings, 0)
    assert dictation.tokens[:committed] == greedy.tokens[:committed]
    assert len(dictation.tokens) == committed or not goes_on(nano, dictation.tokens[committed])


def test_a_commitment_at_the_end_of_a_word_changes_nothing_and_costs_no_forward(nano, embeddings, greedy):
    whole = [end for _, end in nano.processor.words(greedy.tokens)][2]
    dictation = dictation_of(nano, cache := nano.cache(512))
    dictation.tokens, dictation.committed = list(greedy.tokens), whole
    assert write(nano, cache, dictation, embeddings, 0) == 1
    assert dictation.tokens == greedy.tokens
    assert dictation.log_probs == pytest.approx(greedy.log_probs, abs=1e-4), "probabilities are the model's own"


def scripted(limit, committed=0, tokens=(), heard=""):
    cache = KVCache(SpeechConfig.parse(hub_config()).text, 8, torch.float32, torch.device("cpu"))
    dictation = Dictation(
        cache, Prompt([1], [2]), 0, lambda tokens: torch.zeros(len(tokens), 4), letters_of, True, torch.zeros(99).bool()
    )
    dictation.tokens, dictation.committed = list(tokens), committed
    dictation.begin(torch.zeros(3, 4), 0, limit, heard=lambda: heard)
    return dictation


def letters_of(tokens):
    return "".join(chr(ord("A") + token) for token in tokens)


def say(dictation, *tokens):
    for token in tokens:
        if dictation.writing:
            count = dictation.extension().predictions
            dictation.read(Prediction([token] * count, [-0.5] * count))


def rounds_until(text, draft):
    """Forwards that it takes to write a text with this draft, by a model that goes on rightly from what is right."""
    dictation, rounds = scripted(limit=NEVER, tokens=draft), 0
    while dictation.writing:
        told = [*dictation._written, *dictation._draft]
        first = len(dictation._written)
        right = [told[:end] == text[:end] for end in range(first, len(told) + 1)]
        tokens = [[*text, 0][end] if right[end - first] else -1 for end in range(first, len(told) + 1)]
        dictation.read(Prediction(tokens, [-0.5] * len(tokens)))
        rounds += 1
    assert dictation.tokens == text
    return rounds


@pytest.mark.parametrize(
    ("draft", "rounds"),
    [
        (range(1, 21), 1),
        ([1, 2, 3, 90, *range(5, 21)], 2),  # another word
        ([1, 2, 3, *range(5, 21)], 3),  # a word too few
        ([1, 2, 3, 90, 91, *range(4, 21)], 2),  # words too many
        ([1, 2, 3, 90, 91, *range(7, 21)], 5),  # three words for two: met again once they are written
        ([1, 2, 3, 90, 5, 6, 7, 8, 91, *range(10, 21)], 3),  # two places
        (range(100, 120), 21),  # nothing is right: no more than without a draft
    ],
)
def test_a_draft_that_failed_is_gone_on_with_where_it_is_met_again(draft, rounds):
    assert rounds_until([*range(1, 21)], [*draft]) == rounds


def test_decoding_stops_at_the_limit():
    dictation = scripted(limit=5)
    say(dictation, *range(10, 30))
    assert dictation.tokens == [10, 11, 12, 13, 14]


def test_a_loop_is_written_once():
    dictation = scripted(limit=NEVER)
    say(dictation, 7, *[8, 9] * 20)
    assert dictation.tokens == [7, 8, 9]


def test_a_loop_that_begins_within_a_character_leaves_no_half_of_one(monkeypatch):
    monkeypatch.setitem(globals(), "letters_of", lambda tokens: bytes(tokens).decode(errors="replace"))
    dictation = scripted(limit=NEVER)
    say(dictation, *("も" + "あ" * 12).encode())
    assert letters_of(dictation.tokens) == "も"


def test_a_loop_never_takes_back_what_is_committed():
    dictation = scripted(limit=NEVER, committed=3, tokens=[8, 8, 8])
    say(dictation, *[8] * 20)
    assert dictation.tokens == [8, 8, 8]


def test_what_was_committed_as_no_loop_stays_when_it_is_heard_otherwise():
    said = [*[8, 9, 10, 11] * 5, 12, 13]
    dictation = scripted(limit=NEVER, heard="ijkl" * 2)
    say(dictation, *said, 0)
    assert dictation.tokens == said
    dictation.committed = 20
    dictation.begin(torch.zeros(4, 4), 0, NEVER, heard=lambda: "ijkl")
    dictation.read(Prediction([*said, 0], [-0.5] * 23))
    assert dictation.tokens == said


@given(
    before=st.lists(st.integers(0, 3), max_size=9),
    phrase=st.lists(st.integers(0, 3), min_size=1, max_size=8),
    repeats=st.integers(1, 20),
)
def test_what_loops_is_found_and_nothing_else(before, phrase, repeats):
    tokens = before + phrase * repeats
    times = {size: max(n for n in range(1, 170) if tokens[-size * n :] == tokens[-size:] * n) for size in range(1, 9)}
    sizes = [size for size, count in times.items() if count >= max(5, 16 // size)]
    assert loop_length(tokens, lambda _: 0) == ((times[sizes[0]] - 1) * sizes[0] if sizes else 0)


def test_what_people_say_again_and_again_is_written_so():
    dictation = scripted(limit=NEVER)
    say(dictation, *[5] * 12, 6, *[8, 9] * 6, 7, 0)
    assert dictation.tokens == [*[5] * 12, 6, *[8, 9] * 6, 7]


@pytest.mark.parametrize(
    ("said", "heard", "written"),
    [
        (6, "i jkl jkl jkk jkl jkl jkl m", 6),  # as often as it was heard, but for a letter
        (9, "i j k l, jkl. j kl jkl m", 9),  # twice as often: the head is not always right
        (13, "i jkl jkl jkl jkl m", 4),  # a loop: as often as it was heard
        (13, "i jkl jklm jkl jokl m", 2),
        (6, "i jk ljk m", 1),
    ],
)
def test_a_phrase_that_was_heard_again_and_again_is_written_so(said, heard, written):
    dictation = scripted(limit=NEVER, heard=heard)
    say(dictation, 8, *[9, 10, 11] * said, 12, 0)
    assert dictation.tokens == [8, *[9, 10, 11] * written, *([12] if written == said else [])]


def test_a_pass_that_ran_out_of_tokens_says_so_until_the_next():
    dictation = scripted(limit=2)
    say(dictation, 8, 9, 10)
    assert (dictation.tokens, dictation.cut_off) == ([8, 9], True)
    dictation.begin(torch.zeros(3, 4), 3, NEVER)
    say(dictation, 10, 0)
    assert not dictation.cut_off


def test_without_letters_there_are_no_tokens():
    assert token_limit(seconds=30, spelled_bytes=0) == 0
    assert token_limit(seconds=30, spelled_bytes=10) == 18
    assert token_limit(seconds=1, spelled_bytes=100) == 24
    assert token_limit(seconds=1, spelled_bytes=100, timed=True) == 144
    assert token_limit(seconds=8, spelled_bytes=20, tagged=True) == 112, "room for eight turns of one word"
    assert token_limit(seconds=30, spelled_bytes=999, tagged=True) == token_limit(seconds=30, spelled_bytes=999) == 488
    longest = token_limit(LONGEST_SEGMENT_SECONDS, spelled_bytes=9999)
    assert longest < ANSWER_POSITIONS, "a slot of the cache has room for it"


def test_a_limit_below_what_is_committed_takes_none_of_it_back():
    dictation = scripted(limit=2, committed=4, tokens=[8, 9, 10, 11])
    say(dictation, 8, 9, 10, 11, 12)
    assert dictation.tokens == [8, 9, 10, 11]


def test_a_draft_is_no_longer_than_may_be_written():
    assert len(scripted(limit=3, tokens=range(8, 20)).extension().inputs) == 1 + 3 + 1 + 3


def test_a_loop_that_reaches_into_what_is_committed_leaves_that():
    dictation = scripted(limit=NEVER, committed=10, tokens=[8] * 10)
    say(dictation, *[8] * 30)
    assert dictation.tokens == [8] * 10


def test_what_is_forced_is_as_unlikely_as_the_token_that_was_wanted_leaves_it():
    dictation = scripted(limit=NEVER, committed=1, tokens=[8])
    dictation.read(Prediction([9, 0], [math.log(0.99), -0.5]))
    assert dictation.log_probs[0] == pytest.approx(math.log(0.01))


def test_offline_too_what_was_heard_again_and_again_is_no_loop(nano, spoken, monkeypatch):
    said = " ".join(["no"] * 30)
    tokens = [*nano.processor.encode(said), nano.processor.stop_token]
    assert loop_length(tokens[:-1], lambda _: 1), "who had not heard it would take it for a loop"
    monkeypatch.setattr(GraniteSpeech, "extend", lambda *_: [Prediction(tokens, [-0.1] * len(tokens))])
    monkeypatch.setattr(nano.alphabet, "text", lambda _: said)
    assert nano.transcribe(spoken[0].samples) == said


def test_a_draft_that_is_met_again_is_no_longer_than_may_still_be_written():
    dictation = scripted(limit=6, tokens=range(11, 17))
    say(dictation, 20, 21, 22, 11)
    assert dictation.extension().predictions == 1 + 2


def test_what_is_forced_against_a_model_that_is_wholly_sure_keeps_some_probability():
    dictation = scripted(limit=NEVER, committed=1, tokens=[8])
    dictation.read(Prediction([9, 0], [0.0, -0.5]))
    assert dictation.log_probs[0] == pytest.approx(math.log(1e-6))


def test_each_token_has_its_probability_also_where_a_loop_was_left_out():
    dictation = scripted(limit=NEVER)
    say(dictation, 7, *[8, 9] * 20)
    assert len(dictation.log_probs) == len(dictation.tokens) == 3
