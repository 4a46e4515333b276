"""What a finished transcript looks like in a file: text, json, srt or vtt, made from finals as they come."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Protocol

from clients.subtitles import SubtitleWriter
from clients.transcript import Transcript
from streamer.events import Final

FORMATS = {"text": "txt", "json": "json", "srt": "srt", "vtt": "vtt"}  # name: suffix of its files


class Writer(Protocol):
    """Finals in, characters out; all that is returned, joined, is the file."""

    def add(self, final: Final) -> str:
        """What can be written now that this final is known."""

    def finish(self, audio_seconds: float) -> str:
        """The rest of the file."""


class TextWriter:
    """One final a line."""

    def add(self, final: Final) -> str:
        """The final's line; none if it says nothing."""
        line = " ".join(final.text.split())
        return f"{line}\n" if line else ""

    def finish(self, audio_seconds: float) -> str:
        """Nothing: every line is already out."""
        return ""


class JsonWriter:
    """One line that holds everything, at the end."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._transcript = Transcript()

    def add(self, final: Final) -> str:
        """Nothing yet."""
        self._transcript.take(final)
        return ""

    def finish(self, audio_seconds: float) -> str:
        """The whole transcript."""
        segments = [
            {
                "start": final.start,
                "end": final.end,
                "text": final.text,
                "words": [asdict(word) for word in final.words],
            }
            for final in self._transcript.finals
        ]
        values = {
            "text": self._transcript.text,
            "audio_seconds": audio_seconds,
            "model": self._model,
            "segments": segments,
        }
        return json.dumps(values, ensure_ascii=False) + "\n"


def writer(name: str, model: str) -> Writer:
    """The writer of a format named in `FORMATS`; `model` is what the transcript says it was made with."""
    match name:
        case "text":
            return TextWriter()
        case "json":
            return JsonWriter(model)
        case "srt" | "vtt":
            return SubtitleWriter(name)
    raise AssertionError(f"no such format: {name}")
