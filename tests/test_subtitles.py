from __future__ import annotations

from itertools import pairwise
from typing import Literal

import pytest
import srt
import webvtt
from hypothesis import given
from hypothesis import strategies as st

from clients.formats import writer
from clients.subtitles import CUE_SECONDS, LINE_COLUMNS, SubtitleWriter, cues, layout, timestamp
from model.scripts import columns
from streamer.events import Final, Word

TEXTS = st.text(st.characters(categories=["L", "N", "P"], exclude_characters="<>&{}-"), min_size=1, max_size=60)


def final(*said: tuple[str, float, float]) -> Final:
    words = tuple(Word(text, start, end, 0.9) for text, start, end in said)
    return Final(0, words[0].start, words[-1].end, " ".join(word.word for word in words), words)


def evenly(text: str, start: float = 0.0, seconds_a_word: float = 0.3) -> Final:
    texts = text.split()
    return final(
        *((each, start + i * seconds_a_word, start + (i + 1) * seconds_a_word) for i, each in enumerate(texts))
    )


def written(kind: Literal["srt", "vtt"], *finals: Final) -> str:
    subtitles = SubtitleWriter(kind)
    return "".join(map(subtitles.add, finals)) + subtitles.finish(100.0)


@st.composite
def talks(draw: st.DrawFn) -> list[Final]:
    """Finals one after the other, their words in order, some without any length or any gap between them."""
    now = 0.0
    finals = []
    times = st.floats(0, 3)
    for segment in range(draw(st.integers(0, 4))):
        begin = now
        words = []
        for text in draw(st.lists(TEXTS, max_size=30)):
            start = now + draw(times)
            now = start + draw(times)
            words.append(Word(text, start, now, 0.5))
        finals.append(Final(segment, begin, now, " ".join(word.word for word in words), tuple(words)))
    return finals


@given(talks())
def test_whatever_is_said_the_subtitles_are_valid(finals: list[Final]) -> None:
    said = "".join(word.word for final in finals for word in final.words)
    found = list(srt.parse(written("srt", *finals)))
    assert [cue.index for cue in found] == list(range(1, len(found) + 1))
    assert "".join("".join(cue.content.split()) for cue in found) == said
    for cue in found:
        assert cue.end > cue.start
        lines = cue.content.split("\n")
        assert len(lines) <= 2
        assert max(map(columns, lines)) <= LINE_COLUMNS
    for one, next_one in pairwise(found):
        assert one.end <= next_one.start
    captions = webvtt.from_string(written("vtt", *finals)).captions
    assert [caption.text.split() for caption in captions] == [cue.content.split() for cue in found]
    assert [caption.start_in_seconds for caption in captions] == [cue.start.seconds for cue in found]


def test_a_sentence_is_not_divided_if_it_fits() -> None:
    text = "The last bus leaves at midnight. Do not be late, because nobody waits for those who are."
    assert [" ".join(cue.lines) for cue in cues(evenly(text))] == [
        "The last bus leaves at midnight.",
        "Do not be late, because nobody waits for those who are.",
    ]


def test_what_is_written_without_spaces_is_as_wide_as_twice_as_many_letters() -> None:
    text = "今日はとても天気がいいので、みんなで海まで歩いて行きましょう。" * 2
    words = tuple(Word(letter, 0.1 * at, 0.1 * at + 0.1, 0.5) for at, letter in enumerate(text))
    lines = [line for cue in cues(Final(0, 0.0, 6.4, text, words)) for line in cue.lines]
    assert "".join(lines) == text
    assert max(map(len, lines)) <= 21


def test_without_punctuation_pauses_divide() -> None:
    parts = ["the soup needs salt", "and the bread is still in the oven", "many people came"]
    words = [word for index, part in enumerate(parts) for word in evenly(part, start=4.0 * index).words]
    assert [" ".join(cue.lines) for cue in cues(Final(0, 0.0, 12.0, " ".join(parts), tuple(words)))] == parts


def test_who_speaks_is_said_where_it_changes() -> None:
    texts = [("how", 1), ("are", 1), ("you", 1), ("fine", 2), ("and", 2), ("you", 2)]
    words = [Word(text, 0.3 * at, 0.3 * at + 0.3, 0.9, speaker) for at, (text, speaker) in enumerate(texts)]
    (cue,) = cues(Final(0, 0.0, 1.8, "", tuple(words)))
    assert cue.lines == ("[Speaker 1]: how are you", "[Speaker 2]: fine and you")


def test_two_lines_are_about_as_long_and_break_at_a_comma() -> None:
    (cue,) = cues(evenly("When the rain had stopped, we walked along the river home."))
    assert cue.lines == ("When the rain had stopped,", "we walked along the river home.")


def test_no_cue_stays_longer_than_one_can_look_at_it() -> None:
    found = cues(evenly("slow words are said one by one", seconds_a_word=2.0))
    assert all(cue.end - cue.start <= CUE_SECONDS for cue in found)


def test_a_short_cue_stays_for_a_second_if_there_is_room() -> None:
    cues_alone = list(srt.parse(written("srt", final(("Yes.", 1.0, 1.2)))))
    assert cues_alone[0].end.total_seconds() == 2.0
    cues_close = list(srt.parse(written("srt", final(("Yes.", 1.0, 1.2)), final(("No.", 1.5, 1.7)))))
    assert cues_close[0].end.total_seconds() == 1.5


def test_words_of_overlapping_times_make_cues_that_do_not_overlap() -> None:
    one, two = srt.parse(written("srt", final(("One.", 0.0, 3.0)), final(("Two.", 2.0, 2.5))))
    assert one.end <= two.start < two.end


def test_a_final_without_word_times_is_spread_over_its_time() -> None:
    (cue,) = srt.parse(written("srt", Final(0, 2.0, 4.0, "no words here")))
    assert (cue.start.total_seconds(), cue.end.total_seconds(), cue.content) == (2.0, 4.0, "no words here")


def test_japanese_is_written_without_spaces() -> None:
    words = tuple(Word(text, at * 0.3, at * 0.3 + 0.3, 1.0) for at, text in enumerate("今日はIBMへ行く"))
    assert cues(Final(0, 0.0, 3.0, "今日はIBMへ行く", words))[0].lines == ("今日はI B Mへ行く",)


def test_markup_is_text_in_webvtt() -> None:
    assert "a &lt;b&gt; &amp; c" in written("vtt", evenly("a <b> & c"))


def test_no_words_are_an_empty_but_valid_file() -> None:
    assert written("srt") == ""
    assert written("vtt") == "WEBVTT\n\n"
    assert webvtt.from_string(written("vtt", Final(0, 0, 1, ""))).captions == []


def test_the_writer_of_a_live_stream_writes_what_the_writer_of_a_file_writes() -> None:
    finals = [evenly("the first sentence is said", 0.0), evenly("and then the second one", 4.0)]
    subtitles = SubtitleWriter("srt")
    first = subtitles.add(finals[0])
    second = subtitles.add(finals[1])
    assert first == ""  # held until it is known how long it may stay
    assert second.startswith("1\n00:00:00,000 --> 00:00:01,500\n")
    assert second + subtitles.finish(6.0) == written("srt", *finals)


def test_text_is_one_final_a_line() -> None:
    text = writer("text", "nano")
    lines = [text.add(Final(0, 0, 1, " one\ntwo ")), text.add(Final(1, 1, 2, "")), text.add(Final(2, 2, 3, "three"))]
    assert "".join(lines) + text.finish(3.0) == "one two\nthree\n"


@pytest.mark.parametrize(
    ("name", "whole"),
    [
        ("text", ""),
        ("json", '{"text": "", "audio_seconds": 0.0, "model": "nano", "segments": []}\n'),
        ("srt", ""),
        ("vtt", "WEBVTT\n\n"),
    ],
)
def test_every_format_of_nothing_is_whole(name: str, whole: str) -> None:
    assert writer(name, "nano").finish(0.0) == whole


def test_hours_and_minutes_are_counted_apart() -> None:
    assert timestamp((3600 + 15 * 60 + 2) * 1000 + 3, ",") == "01:15:02,003"


def test_a_mark_before_the_first_cue_stands_behind_the_header() -> None:
    subtitles = SubtitleWriter("vtt")
    assert subtitles.mark(1, 0.5).startswith("WEBVTT\n\n")
    assert not subtitles.finish(1.0).startswith("WEBVTT")


def test_two_full_lines_are_one_cue() -> None:
    first, second = "a" * LINE_COLUMNS, "b" * LINE_COLUMNS
    assert layout(final((first, 0.0, 1.0), (second, 1.0, 2.0)).words) == (first, second)
