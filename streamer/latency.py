"""The dial between early and right: what `low`, `balanced` and `accurate` stand for. Light: loads nothing."""

from __future__ import annotations

from dataclasses import dataclass

from streamer.commit import Policy


@dataclass(frozen=True, slots=True)
class Latency:
    """How often a stream is updated, and how much evidence a word needs."""

    step_ms: int
    policy: Policy


BALANCED = "balanced"
LATENCIES = {
    "low": Latency(300, Policy(margin_frames=10, last_margin_frames=30, patience=2)),
    BALANCED: Latency(300, Policy(show_updates=2, show_margin_frames=10, patience=2)),
    "accurate": Latency(600, Policy(margin_frames=40, last_margin_frames=60, patience=2)),
}
