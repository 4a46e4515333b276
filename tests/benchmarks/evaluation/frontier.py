"""The settings that the frontier is made of: kinds of evidence for a word, each at several steps between updates."""

from __future__ import annotations

from dataclasses import replace

from streamer.commit import Evidence, Policy
from streamer.latency import STEADY
from streamer.options import Options

STEPS_MS = (300, 600, 900, 1200)
DOUBTFUL = STEADY.commit[-1]  # asked of words that are not likely
AT_ONCE = (Evidence(0.0, 1, 0),)


def _likely(probability: float, otherwise: Evidence = DOUBTFUL) -> Policy:
    return replace(STEADY, commit=(replace(STEADY.commit[0], probability=probability), otherwise))


def _agreed(updates: int, margin_frames: int) -> Policy:
    return replace(STEADY, commit=(Evidence(0.0, updates, margin_frames),))


EVIDENCE = {
    "two updates agree": _agreed(2, 20),
    "four agree": _agreed(4, 20),
    "two agree, 2 s ago": _agreed(2, 100),
    "likely, 0.5": _likely(0.5),
    "likely, 0.8": _likely(0.8),
    "likely, 0.5, else 0.8 s": _likely(0.5, Evidence(0.0, 3, 40)),
    "likely, 0.5, else 3 s": _likely(0.5, Evidence(0.0, 6, 150)),
    "nothing promised": replace(STEADY, commit=()),
}
DISPLAY = {
    "shown at once": replace(STEADY, show=AT_ONCE, patience=1),
    "shown if two agree": replace(STEADY, show=(Evidence(0.0, 2, 10),), patience=1),
    "the same, kept once": replace(STEADY, show=(Evidence(0.0, 2, 10),)),
    "shown if likely": STEADY,
}
QUICK_STEPS_MS = (600,)
COLUMNS = (
    "WER stream",
    "gap",
    "finals equal to offline",
    "commit p50",
    "commit p95",
    "committed early",
    "first partial p50",
    "display p50",
    "flicker normalised",
    "forwards per final word",
    "tax",
)


def name_of(evidence: str, step_ms: int) -> str:
    """Of a setting."""
    return f"{evidence}, {step_ms} ms"


def settings(steps_ms: tuple[int, ...]) -> dict[str, Options]:
    """Every kind of evidence at every step, and every way to show drafts at 600 ms."""
    asked = {
        name_of(name, step): Options(step_ms=step, policy=policy)
        for name, policy in EVIDENCE.items()
        for step in steps_ms
    }
    shown = {name_of(name, 600): Options(step_ms=600, policy=policy) for name, policy in DISPLAY.items()}
    return asked | shown
