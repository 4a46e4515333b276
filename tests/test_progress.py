from __future__ import annotations

import io

from clients.progress import ProgressBar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_sees_the_name_and_the_speed() -> None:
    out = Terminal()
    with ProgressBar(out, "talk[1].wav", 60.0) as bar:
        bar.advance(30.0)
    shown = out.getvalue()
    assert "talk[1].wav" in shown
    assert "x real time" in shown


def test_a_name_is_one_line_and_commands_nothing() -> None:
    out = Terminal()
    with ProgressBar(out, "new\nline\x1b[31m.wav", 60.0):
        pass
    assert "new line [31m.wav" in out.getvalue()


def test_an_unknown_duration_is_no_obstacle() -> None:
    out = Terminal()
    with ProgressBar(out, "standard input", None) as bar:
        bar.advance(30.0)
        with bar.hidden():
            out.write("said\n")
    before, _, after = out.getvalue().partition("said\n")
    assert before.endswith("\x1b[2K"), "the bar was taken away first"
    assert "standard input" in after, "and came again"


def test_whoever_is_no_terminal_sees_nothing() -> None:
    out = io.StringIO()
    with ProgressBar(out, "talk.wav", 60.0) as bar:
        bar.advance(30.0)
        with bar.hidden():
            pass
    assert out.getvalue() == ""
