"""Speakers and times come back out of the text that `plus` writes them into."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.tags import JITTER, WRAP, TaggedWord, parse, said, shown, unwrap

GAPS = st.lists(st.integers(0, WRAP - JITTER - 1), min_size=1, max_size=30)  # hundredths of a second


def test_words_end_where_they_say_and_begin_where_the_one_before_ended() -> None:
    assert parse("hello [T:45] world [T:82]") == [TaggedWord("hello", 0.0, 0.45), TaggedWord("world", 0.45, 0.82)]


def test_silence_is_no_word_and_the_next_word_begins_where_it_ends() -> None:
    assert parse("_ [T:120] so [T:150] _ [T:300]") == [TaggedWord("so", 1.2, 1.5)]


def test_speakers_hold_until_the_next() -> None:
    words = parse("[Speaker 1]: how are you [Speaker 2]: fine [Speaker 1]: good")
    assert [(each.word, each.speaker) for each in words] == [
        ("how", 1),
        ("are", 1),
        ("you", 1),
        ("fine", 2),
        ("good", 1),
    ]


def test_both_kinds_of_tags_go_together() -> None:
    assert parse("[Speaker 2]: a [T:10] b [T:20]") == [TaggedWord("a", 0.0, 0.1, 2), TaggedWord("b", 0.1, 0.2, 2)]


def test_times_go_on_after_ten_seconds() -> None:
    assert [each.end for each in parse("a [T:980] b [T:15] c [T:990] d [T:15]")] == [9.8, 10.15, 19.9, 20.15]


@given(GAPS)
def test_times_are_what_they_were_however_often_they_wrapped(gaps: list[int]) -> None:
    ends = [sum(gaps[: index + 1]) for index in range(len(gaps))]
    text = " ".join(f"w{index} [T:{end % WRAP}]" for index, end in enumerate(ends))
    assert [each.end for each in parse(text)] == [end / 100 for end in ends]


def test_a_time_slightly_before_the_last_is_a_slip() -> None:
    assert unwrap(1500, 495) == 1500
    assert unwrap(1500, 500 - JITTER) == 1500
    assert unwrap(1500, 500 - JITTER - 1) == 2479
    assert unwrap(0, WRAP - 1) == WRAP - 1, "nothing lies before the beginning"


def test_tokens_of_a_tag_belong_to_the_word_it_is_about() -> None:
    turns = [("[Speaker", 2), ("1]:", 4), ("how", 5), ("are", 6), ("[Speaker", 8), ("2]:", 10), ("fine", 11)]
    assert said(turns) == [
        (TaggedWord("how", speaker=1), 5),
        (TaggedWord("are", speaker=1), 6),
        (TaggedWord("fine", speaker=2), 11),
    ]
    timed = [("_", 1), ("[T:9]", 5), ("so", 6), ("[T:45]", 10), ("it", 11)]
    assert said(timed) == [(TaggedWord("so", 0.09, 0.45), 10), (TaggedWord("it"), 11)]
    assert said([("so[T:5]it", 9)]) == [(TaggedWord("so", 0.0, 0.05), 9), (TaggedWord("it"), 9)]


def test_people_read_words_and_who_speaks() -> None:
    assert shown("[Speaker 1]: how are [Speaker 2]:fine") == "[Speaker 1]: how are [Speaker 2]: fine"
    assert shown("_ [T:120] so [T:150] it [T:1") == "so it"


@given(st.lists(st.sampled_from(["how", "are", "_", "[T:45]", "[Speaker 1]:", "yo[T:5]u"]), max_size=12))
def test_what_is_shown_grows_with_what_is_said(pieces: list[str]) -> None:
    text = " ".join(pieces)
    ends = [len(" ".join(pieces[: at + 1])) for at in range(len(pieces))]
    for _, tokens in said(list(zip(pieces, ends, strict=True))):
        assert shown(text).startswith(shown(text[:tokens]))


@given(st.text(alphabet="ab _[]T:Speaker 129\n", max_size=60))
def test_any_text_can_be_read(text: str) -> None:
    ends = [each.end for each in parse(text) if each.end is not None]
    assert ends == sorted(ends)


@pytest.mark.parametrize("tail", ["[", "[T", "[T:", "[T:4", "[S", "[Speaker", "[Speaker 1"])
def test_a_tag_that_is_cut_short_is_no_word(tail: str) -> None:
    assert [each.word for each in parse(f"so [T:5] it {tail}")] == ["so", "it"]


def test_text_without_tags_is_its_words() -> None:
    assert parse(" it cost [about] 5 ") == [TaggedWord(word) for word in ("it", "cost", "[about]", "5")]


def test_a_word_without_a_space_before_its_tag_is_a_word() -> None:
    assert parse("so[T:5]it[T:9]") == [TaggedWord("so", 0.0, 0.05), TaggedWord("it", 0.05, 0.09)]
