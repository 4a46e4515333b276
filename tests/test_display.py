from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from clients.display import Display
from clients.formats import writer
from clients.livefile import LiveFile
from clients.status import Status
from streamer.events import Done, Event, Final, Partial
from tests.test_terminal import Screen


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        return 1


SAID: list[Event] = [Partial(0, 0, 1, "the quick", " brow"), Final(0, 0, 2, "the quick brown fox"), Done(3.0)]


@pytest.fixture(autouse=True)
def size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.get_terminal_size", lambda _: (60, 10))
    monkeypatch.setenv("TERM", "xterm")


def show(out: io.StringIO, err: io.StringIO, **options: object) -> tuple[list[str], Display]:
    complaints: list[str] = []
    display = Display(out, err, complaints.append, Status("Desk", 65.0), **options)
    with display:
        for event in SAID:
            display.show(event)
        display.refresh()
        display.say("Desk is gone")
        display.mark(1)
    return complaints, display


def test_a_terminal_shows_everything_in_one_place() -> None:
    out, err = Terminal(), Terminal()
    complaints, _ = show(out, err)
    assert complaints == []
    assert err.getvalue() == ""
    for text in ("the quick", "the quick brown fox", "[1:05 Desk is gone]", "[mark 1 at 1:05]", "▯▯▯▯▯▯▯▯▯▯"):
        assert text in out.getvalue()


def test_a_pipe_gets_finals_and_the_status_line_goes_to_the_other_stream() -> None:
    out, err = io.StringIO(), Terminal()
    complaints, _ = show(out, err)
    assert out.getvalue() == "the quick brown fox\n[mark 1 at 1:05]\n"
    assert complaints == []
    assert "[1:05 Desk is gone]" in err.getvalue()
    assert "▯▯▯▯▯▯▯▯▯▯" in err.getvalue()


def test_without_any_terminal_notices_are_complaints() -> None:
    out, err = io.StringIO(), io.StringIO()
    complaints, _ = show(out, err)
    assert complaints == ["Desk is gone"]
    assert err.getvalue() == ""


def test_events_on_a_terminal_have_no_status_line_between_them() -> None:
    out, err = Terminal(), Terminal()
    complaints, _ = show(out, err, events=True)
    assert complaints == ["Desk is gone"]
    assert out.getvalue().count("\n") == 3
    assert err.getvalue() == ""


def test_a_status_line_makes_room_for_finals_on_the_same_terminal() -> None:
    """As with `granite-stream --mic | tee`: both streams end on one terminal."""
    screen = Screen(60, 10)
    written: list[str] = []

    class Shared(Terminal):
        def write(self, text: str) -> int:
            written.append(text)
            return len(text)

    class Pipe(Shared):
        def isatty(self) -> bool:
            return False

    with Display(Pipe(), Shared(), pytest.fail, Status("Desk", 65.0)) as display:
        for _ in range(2):
            display.refresh()
            display.show(SAID[1])
        display.refresh()
        screen.out.write("".join(written))
        screen.update()
        assert screen.lines[:2] == ["the quick brown fox"] * 2
        assert screen.lines[2].startswith("▯▯▯▯▯▯▯▯▯▯   1:05   Desk")


def test_a_pipe_gets_the_marks_as_a_file_does(tmp_path: Path) -> None:
    out, file = io.StringIO(), LiveFile(tmp_path / "it.vtt", writer("vtt", "nano"))
    with Display(out, io.StringIO(), lambda _: None, Status("Desk", 65.0), form="vtt", file=file) as display:
        for event in SAID[:-1]:
            display.show(event)
        display.mark(1)
        display.show(Done(70.0))
    assert "NOTE mark 1 at 00:01:05" in out.getvalue()
    assert out.getvalue() == (tmp_path / "it.vtt").read_text()


@pytest.mark.parametrize("options", [{}, {"events": True}, {"form": "srt"}])
def test_when_its_window_is_closed_the_file_still_gets_the_last_words(tmp_path: Path, options: dict) -> None:
    ours, theirs = os.openpty()
    terminal = io.TextIOWrapper(io.FileIO(theirs, "w"), write_through=True)
    file = LiveFile(tmp_path / "it.txt", writer("text", "nano"))
    with Display(terminal, terminal, lambda _: None, Status("Desk"), file=file, **options) as display:
        display.show(SAID[0])
        os.close(ours)
        display.refresh()
        display.say("Desk is gone")
        for event in SAID:
            display.show(event)
    terminal.close()
    assert (tmp_path / "it.txt").read_text() == "the quick brown fox\n"
