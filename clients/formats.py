"""What a transcript looks like in a file: text, json, srt or vtt, made from finals as they come."""

from __future__ import annotations

import json
from typing import Protocol

from clients.plain import one_line
from clients.subtitles import SubtitleWriter
from model.scripts import joined
from streamer.events import Final

FORMATS = {"text": "txt", "json": "json", "srt": "srt", "vtt": "vtt"}  # name: suffix of its files


class Writer(Protocol):
    """Finals in, characters out; all that `add` and `mark` return, joined, and one `finish` are the file."""

    def add(self, final: Final) -> str:
        """What can be written for good now that this final is known."""

    def mark(self, number: int, seconds: float) -> str:
        """What can be written for good now that the user has marked this time."""

    def finish(self, audio_seconds: float) -> str:
        """The rest of the file if nothing follows; may be asked again and again."""


class TextWriter:
    """One final a line."""

    def add(self, final: Final) -> str:
        """The final's line; none if it says nothing."""
        line = one_line(final.text)
        return f"{line}\n" if line else ""

    def mark(self, number: int, seconds: float) -> str:
        """A line of its own."""
        return f"[{mark_text(number, seconds)}]\n"

    def finish(self, audio_seconds: float) -> str:
        """Nothing: every line is already out."""
        return ""


class JsonWriter:
    """One line that holds everything, all of it from `finish`."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._texts: list[str] = []
        self._segments: list[str] = []  # as they are written: `finish` is asked after each of thousands
        self._marks: list[float] = []  # seconds

    def add(self, final: Final) -> str:
        """Nothing yet."""
        self._texts += [text] if (text := final.text.strip()) else []
        words = [word.to_dict() for word in final.words]
        self._segments.append(_json({"start": final.start, "end": final.end, "text": final.text, "words": words}))
        return ""

    def mark(self, number: int, seconds: float) -> str:
        """Nothing yet."""
        self._marks.append(round(seconds, 3))
        return ""

    def finish(self, audio_seconds: float) -> str:
        """The whole transcript."""
        head = _json({"text": joined(self._texts), "audio_seconds": audio_seconds, "model": self._model})
        marks = f', "marks": {_json(self._marks)}' if self._marks else ""
        return f'{head[:-1]}, "segments": [{", ".join(self._segments)}]{marks}}}\n'


def _json(values: object) -> str:
    return json.dumps(values, ensure_ascii=False)


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


def mark_text(number: int, seconds: float) -> str:
    """What a mark says, wherever it is shown."""
    return f"mark {number} at {clock(seconds)}"


def clock(seconds: float) -> str:
    """`4:05`, or `1:04:05`."""
    whole = int(seconds)
    hours = f"{whole // 3600}:{whole // 60 % 60:02}" if whole >= 3600 else f"{whole // 60}"
    return f"{hours}:{whole % 60:02}"
