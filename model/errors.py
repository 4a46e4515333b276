"""What can go wrong outside the program's own logic. Every message is one line that says what to do."""


class GraniteStreamError(Exception):
    """The root of all errors that a user can cause and cure; the command prints it as one line."""


class CheckpointError(GraniteStreamError):
    """A checkpoint is missing, incomplete, or does not fit its configuration."""


class WishError(GraniteStreamError, ValueError):
    """What is asked of a model does not go together, or is more than it can do."""


class AudioError(GraniteStreamError):
    """A recording cannot be read."""
