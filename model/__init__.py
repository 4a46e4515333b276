"""The network: Granite Speech, equal to the reference, made of operations that can be streamed."""

from model.errors import AudioError, CheckpointError, GraniteStreamError
from model.speech import GraniteSpeech

__all__ = ["AudioError", "CheckpointError", "GraniteSpeech", "GraniteStreamError"]
