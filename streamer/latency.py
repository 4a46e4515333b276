"""The dial between early and right: what `low`, `balanced` and `accurate` stand for. Light: loads nothing."""

from __future__ import annotations

from dataclasses import dataclass

from streamer.commit import Evidence, Policy


@dataclass(frozen=True, slots=True)
class Latency:
    """How often a stream is updated, and how much evidence a word needs."""

    step_ms: int
    policy: Policy


BALANCED = "balanced"
EAGER = Policy(  # frames are of 20 ms
    commit=(Evidence(0.6, 1, 10), Evidence(0.0, 2, 10)),
    show=(Evidence(0.1, 2, 5), Evidence(0.0, 3, 60)),
)
STEADY = Policy(
    commit=(Evidence(0.5, 2, 10), Evidence(0.0, 3, 75)),
    show=(Evidence(0.2, 2, 10), Evidence(0.0, 4, 200)),
)
CAREFUL = Policy(
    commit=(Evidence(0.5, 2, 10), Evidence(0.0, 6, 250)),
    show=(Evidence(0.2, 2, 10), Evidence(0.0, 6, 250)),
)
LATENCIES = {"low": Latency(300, EAGER), BALANCED: Latency(600, STEADY), "accurate": Latency(600, CAREFUL)}
