"""The daemon: many speakers, one network. `from streamer import Engine` loads torch; `streamer.events` does not."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from streamer.engine import Engine
    from streamer.stream import Options, Stream

__all__ = ["Engine", "Options", "Stream"]


def __getattr__(name: str) -> Any:
    # late, because clients import the events from here and must stay free of torch
    if name == "Engine":
        from streamer.engine import Engine

        return Engine
    if name in __all__:
        from streamer import stream

        return getattr(stream, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
