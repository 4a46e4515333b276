"""Subtitles from finals: cues that can be read, as SubRip or WebVTT. The same writer serves files and live streams.

A cue is held back until the next one is known, because a short one stays on screen longer if there is room.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from math import inf
from operator import add
from typing import Literal

from clients.plain import one_line
from model.scripts import apart, columns, joined
from streamer.events import Final, Word

LINE_COLUMNS = 42  # what broadcasters allow: so many Latin characters, half as many Japanese or Chinese ones
CUE_SECONDS = 7.0  # the longest; then the eye begins to read again
SHORTEST_CUE_SECONDS = 1.0  # if the next one leaves the time
PAUSE_SECONDS = 0.5  # as good a place to break as a full stop
SILENCE_SECONDS = 1.0  # no cue spans a longer one: nobody wants to read what is said only later
BREATH_SECONDS = 0.2  # as good as a comma

SENTENCE_END, CLAUSE_END = (".", "?", "!", "…", "。", "？", "！"), (",", ";", ":", "、", "，")


@dataclass(frozen=True, slots=True)
class Cue:
    """What is on screen at once, at most two lines."""

    start: float
    end: float
    lines: tuple[str, ...]


class SubtitleWriter:
    """Finals in, text of a subtitle file out; the pieces joined are the file."""

    def __init__(self, kind: Literal["srt", "vtt"]) -> None:
        self._kind = kind
        self._header = "WEBVTT\n\n" if kind == "vtt" else ""
        self._held: Cue | None = None
        self._number = 0
        self._last_end_ms = 0

    def add(self, final: Final) -> str:
        """What can be written for good now that this final is known."""
        return self._put_header() + "".join(self._put(cue) for cue in cues(final))

    def mark(self, number: int, seconds: float) -> str:
        """A comment in WebVTT; SubRip has no place for one."""
        if self._kind == "srt":
            return ""
        return f"{self._put_header()}NOTE mark {number} at {timestamp(round(seconds * 1000), '.')}\n\n"

    def finish(self, audio_seconds: float) -> str:
        """The rest of the file if nothing follows; may be asked again and again."""
        return self._header + self._written(inf)[0]

    def _put(self, cue: Cue) -> str:
        text, end_ms = self._written(cue.start)
        if self._held:
            self._number, self._last_end_ms = self._number + 1, end_ms
        self._held = cue
        return text

    def _written(self, room: float) -> tuple[str, int]:
        """The cue that is held back, if the next one begins at `room`, and when it ends."""
        held = self._held
        if held is None:
            return "", 0
        end = max(held.end, min(held.start + SHORTEST_CUE_SECONDS, room))
        # Whole milliseconds, so that rounding cannot make two cues overlap or one last no time.
        start_ms = max(round(held.start * 1000), self._last_end_ms)
        end_ms = max(round(end * 1000), start_ms + 1)
        if self._kind == "srt":
            times = f"{timestamp(start_ms, ',')} --> {timestamp(end_ms, ',')}"
            return f"{self._number + 1}\n{times}\n" + "\n".join(held.lines) + "\n\n", end_ms
        text = "\n".join(held.lines).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        return f"{timestamp(start_ms, '.')} --> {timestamp(end_ms, '.')}\n{text}\n\n", end_ms

    def _put_header(self) -> str:
        header, self._header = self._header, ""
        return header


def timestamp(milliseconds: int, point: str) -> str:
    """`01:02:03,004`, with the point that the format wants."""
    seconds, milliseconds = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{point}{milliseconds:03}"


def cues(final: Final) -> list[Cue]:
    """The words of a final in cues: few, broken at sentences and pauses rather than anywhere, none almost empty."""
    words = _short_words(final)
    # best[end]: the cheapest way to cut words[:end], as its cost and where its last cue begins
    best: list[tuple[float, int]] = [(0.0, 0)]
    for end in range(1, len(words) + 1):
        choices = []
        for start in range(end - 1, -1, -1):
            lines = layout(words[start:end])
            if not lines or (start < end - 1 and _too_long(words[start:end])):
                break  # longer ones do not fit either
            emptiness = 1 - sum(map(columns, lines)) / (2 * LINE_COLUMNS)
            choices.append((best[start][0] + 1 + _break_cost(words, end) + emptiness**2, start))
        best.append(min(choices))
    found = []
    end = len(words)
    while end:
        start = best[end][1]
        found.append(Cue(words[start].start, words[end - 1].end, layout(words[start:end])))
        end = start
    return found[::-1]


def layout(words: Sequence[Word]) -> tuple[str, ...]:
    """The words on one line or two, the second if possible beginning after a pause. Empty if they do not fit."""
    texts = [word.word for word in words]
    spaces = [int(apart(before, after)) for before, after in pairwise(texts)]
    ends = list(accumulate(map(add, map(columns, texts), [0, *spaces])))  # columns up to the end of each word
    if ends[-1] <= LINE_COLUMNS:
        return (joined(texts),)
    middles = []
    for middle in range(1, len(words)):
        first, second = ends[middle - 1], ends[-1] - ends[middle - 1] - spaces[middle - 1]
        if max(first, second) <= LINE_COLUMNS:
            middles.append((_break_cost(words, middle) + abs(first - second) / LINE_COLUMNS, middle))
    if not middles:
        return ()
    _, middle = min(middles)
    return joined(texts[:middle]), joined(texts[middle:])


def _too_long(words: Sequence[Word]) -> bool:
    """Whether these words, known to be fine without the first, cannot be on screen together."""
    silence_seconds = words[1].start - words[0].end
    return silence_seconds > SILENCE_SECONDS or words[-1].end - words[0].start > CUE_SECONDS


def _break_cost(words: Sequence[Word], at: int) -> float:
    """How bad it is to break before `words[at]`: 0 where a sentence, a speaker or the final ends, 1 within a phrase."""
    if at == len(words) or words[at].speaker != words[at - 1].speaker:
        return 0.0
    before = words[at - 1]
    pause_seconds = words[at].start - before.end
    if before.word.endswith(SENTENCE_END) or pause_seconds >= PAUSE_SECONDS:
        return 0.0
    if before.word.endswith(CLAUSE_END) or pause_seconds >= BREATH_SECONDS:
        return 0.5
    return 1.0


def _short_words(final: Final) -> list[Word]:
    """The final's words, or its text spread over its time if it has none, cut to what fits a line."""
    words: Sequence[Word] = final.words
    if not words:
        texts = final.text.split()
        step = (final.end - final.start) / max(len(texts), 1)
        words = [
            Word(text, final.start + index * step, final.start + (index + 1) * step, 0.0)
            for index, text in enumerate(texts)
        ]
    pieces, speaker = list[Word](), None
    for word in words:
        turn = f"[Speaker {word.speaker}]: " if word.speaker not in (None, speaker) else ""
        text, speaker = turn + one_line(word.word), word.speaker
        parts = _parts(text)
        step = (word.end - word.start) / max(len(parts), 1)
        for index, part in enumerate(parts):
            start, end = word.start + index * step, word.start + (index + 1) * step
            pieces.append(Word(part, start, end, word.confidence, speaker))
    return pieces


def _parts(text: str) -> list[str]:
    """Text in pieces that each fit a line."""
    if text and columns(text) <= LINE_COLUMNS:
        return [text]
    parts = list[str]()
    for character in text:
        if parts and columns(parts[-1] + character) <= LINE_COLUMNS:
            parts[-1] += character
        else:
            parts.append(character)
    return parts
