"""Which signals a program takes: whoever started it may have asked it to ignore some."""

from __future__ import annotations

import signal


def heeded(*names: signal.Signals) -> list[signal.Signals]:
    """Those that are not ignored, as `nohup` has it for SIGHUP, and a shell without jobs for SIGTSTP."""
    return [name for name in names if signal.getsignal(name) is not signal.SIG_IGN]
