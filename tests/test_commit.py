from hypothesis import given
from hypothesis import strategies as st

from streamer.commit import Policy, WrittenWord, committable

POLICY = Policy(margin_frames=20, last_margin_frames=30)
WORDS = [WrittenWord("the", 1, 10, 20), WrittenWord("quick", 3, 25, 40), WrittenWord("fox", 4, 45, 60)]
TOKENS = [5, 6, 7, 8]


def test_words_that_two_updates_agree_on_and_that_ended_long_ago_are_committed():
    assert committable(WORDS, TOKENS, TOKENS, heard=100, policy=POLICY) == 4


def test_a_word_too_near_the_end_of_the_audio_waits():
    assert committable(WORDS, TOKENS, TOKENS, heard=79, policy=POLICY) == 3


def test_a_last_word_waits_longer():
    assert committable(WORDS, TOKENS, TOKENS, heard=89, policy=POLICY) == 3
    assert committable(WORDS, TOKENS, TOKENS, heard=90, policy=POLICY) == 4
    assert committable(WORDS, TOKENS, [5, 6, 7], heard=100, policy=POLICY) == 3


def test_a_word_that_the_update_before_wrote_in_another_way_waits_and_all_behind_it():
    assert committable(WORDS, TOKENS, [5, 6, 9, 8], heard=100, policy=POLICY) == 1


def test_a_word_the_update_before_did_not_have_waits():
    assert committable(WORDS, TOKENS, [5, 6], heard=100, policy=POLICY) == 1


@given(before=st.lists(st.integers(5, 8), max_size=6), heard=st.integers(0, 100))
def test_only_whole_words_are_committed(before, heard):
    assert committable(WORDS, TOKENS, before, heard, POLICY) in (0, 1, 3, 4)
