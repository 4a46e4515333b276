import math
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from streamer.commit import Evidence, Hypothesis, Policy, Screen, WrittenWord, committable, showable, standing
from streamer.latency import LATENCIES, STEADY

POLICY = replace(STEADY, commit=(Evidence(0.0, 2, 20),), last_margin_frames=10)
WORDS = [WrittenWord("the", 1, 10, 20), WrittenWord("quick", 3, 25, 40), WrittenWord("fox", 4, 45, 60)]
TOKENS = [5, 6, 7, 8]
SURE = [math.log(0.99)] * 4


def certain(before, heard, policy=POLICY, log_probs=SURE, committed=0):
    updates = standing(TOKENS, before, [1] * len(before))
    return committable(Hypothesis(WORDS, updates, log_probs, heard), committed, policy)


def test_words_that_two_updates_agree_on_and_that_ended_long_ago_are_committed():
    assert certain(TOKENS, heard=100) == 4


def test_a_word_too_near_the_end_of_the_audio_waits():
    assert certain(TOKENS, heard=79) == 3


def test_a_last_word_waits_longer():
    assert certain(TOKENS, heard=89) == 3
    assert certain(TOKENS, heard=90) == 4
    assert certain([5, 6, 7], heard=100) == 3


def test_a_word_that_the_update_before_wrote_in_another_way_waits_and_all_behind_it():
    assert certain([5, 6, 9, 8], heard=100) == 1


def test_a_word_the_update_before_did_not_have_waits():
    assert certain([5, 6], heard=100) == 1


def test_three_updates_may_be_asked_for():
    patient = replace(POLICY, commit=(Evidence(0.0, 3, 20),))
    twice = standing(TOKENS, TOKENS, [1] * 4)
    assert committable(Hypothesis(WORDS, twice, SURE, 100), 0, patient) == 0
    thrice = standing(TOKENS, TOKENS, twice)
    assert committable(Hypothesis(WORDS, thrice, SURE, 100), 0, patient) == 4


def test_of_a_likely_word_less_is_asked():
    ladder = replace(POLICY, commit=(Evidence(0.9, 1, 20), Evidence(0.0, 2, 20)))
    assert certain([], heard=100, policy=ladder) == 4
    doubtful = [SURE[0], math.log(0.8), SURE[0], SURE[0]]
    assert certain([], heard=100, policy=ladder, log_probs=doubtful) == 1, "and all behind the unlikely one waits"
    assert certain(TOKENS, heard=100, policy=ladder, log_probs=doubtful) == 4
    assert certain(TOKENS, heard=89, policy=ladder, log_probs=doubtful) == 3


def test_a_word_below_the_last_rung_is_never_committed_but_one_that_is_committed_is_not_asked_again():
    doubtful, strict = [SURE[0], math.log(0.1), SURE[0], SURE[0]], replace(POLICY, commit=(Evidence(0.5, 2, 20),))
    assert certain(TOKENS, heard=100, policy=strict, log_probs=doubtful) == 1
    assert certain(TOKENS, heard=100, policy=strict, log_probs=doubtful, committed=3) == 4
    assert certain(TOKENS, heard=10**6, policy=replace(POLICY, commit=())) == 0


@given(before=st.lists(st.integers(5, 8), max_size=6), heard=st.integers(0, 100), committed=st.sampled_from([0, 1, 3]))
def test_only_whole_words_are_committed_and_none_is_taken_back(before, heard, committed):
    assert certain(before, heard, committed=committed) in [end for end in (0, 1, 3, 4) if end >= committed]


@given(history=st.lists(st.lists(st.integers(5, 6), max_size=4), max_size=5))
def test_a_token_stands_since_the_last_update_that_wrote_it_or_one_before_it_otherwise(history):
    before, updates = [], []
    for tokens in history:
        before, updates = tokens, standing(tokens, before, updates)
    for at in range(len(before)):
        alike = [tokens[: at + 1] == before[: at + 1] for tokens in reversed(history)]
        assert updates[at] == (alike.index(False) if False in alike else len(alike))


def visible(updates, heard, committed=0, log_probs=SURE):
    careful = replace(POLICY, show=(Evidence(0.5, 2, 15), Evidence(0.0, 3, 100)))
    return showable(Hypothesis(WORDS, updates, log_probs, heard), committed, careful)


def test_a_word_is_shown_when_it_stood_twice_or_ended_some_time_ago():
    assert visible([1] * 4, heard=61) == 3
    assert visible([2] * 4, heard=61) == 4
    assert visible([1] * 4, heard=41) == 1
    assert visible([1] * 4, heard=41, committed=3) == 3


def test_an_unlikely_word_is_shown_later():
    doubtful = [SURE[0], math.log(0.1), SURE[0], SURE[0]]
    assert visible([2] * 4, heard=61, log_probs=doubtful) == 1
    assert visible([3] * 4, heard=61, log_probs=doubtful) == 4
    assert visible([2] * 4, heard=140, log_probs=doubtful) == 4


def shown(screen, *updates, patience=2):
    for committed, visible, hypothesis in updates:
        screen.show(committed, visible, hypothesis, patience)
    return screen.text


def test_what_is_shown_stays_until_it_is_contradicted_twice():
    one, other = ("", "the cat", "the cat"), ("", "the cap", "the cap sat")
    assert shown(Screen(), one, other) == "the cat"
    assert shown(Screen(), one, other, one, other) == "the cat"
    assert shown(Screen(), one, other, other) == "the cap"
    assert shown(Screen(), one, other, patience=1) == "the cap"


def test_what_is_shown_does_not_vanish_because_it_would_not_be_shown_anew():
    assert shown(Screen(), ("", "the cat", "the cat"), ("", "the", "the cat sat")) == "the cat"


def test_what_contradicts_a_commitment_is_not_shown_any_longer():
    assert shown(Screen(), ("", "the cat", "the cat"), ("the cap", "the cap", "the cap sat")) == "the cap"


def asked(policy: Policy, probability: float) -> Evidence:
    return next(rung for rung in policy.commit if probability >= rung.probability)


def test_the_dial_goes_from_early_to_right():
    low, balanced, accurate = (LATENCIES[name] for name in ("low", "balanced", "accurate"))
    for before, after in ((low, balanced), (balanced, accurate)):
        assert before.step_ms <= after.step_ms
        for probability in (0.1, 0.3, 0.45, 0.55, 0.7, 0.9):
            early, late = asked(before.policy, probability), asked(after.policy, probability)
            assert early.updates <= late.updates
            assert early.margin_frames <= late.margin_frames
        assert before.policy.commit != after.policy.commit


def test_a_word_behind_which_only_something_new_stands_waits_as_a_last_one():
    assert certain([5, 6, 7], heard=65) == 1, "what follows it is new: it may yet become a part of it"
    assert certain([5, 6, 7], heard=70) == 3
