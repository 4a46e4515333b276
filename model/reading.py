"""One file of a checkpoint: what is wrong with it becomes an error that names it and says what to do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from model.errors import CheckpointError


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
        CheckpointError: it cannot be read, or is something else.
        FileNotFoundError: there is none.
    """
    try:
        values = json.loads(path.read_text())
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from None
    if not isinstance(values, dict):
        raise unreadable(path, f"it holds a {type(values).__name__}, not an object")
    return values


def unreadable(path: Path, why: object) -> CheckpointError:
    """The error for a file that cannot be read. In the hub's cache it is a link, and what that leads to is damaged."""
    if isinstance(why, PermissionError):
        return CheckpointError(f"cannot read {path}: {why.strerror}")
    cure = "the download may be cut short, fetch it again"
    if path.resolve().parent.name == "blobs":
        cure = f"remove {path.resolve()}, then run this again"
    return CheckpointError(f"cannot read {path}: {why}; {cure}")
