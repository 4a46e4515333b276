"""Makes the pictures of the README from the real program: `python -m tests.pictures.make`.

The command runs in tmux, in a terminal of 76 columns; after some seconds of speech, as soon as a draft stands there,
the screen is captured with its colours and drawn as SVG. Needs tmux.
"""

from __future__ import annotations

import io
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.text import Text

from clients.terminal import DIM

HERE = Path(__file__).parent
COLUMNS, LINES = 76, 12
SESSION = "granite-stream-picture"
COMMAND = "granite-stream tests/audio/talk.flac --live"


def tmux(*arguments: str) -> str:
    """Runs a tmux command and gives what it prints."""
    return subprocess.run(["tmux", *arguments], check=True, capture_output=True, text=True).stdout


def capture(seconds: float) -> str:
    """The screen, with its colours and a draft, so many seconds after the first caption."""
    program = Path(sys.executable).parent / COMMAND
    tmux("new-session", "-d", "-s", SESSION, "-x", str(COLUMNS), "-y", str(LINES), f"clear; {program}; sleep 60")
    try:
        deadline = time.monotonic() + 60
        while not tmux("capture-pane", "-p", "-t", SESSION).strip():
            if time.monotonic() > deadline:
                sys.exit("no captions within a minute")
            time.sleep(0.1)
        time.sleep(seconds)
        while DIM not in (screen := tmux("capture-pane", "-e", "-p", "-t", SESSION)):
            if time.monotonic() > deadline:
                sys.exit("no draft within a minute")
            time.sleep(0.1)
        return screen
    finally:
        tmux("kill-session", "-t", SESSION)


def main() -> None:
    """Draws the captions."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO())
    console.print(Text(f"$ {COMMAND}", style="bold"))
    console.print(Text.from_ansi(capture(seconds=22)))
    console.save_svg(str(HERE / "captions.svg"), title="granite-stream")


if __name__ == "__main__":
    main()
