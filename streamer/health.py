"""How the service stands, in one place: its life cycle and its sessions write it, pages and handshakes read it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Health:
    """Three things that may stand in the way of a new session."""

    loading: bool = True  # there is no network yet
    draining: bool = False  # sessions get their finals, and no new ones begin
    broken: bool = False  # the network's thread has died; the process is about to end

    @property
    def hindrance(self) -> str | None:
        """Why no session can begin just now, in one word for metrics; None: it can."""
        states = {"broken": self.broken, "draining": self.draining, "loading": self.loading}
        return next((name for name, true in states.items() if true), None)
