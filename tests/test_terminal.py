from __future__ import annotations

import io
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyte
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clients.formats import writer
from clients.plain import printable
from clients.suspension import Suspension
from clients.terminal import EventView, PipeView, TerminalView, view_on, wrapped
from streamer.events import Done, Event, Final, Partial, SpeechStarted

DIM, PLAIN = "\x1b[2m", "\x1b[0m"
TALK = [
    SpeechStarted(0, 0.0),
    Partial(0, 0.0, 0.9, "", "the quick brow"),
    Partial(0, 0.0, 1.2, "the quick", " brown fox"),
    Final(0, 0.0, 2.0, "the quick brown fox"),
    SpeechStarted(1, 2.5),
    Partial(1, 2.5, 3.0, "", "jumps"),
]


class Screen:
    """What a terminal of this size shows of what is written to it."""

    def __init__(self, columns: int = 40, lines: int = 6) -> None:
        self.emulated = pyte.HistoryScreen(columns, lines, history=1000)
        self.emulated.set_mode(pyte.modes.LNM)  # what the terminal driver does with line ends
        self._stream = pyte.Stream(self.emulated)
        self.out = io.StringIO()
        self.view = TerminalView(self.out, lambda: (self.emulated.columns, self.emulated.lines))

    def show(self, *events: Event) -> None:
        for event in events:
            self.view.show(event)
        self.update()

    def update(self) -> str:
        """Draws what was written since the last time, and gives it."""
        written = self.out.getvalue()
        self.out.seek(0)
        self.out.truncate()
        self._stream.feed(written)
        return written

    @property
    def lines(self) -> list[str]:
        """Scrollback and screen, without what is empty at the end."""
        history = ["".join(row[x].data for x in range(self.emulated.columns)) for row in self.emulated.history.top]
        lines = [line.rstrip() for line in [*history, *self.emulated.display]]
        while lines and not lines[-1]:
            lines.pop()
        return lines


def test_committed_words_are_plain_and_the_draft_is_dimmed() -> None:
    assert wrapped("the quick", " brown fox", 40) == [f"the quick{DIM} brown fox{PLAIN}"]
    assert wrapped("the quick bro", "wn fox", 40) == [f"the quick bro{DIM}wn fox{PLAIN}"]
    assert wrapped("", "the", 40) == [f"{DIM}the{PLAIN}"]
    assert wrapped("the", "", 40) == ["the"]
    assert wrapped("", "", 40) == []


@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "utf-8"])
def test_json_keeps_its_letters_whatever_a_pipe_can_encode(encoding: str) -> None:
    said, raw = Final(0, 0.0, 1.0, "東京 und Köln 🎙"), io.BytesIO()
    out = io.TextIOWrapper(raw, encoding=encoding, errors="replace")
    EventView(out).show(said)
    view = view_on(out, "json", "nano")
    view.show(said)
    view.show(Done(1.0))
    event, transcript = map(json.loads, raw.getvalue().decode().splitlines())
    assert event["text"] == transcript["text"] == said.text


def test_lines_break_between_words() -> None:
    assert wrapped("the quick brown fox jumps", "", 10) == ["the quick", "brown fox", "jumps"]
    assert wrapped("incomprehensible", "", 7) == ["incompr", "ehensib", "le"]


def test_wide_letters_take_two_cells() -> None:
    assert wrapped("日本語 日本", "", 8) == ["日本語", "日本"]


def test_a_text_cannot_command_the_terminal() -> None:
    assert wrapped("red \x1b[31m alert\x07\x9b2J\n", "", 40) == ["red  [31m alert  2J"]


def test_what_belongs_to_words_stays_in_them() -> None:
    text = "n'est-ce pas\u202f? می\u200cخواهم 👩\u200d💻"  # a narrow space, joiners
    assert printable(text) == text


@given(st.text(max_size=60), st.text(max_size=60), st.integers(2, 20))
def test_wrapping_loses_no_letter(committed: str, draft: str, width: int) -> None:
    shown = "".join(wrapped(committed, draft, width)).replace(DIM, "").replace(PLAIN, "")
    assert "".join(shown.split()) == "".join(printable(committed + draft).split())


def test_the_open_segment_is_redrawn_in_place_and_finals_stay() -> None:
    screen = Screen()
    screen.show(*TALK[:2])
    assert screen.lines == ["the quick brow"]
    screen.show(*TALK[2:])
    assert screen.lines == ["the quick brown fox", "jumps"]


def test_a_draft_that_shrinks_leaves_nothing_behind() -> None:
    screen = Screen(columns=20)
    screen.show(Partial(0, 0, 1, "", "a long draft that needs three lines at least to be shown"))
    assert len(screen.lines) > 2
    screen.show(Partial(0, 0, 2, "short", ""))
    assert screen.lines == ["short"]


def test_long_talks_scroll_away_line_by_line() -> None:
    screen = Screen(lines=4)
    for number in range(20):
        screen.show(Partial(number, 0, 1, f"segment {number}", " and"), Final(number, 0, 1, f"segment {number} ends"))
    assert screen.lines == [f"segment {number} ends" for number in range(20)]


def test_a_segment_longer_than_the_screen_shows_its_end() -> None:
    screen = Screen(columns=12, lines=4)
    text = " ".join(f"word{number}" for number in range(30))
    for length in range(1, 30):
        screen.show(Partial(0, 0, 1, " ".join(text.split()[:length]), ""))
    assert screen.lines[-1] == "word28"
    assert len(screen.lines) <= 4
    screen.show(Final(0, 0, 1, text))
    assert " ".join(screen.lines) == text


def test_what_is_shown_is_never_erased_before_it_is_written_again() -> None:
    screen = Screen()
    screen.show(Partial(0, 0, 1, "the quick", " brow"))
    screen.view.show(Partial(0, 0, 1, "the quick brown", " fox"))
    update = screen.update()
    assert update.startswith("\x1b[?2026h")
    assert update.endswith("\x1b[?2026l")
    assert update.index("the quick brown") < update.index("\x1b[K") < update.index("\x1b[J")


def test_nothing_new_is_not_drawn() -> None:
    screen = Screen()
    screen.show(Partial(0, 0, 1, "the", " quick"))
    screen.view.show(Partial(0, 0, 1.3, "the", " quick"))
    assert screen.update() == ""


def test_closing_leaves_the_finals_and_the_cursor() -> None:
    screen = Screen()
    screen.show(*TALK)
    assert screen.emulated.cursor.hidden
    screen.view.close()
    screen.update()
    assert screen.lines == ["the quick brown fox"]
    assert not screen.emulated.cursor.hidden
    assert (screen.emulated.cursor.x, screen.emulated.cursor.y) == (0, 1)


def test_a_pipe_gets_finals_only_each_at_once() -> None:
    class Pipe(io.StringIO):
        flushed = ""

        def flush(self) -> None:
            self.flushed = self.getvalue()

    pipe = Pipe()
    view = PipeView(pipe, writer("text", "nano"))
    for event in TALK:
        view.show(event)
    assert pipe.flushed == "the quick brown fox\n"
    view.show(Done(3.0))
    view.close()
    assert pipe.flushed == "the quick brown fox\n"


@pytest.mark.parametrize("form", ["json", "srt", "vtt"])
def test_a_run_that_fails_leaves_a_whole_document_of_what_was_final(form: str) -> None:
    def shown(*events: Event) -> str:
        view = PipeView(out := io.StringIO(), writer(form, "nano"))
        for event in events:
            view.show(event)
        view.close()
        return out.getvalue()

    assert shown(*TALK) == shown(*TALK, Done(2.0))
    assert shown(*TALK[:3]) == "", "nothing was final"


def test_events_are_one_json_object_a_line() -> None:
    out = io.StringIO()
    view = EventView(out)
    for event in TALK:
        view.show(event)
    view.close()
    assert [json.loads(line)["type"] for line in out.getvalue().splitlines()] == [event.type for event in TALK]


@pytest.fixture
def tmux(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Runs tmux commands against a server of its own."""
    if shutil.which("tmux") is None:
        pytest.skip("tmux is not installed")

    def run(*command: str) -> str:
        line = ["tmux", "-S", str(tmp_path / "socket"), "-f", "/dev/null", *command]
        return subprocess.run(line, check=True, capture_output=True, text=True, timeout=20).stdout

    yield run
    run("kill-server")


PLAYER = """
import json, sys
from clients.suspension import Suspension
from clients.terminal import TerminalView
from streamer.events import Final, Partial
view = TerminalView(sys.stdout)
try:
  with Suspension().leaving(view.leave):
    for line in open(sys.argv[1]):
        values = json.loads(line)
        view.show({"partial": Partial, "final": Final}[values.pop("type")](**values))
finally:
    view.close()
    print("closed")
"""


def wait_until(condition: Callable[[], bool], look: Callable[[], str]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, f"this does not change any more:\n{look()}"
        time.sleep(0.02)


def test_in_a_real_terminal_a_resize_leaves_no_traces(tmp_path: Path, tmux: Callable[..., str]) -> None:
    """tmux wraps its lines again when it is resized; the captions must neither double nor break apart."""
    (tmp_path / "player.py").write_text(PLAYER)
    (tmp_path / "above.txt").write_text("".join(f"line {number}\n" for number in range(30)))
    pipe = tmp_path / "events"
    os.mkfifo(pipe)
    text = "the museum has a large collection of clocks and old maps"
    command = f"cat {tmp_path / 'above.txt'}; {sys.executable} {tmp_path / 'player.py'} {pipe}; sleep 60"
    root = str(Path(__file__).parent.parent)
    tmux("new-session", "-d", "-x", "60", "-y", "12", "-e", f"PYTHONPATH={root}", command)

    def captions() -> str:
        return tmux("capture-pane", "-p", "-S", "-").partition("line 29\n")[2].rstrip()

    with pipe.open("w", buffering=1) as events:
        for width in [60, 30, 45, 20, 70]:
            tmux("resize-window", "-x", str(width))
            wanted = "\n".join(wrapped(f"{text} drawn at {width}", "", width - 1))

            def is_drawn(width: int = width, wanted: str = wanted) -> bool:
                # again and again: tmux tells the new size only a moment later
                events.write(Partial(0, 0, 1, text, f" drawn at {width}").to_json() + "\n")
                return captions() == wanted

            wait_until(is_drawn, captions)
        events.write(Final(0, 0, 2, text).to_json() + "\n")
    wait_until(lambda: captions() == f"{text}\nclosed", captions)
    assert tmux("display-message", "-p", "#{cursor_flag}").strip() == "1"


def test_in_a_real_terminal_ctrl_z_leaves_it_to_the_shell_and_captions_go_on(
    tmp_path: Path, tmux: Callable[..., str]
) -> None:
    (tmp_path / "player.py").write_text(PLAYER)
    pipe = tmp_path / "events"
    os.mkfifo(pipe)
    root = str(Path(__file__).parent.parent)
    shell = "bash --norc --noprofile -i"
    tmux("new-session", "-d", "-x", "60", "-y", "12", "-e", f"PYTHONPATH={root}", shell)

    def screen() -> str:
        return tmux("capture-pane", "-p").rstrip()

    def cursor() -> str:
        return tmux("display-message", "-p", "#{cursor_flag}").strip()

    tmux("send-keys", "clear; " + shlex.join([sys.executable, str(tmp_path / "player.py"), str(pipe)]), "Enter")
    with pipe.open("w", buffering=1) as events:
        events.write(Partial(0, 0, 1, "the museum has", " a large").to_json() + "\n")
        wait_until(lambda: screen().endswith("the museum has a large"), screen)
        assert cursor() == "0"
        tmux("send-keys", "C-z")
        wait_until(lambda: screen().rpartition("\n")[2].startswith("bash-"), screen)
        assert cursor() == "1"
        assert "museum" not in screen()
        tmux("send-keys", "fg", "Enter")
        events.write(Partial(0, 0, 1, "the museum has", " a large").to_json() + "\n")
        wait_until(lambda: screen().endswith("the museum has a large"), screen)
        events.write(Final(0, 0, 2, "the museum").to_json() + "\n")
    wait_until(lambda: "the museum\nclosed\nbash-" in screen(), screen)


def test_the_time_in_which_a_run_stands_still_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[str] = []
    monkeypatch.setattr("os.kill", lambda _pid, _signal: time.sleep(0.3))
    suspension = Suspension()
    began, clock = time.monotonic(), suspension.clock()
    with suspension.leaving(lambda: left.append("left")):
        signal.raise_signal(signal.SIGTSTP)
    passed = suspension.clock() - clock
    assert left == ["left"]
    assert 0 <= passed <= time.monotonic() - began - 0.29
