"""The network: Granite Speech, equal to the reference, made of operations that can be streamed."""

from typing import TYPE_CHECKING, Any

from model.errors import AudioError, CheckpointError, GraniteStreamError

if TYPE_CHECKING:
    from model.speech import GraniteSpeech

__all__ = ["AudioError", "CheckpointError", "GraniteSpeech", "GraniteStreamError"]


def __getattr__(name: str) -> Any:
    # late, because whoever wants the errors alone should not wait for torch
    if name == "GraniteSpeech":
        from model.speech import GraniteSpeech

        return GraniteSpeech
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
