"""The network: Granite Speech, equal to the reference, made of operations that can be streamed."""

from typing import TYPE_CHECKING, Any

from model.errors import AudioError, CheckpointError, GraniteStreamError, WishError
from model.tasks import Wish

if TYPE_CHECKING:
    from model.speech import GraniteSpeech

__all__ = ["AudioError", "CheckpointError", "GraniteSpeech", "GraniteStreamError", "Wish", "WishError"]


def __getattr__(name: str) -> Any:
    # late, because whoever wants the words alone should not wait for torch
    if name == "GraniteSpeech":
        from model.speech import GraniteSpeech

        return GraniteSpeech
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
