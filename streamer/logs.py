"""Log lines of the service: what happened, then `name=value`, or the same as JSON. Never a token, never a text."""

from __future__ import annotations

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Any, TextIO


class LineFormatter(logging.Formatter):
    """One line a record, whatever went wrong: of an exception its type, its message and its place."""

    def __init__(self, as_json: bool) -> None:
        super().__init__()
        self._as_json = as_json

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        fields: dict[str, Any] = dict(getattr(record, "fields", {}))
        if record.exc_info and record.exc_info[1]:
            fields["error"] = described(record.exc_info[1])
        level, message = record.levelname.lower(), record.getMessage()
        if self._as_json:
            return json.dumps({"time": time, "level": level, "message": message, **fields}, default=str)
        said = " ".join(f"{name}={_plain(value)}" for name, value in fields.items())
        return " ".join(filter(None, (time, level, message.replace("\n", " "), said)))


def set_up(as_json: bool, out: TextIO = sys.stderr) -> None:
    """Sends our log, and what websockets has to complain about, to this stream."""
    handler = logging.StreamHandler(out)
    handler.setFormatter(LineFormatter(as_json))
    # websockets logs each handshake at INFO, and at DEBUG whole messages and headers with tokens in them
    for name, level in (("granite_stream", logging.INFO), ("websockets", logging.WARNING), ("asyncio", logging.ERROR)):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level)


def described(error: BaseException) -> str:
    """Type, message and place of an exception; of a group, of the first one in it."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    places = traceback.extract_tb(error.__traceback__)
    where = f" ({places[-1].filename.rpartition('/')[2]}:{places[-1].lineno})" if places else ""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}{where}"


def _plain(value: object) -> str:
    text = str(value)
    return text if text and not any(character in ' "=\n' for character in text) else json.dumps(text)
