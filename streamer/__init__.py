"""The daemon: many speakers, one network. `from streamer import Engine` loads torch; `streamer.events` does not."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from streamer.engine import Engine
    from streamer.options import Options
    from streamer.stream import Stream

__all__ = ["Engine", "Options", "Stream"]


_PLACES = {"Engine": "streamer.engine", "Options": "streamer.options", "Stream": "streamer.stream"}


def __getattr__(name: str) -> Any:
    # late, because clients import the events from here and must stay free of torch
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)
