"""The settings that the frontier is made of: what is tried, each a way to trade time for accuracy or for calm."""

from __future__ import annotations

from dataclasses import replace

from streamer.commit import Policy
from streamer.options import Options

NEVER = 10**6  # frames
BASE = Policy(updates=2, margin_frames=20, last_margin_frames=40)
EARLY = replace(BASE, margin_frames=10, last_margin_frames=30)
LATE = replace(BASE, margin_frames=40, last_margin_frames=60)
CALM = {"show_margin_frames": 10, "show_updates": 2, "patience": 2}

SETTINGS = {
    "300 ms, margin 400 ms": Options(step_ms=300, policy=BASE),
    "600 ms, margin 400 ms": Options(step_ms=600, policy=BASE),
    "900 ms, margin 400 ms": Options(step_ms=900, policy=BASE),
    "1200 ms, margin 400 ms": Options(step_ms=1200, policy=BASE),
    "300 ms, margin 200 ms": Options(step_ms=300, policy=EARLY),
    "600 ms, margin 200 ms": Options(step_ms=600, policy=EARLY),
    "300 ms, margin 800 ms": Options(step_ms=300, policy=LATE),
    "600 ms, margin 800 ms": Options(step_ms=600, policy=LATE),
    "300 ms, one update": Options(step_ms=300, policy=replace(BASE, updates=1)),
    "300 ms, three updates": Options(step_ms=300, policy=replace(BASE, updates=3)),
    "300 ms, probability 0.3": Options(step_ms=300, policy=replace(BASE, least_probability=0.3)),
    "300 ms, one if sure (0.9)": Options(step_ms=300, policy=replace(EARLY, sure_probability=0.9)),
    "300 ms, shown if calm": Options(step_ms=300, policy=replace(BASE, **CALM)),
    "600 ms, shown if calm": Options(step_ms=600, policy=replace(BASE, **CALM)),
    "300 ms, kept once": Options(step_ms=300, policy=replace(BASE, patience=2)),
    "300 ms, nothing promised": Options(
        step_ms=300, policy=replace(BASE, margin_frames=NEVER, last_margin_frames=NEVER)
    ),
}
QUICK = ("300 ms, margin 400 ms", "600 ms, margin 400 ms", "300 ms, shown if calm")
COLUMNS = (
    "WER stream",
    "gap",
    "finals equal to offline",
    "first partial p50",
    "commit p50",
    "commit p95",
    "committed early",
    "display p50",
    "flicker normalised",
    "forwards per final word",
    "tax",
)
