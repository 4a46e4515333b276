"""What the overlay shows and where it stands, without a desktop; with one: test_overlay_window.py."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from clients import patience
from clients.errors import UnauthorizedError, UnreachableError
from clients.overlay.arguments import parse
from clients.overlay.board import Board, Shown
from clients.overlay.look import LEAST_WIDTH, Look, placed, remember, remembered, wide
from clients.overlay.roll import Roll
from clients.overlay.sources import Outlet, persist
from clients.wrapping import Row, wrap
from streamer.events import Event, Final, Partial, SpeechStarted

WORDS = some.lists(some.text("abc", min_size=1, max_size=9), max_size=40).map(" ".join)
AREA = (100, 50, 1000, 700)


def board(lines: int = 2, width: int = 12, hide_seconds: float = 6.0) -> Board:
    """One whose letters are a pixel wide."""
    board = Board(hide_seconds)
    board.lay_out(len, width, lines)
    return board


def partial(committed: str, draft: str = "", segment: int = 0) -> Event:
    return Partial(segment, 10.0 * segment, 10.0 * segment + 5, committed, draft)


def texts(shown: Shown) -> list[str]:
    return [(row.committed + row.draft).strip() for row in shown.rows]


# --- rows ---


@given(WORDS, WORDS, some.integers(1, 20))
def test_rows_lose_no_character_and_are_not_too_wide(committed: str, draft: str, width: int) -> None:
    rows = list(wrap(committed, f" {draft}" if draft else "", len, width))
    assert "".join(row.committed for row in rows) == committed
    assert "".join(row.draft for row in rows).strip() == draft
    assert all(len((row.committed + row.draft).strip()) <= width for row in rows)


def test_a_word_that_is_wider_than_a_row_is_divided() -> None:
    assert [row.committed for row in wrap("an abcdefghij end", "", len, 4)] == ["an ", "abcd", "efgh", "ij ", "end"]


@given(some.lists(some.lists(WORDS, min_size=1, max_size=4), min_size=1, max_size=6), some.integers(1, 3))
def test_words_move_only_upwards(segments: list[list[str]], lines: int) -> None:
    """However much is forgotten: the rows are those of the whole text, as far as they are to be seen."""
    roll, said = Roll(len, 10, lines), ""
    for segment in segments:
        committed = ""
        for more in segment:
            committed = f"{committed} {more}".strip()
            shown = roll.show(committed, "")
            whole = [*wrap(f"{said} {committed}".strip() if said else committed, "", len, 10)]
            assert [row.committed.strip() for row in shown] == [row.committed.strip() for row in whole[-lines:]]
        roll.settle(committed)
        said = f"{said} {committed}".strip() if committed else said


def test_a_draft_that_gets_shorter_pulls_nothing_down() -> None:
    roll = Roll(len, 10, 2)
    assert roll.show("one two", " three four") == [Row("one two", " "), Row("", "three four")]
    assert roll.show("one two", "") == [Row("one two"), Row()]


def test_a_draft_of_many_rows_that_is_gone_leaves_the_words_before_it_in_sight() -> None:
    roll = Roll(len, 10, 2)
    roll.show("one two", " three four five six")
    assert roll.show("one two", "") == [Row("one two"), Row()]
    assert roll.show("", "") == []


# --- what is shown when ---


def test_committed_text_and_draft_stand_apart_newest_at_the_bottom() -> None:
    it = board()
    it.take(SpeechStarted(0, 0.0), 0.0)
    it.take(partial("the quick brown", " fox ju"), 1.0)
    assert it.shown(1.0).rows == (Row("the quick "), Row("brown", " fox ju"))


@pytest.mark.parametrize(
    ("first", "second", "shown"),
    [("Hello.", "You", "Hello. You"), ("今日はいい", "明日は雨", "今日はいい明日は雨")],
    ids=["English", "Japanese"],
)
def test_the_next_segment_follows_the_one_before(first: str, second: str, shown: str) -> None:
    it = board()
    it.take(Final(0, 0.0, 1.0, first), 0.0)
    it.take(SpeechStarted(1, 10.0), 1.0)
    it.take(partial(second, segment=1), 1.0)
    assert "".join(texts(it.shown(1.0))) == shown


def test_captions_go_after_some_silence_and_do_not_come_back() -> None:
    it = board()
    it.take(Final(0, 0.0, 1.0, "Hello."), 10.0)
    assert it.hides_in(12.0) == 4.0
    assert texts(it.shown(15.9)) == ["Hello."]
    assert it.shown(16.0) == Shown()
    assert it.hides_in(16.0) is None
    it.take(partial("You"), 20.0)
    assert texts(it.shown(20.0)) == ["You"]


LONG = " ".join(f"word{number}" for number in range(20))


@pytest.mark.parametrize("text", [LONG, "short", ""])
def test_who_comes_back_in_the_next_segment_sees_it_behind_what_was_committed_of_the_lost_one(text: str) -> None:
    it = board(lines=3)
    for end in range(len(text) + 1):
        it.take(partial(text[:end], " and a draft of some rows"), 0.0)
    it.take(partial("hello everybody", " and", segment=1), 1.0)
    assert " ".join(texts(it.shown(1.0))).strip().endswith("hello everybody and")
    assert f"{text} hello everybody and".endswith(" ".join(texts(it.shown(1.0))).strip())
    it.take(Final(1, 10.0, 15.0, "hello everybody and welcome"), 2.0)
    assert "hello everybody and welcome" in " ".join(texts(it.shown(2.0)))


def test_who_comes_back_in_the_same_segment_sees_it_go_on() -> None:
    it = board()
    it.take(partial(LONG), 0.0)
    it.take(partial(f"{LONG} more"), 1.0)
    assert texts(it.shown(1.0)) == ["word18", "word19 more"]


def test_a_speaker_who_has_the_channel_again_in_the_middle_of_a_segment_is_read_on() -> None:
    it = board()
    it.take(partial(LONG), 0.0)
    it.take(SpeechStarted(0, 0.0), 1.0)
    it.take(partial("another"), 1.0)
    it.take(Final(0, 0.0, 1.0, "another one"), 2.0)
    it.take(partial(f"{LONG} more"), 3.0)
    assert texts(it.shown(3.0)) == ["word18", "word19 more"]


def test_a_segment_that_was_lost_does_not_come_back_once_it_has_gone() -> None:
    it = board()
    it.take(partial(LONG), 10.0)
    assert it.shown(16.0) == Shown()
    it.take(partial("You", segment=1), 20.0)
    assert texts(it.shown(20.0)) == ["You"]


@pytest.mark.parametrize("nothing", [Final(0, 0.0, 5.0, ""), partial("")])
def test_a_draft_goes_when_it_was_nothing(nothing: Event) -> None:
    it = board(hide_seconds=0)
    it.take(Final(0, 0.0, 1.0, "Hello."), 0.0)
    it.take(partial("", "uh thank you for"), 1.0)
    it.take(nothing, 2.0)
    assert "".join(texts(it.shown(2.0))) == "Hello."
    it = board(hide_seconds=0)
    it.take(partial("", "uh thank you"), 0.0)
    it.take(nothing, 1.0)
    assert it.shown(1.0) == Shown()


def test_captions_stay_if_they_are_asked_to() -> None:
    it = board(hide_seconds=0)
    it.take(Final(0, 0.0, 1.0, "Hello."), 0.0)
    assert texts(it.shown(1e6)) == ["Hello."]


def test_a_message_stands_until_something_is_said() -> None:
    it = board()
    it.take(Final(0, 0.0, 1.0, "Hello."), 0.0)
    it.say("Desk is gone; waiting for it", 1.0)
    assert it.shown(1.0).notice == "Desk is gone; waiting for it"
    it.take(partial(""), 2.0)
    assert it.shown(2.0).notice == "Desk is gone; waiting for it", "nothing was said"
    it.take(partial("You"), 3.0)
    assert texts(it.shown(3.0)) == ["Hello. You"]


def test_what_is_wrong_is_seen_for_as_long_as_it_lasts() -> None:
    it = board()
    it.trouble("muted")
    it.say("Listening to Desk", 0.0)
    assert it.shown(1.0).notice == "Listening to Desk"
    assert it.shown(1e6).notice == "muted"
    it.trouble("")
    assert it.shown(1e6) == Shown()


def test_what_is_wrong_takes_the_place_of_words_that_were_read_even_of_those_that_would_stay() -> None:
    it = board(hide_seconds=0)
    it.say("Desk is gone; waiting for it", 0.0)
    it.trouble("waiting for Desk")
    it.take(Final(0, 0.0, 1.0, "Hello."), 1.0)
    assert texts(it.shown(4.9)) == ["Hello."]
    assert it.shown(5.0).notice == "waiting for Desk"


def test_another_font_divides_anew_what_is_seen() -> None:
    it = board()
    it.take(Final(0, 0.0, 1.0, "one two three four"), 0.0)
    assert texts(it.shown(0.0)) == ["one two", "three four"]
    it.lay_out(len, 40, 2)
    assert texts(it.shown(0.0)) == ["one two three four"]


def test_another_font_keeps_what_was_said_before_while_somebody_speaks() -> None:
    it = board()
    it.take(Final(0, 0.0, 1.0, "one two"), 0.0)
    it.take(Partial(1, 2.0, 3.0, "three", " four"), 0.0)
    assert texts(it.shown(0.0)) == ["one two", "three four"]
    it.lay_out(len, 40, 2)
    assert texts(it.shown(0.0)) == ["one two three four"]
    it.take(Final(1, 2.0, 3.0, "three four"), 0.0)
    assert texts(it.shown(0.0)) == ["one two three four"]


def test_another_font_puts_no_space_into_what_has_none() -> None:
    it = board()
    it.take(Final(0, 0.0, 1.0, "incomprehensibilities"), 0.0)
    assert len(texts(it.shown(0.0))) == 2, "a word wider than a row is cut"
    it.lay_out(len, 40, 2)
    assert texts(it.shown(0.0)) == ["incomprehensibilities"]


# --- how it looks and where it stands ---


@pytest.mark.parametrize(
    ("position", "corner"),
    [
        ("bottom", (400, 602)),
        ("top", (400, 98)),
        ("middle", (400, 350)),
        ("top-left", (148, 98)),
        ("bottom-right", (652, 602)),
        ("30,40", (130, 90)),
        ("5000,-7", (700, 50)),  # a screen that is smaller now
    ],
)
def test_it_stands_where_it_was_asked_to_and_never_off_the_screen(position: str, corner: tuple[int, int]) -> None:
    assert placed(position, 400, 100, AREA) == corner


def test_a_width_is_a_share_of_the_screen_or_pixels() -> None:
    assert (wide("60%", 1000), wide("900", 1000), wide("9000", 1000), wide("1%", 1000)) == (600, 900, 1000, LEAST_WIDTH)


def test_the_look_is_remembered(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "overlay.json"
    assert remembered(path) == Look()
    remember(path, Look(size=50, position="10,20", locked=True))
    assert remembered(path, lines=3, size=None) == Look(size=50, position="10,20", locked=True, lines=3)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"size": "large", "lines": 99, "opacity": true, "colour": 1}'])
def test_a_file_that_makes_no_sense_is_forgotten(tmp_path: Path, text: str) -> None:
    (tmp_path / "overlay.json").write_text(text)
    assert remembered(tmp_path / "overlay.json") == Look()


@pytest.mark.parametrize(
    "value", [{"size": 5}, {"opacity": 1.5}, {"lines": 0}, {"position": "left"}, {"width": "wide"}, {"font": 3}]
)
def test_a_look_that_makes_no_sense_is_refused(tmp_path: Path, value: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(value))):
        remembered(tmp_path / "overlay.json", **value)


def test_what_is_written_is_readable_by_people(tmp_path: Path) -> None:
    remember(tmp_path / "overlay.json", Look())
    assert json.loads((tmp_path / "overlay.json").read_text())["position"] == "bottom"


# --- what a user may type ---


@pytest.mark.parametrize(
    ("typed", "fault"),
    [
        ("--channel stage", "--channel is one of a daemon; name it"),
        ("ws://h --channel stage --device Desk", "--device is a microphone of your own"),
        ("ws://h --model ibm-granite/any", "--model is for an overlay without URL; a daemon has its own"),
        ("ws://h --device cpu", "--device is for an overlay without URL"),
        ("ws://h --channel stage --max-segment 9", "leave out --max-segment"),
        ("ws://h --channel stage --no-punctuate", "leave out --punctuate"),
        ("--lock --size 60", "--lock goes to an overlay that is running; leave out all else"),
        ("--token-file tokens", "--token-file is for a daemon; name it"),
    ],
)
def test_what_would_do_nothing_is_refused(typed: str, fault: str) -> None:
    said: list[str] = []
    with pytest.raises(SystemExit) as ended:
        parse(typed.split(), said.append)
    assert ended.value.code == 2
    assert fault in said[0]


@pytest.mark.parametrize(
    "typed", ["", "--model any --device cpu --step 300", "ws://h --device Desk --step 300", "ws://h --channel stage"]
)
def test_what_does_something_is_taken(typed: str) -> None:
    assert parse(typed.split(), print).order is None


# --- where captions come from ---


class Heard:
    """An outlet that keeps what it was told."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.troubles: list[str] = []
        self.outlet = Outlet(lambda _: None, self.said.append, self.troubles.append)


async def test_a_lost_server_is_tried_again_and_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "FIRST_WAIT_SECONDS", 0.001)
    heard, attempts = Heard(), list[bool]()

    async def once(again: bool) -> None:
        attempts.append(again)
        raise UnauthorizedError("the wrong token") if len(attempts) == 4 else UnreachableError("nobody listens")

    async with asyncio.timeout(10):
        await persist(once, heard.outlet)
    assert heard.said == ["nobody listens. Trying again …"]
    assert heard.troubles[-1] == "the wrong token", "that would not get better"
    assert attempts == [False, True, True, True]


def test_who_has_muted_the_microphone_has_muted_the_next_one_too() -> None:
    outlet = Heard().outlet
    outlet.mute(True)
    assert outlet.muted
