"""A run that breaks off keeps what was committed, wherever captions go."""

from __future__ import annotations

import io
from argparse import Namespace
from pathlib import Path

import pytest

from clients.display import Display
from clients.formats import writer
from clients.livefile import LiveFile
from clients.promised import Promised
from clients.status import Status
from clients.terminal import CLEAN
from clients.views import Audience
from streamer.events import Done, Event, Final, Partial, SpeechStarted
from tests.media import no_room_beyond
from tests.test_display import Terminal

SAID: list[Event] = [
    SpeechStarted(0, 0.0),
    Final(0, 0.0, 1.0, "so"),
    SpeechStarted(1, 2.0),
    Partial(1, 2.0, 3.5, "the quick", " brow"),
]
FORMS = ("text", "srt", "vtt", "json")


def test_a_final_has_all_that_was_promised() -> None:
    promised = Promised()
    for event in SAID:
        promised.take(event)
    assert promised.keep() == Final(1, 2.0, 3.5, "the quick")
    assert promised.keep() is None
    for event in (*SAID, Final(1, 2.0, 4.0, "the quick brown fox"), Partial(2, 5.0, 6.0, "", "well")):
        promised.take(event)
    assert promised.keep() is None


@pytest.mark.parametrize("form", FORMS)
def test_of_a_recording(tmp_path: Path, form: str) -> None:
    given = Namespace(format=form, events=False, live=True)
    out, path = io.StringIO(), tmp_path / f"talk.{form}"
    with Audience(out, lambda _: None, given, "nano", path) as audience:
        for event in SAID:
            audience.show(event)
    assert "the quick" in (tmp_path / f"talk.{form}.part").read_text()
    assert out.getvalue() == "so\nthe quick\n"


def test_what_an_interrupted_run_has_left_is_there_until_there_is_more(tmp_path: Path) -> None:
    given = Namespace(format="text", events=False, live=True)
    part, path = tmp_path / "talk.txt.part", tmp_path / "talk.txt"
    part.write_text("two hours")
    with Audience(io.StringIO(), print, given, "nano", path) as audience:
        audience.show(Partial(0, 0.0, 1.0, "", "so"))
        audience.show(Done(1.0))  # interrupted at once
    assert part.read_text() == "two hours"
    with Audience(io.StringIO(), print, given, "nano", path) as audience:
        audience.show(Final(0, 0.0, 1.0, "so"))
        assert part.read_text() == "so\n"
        audience.write()
    assert [each.name for each in tmp_path.iterdir()] == ["talk.txt"]


def show_all(shower: Audience | Display) -> None:
    with shower as entered:
        for event in SAID:
            entered.show(event)


def test_what_a_full_disk_does_not_take_is_shown_and_the_terminal_left_clean(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.get_terminal_size", lambda _: (60, 10))
    monkeypatch.setenv("TERM", "xterm")
    given, out = Namespace(format="text", events=False, live=True), Terminal()
    recorded = Audience(out, lambda _: None, given, "nano", tmp_path / "talk.txt")
    with no_room_beyond(1), pytest.raises(OSError, match=f"large: '{tmp_path / 'talk.txt.part'}'"):
        show_all(recorded)
    assert out.getvalue().endswith(CLEAN)
    file, out = LiveFile(tmp_path / "it.txt", writer("text", "nano")), Terminal()
    spoken = Display(out, io.StringIO(), print, Status("Desk"), file=file)
    with no_room_beyond(4), pytest.raises(OSError, match=f"large: '{tmp_path / 'it.txt'}'"):
        show_all(spoken)
    assert "\rthe quick" in out.getvalue().rpartition(" brow")[2], "committed before the disk was full"
    assert out.getvalue().endswith(CLEAN)


@pytest.mark.parametrize("form", FORMS)
def test_of_a_microphone(tmp_path: Path, form: str) -> None:
    out, path = io.StringIO(), tmp_path / "talk"
    file = LiveFile(path, writer(form, "nano"))
    with Display(out, io.StringIO(), print, Status("Desk"), file=file) as display:
        for event in SAID:
            display.show(event)
    assert "the quick" in path.read_text()
    assert out.getvalue() == "so\nthe quick\n"


def test_events_are_only_those_of_the_stream() -> None:
    out = io.StringIO()
    with Display(out, io.StringIO(), print, Status("Desk"), events=True) as display:
        for event in SAID:
            display.show(event)
    assert out.getvalue().count('"final"') == 1
