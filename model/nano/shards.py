"""Speech on disk: raw 16-bit samples in one flat file, and beside it one line of JSON for each clip.

A shard only grows at its end, samples first and the line after them, so a writer that was killed loses at most the
clip it was writing, and a reader may open a shard that is still growing. Knows nothing of voices or of training.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE = 16_000  # Hz, of every shard


@dataclass(frozen=True, slots=True)
class Clip:
    """One utterance: where its samples lie in the flat file, what is said, and by whom."""

    start: int  # samples
    samples: int
    text: str
    voice: str


class ShardWriter:
    """Appends clips to a shard; opening it again goes on after the last whole clip."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._index_path = path.with_suffix(".jsonl")
        whole = _whole_lines(self._index_path)
        self._index_path.write_text("".join(whole), "utf8")
        self.clips = len(whole)
        last = json.loads(whole[-1]) if whole else {"start": 0, "samples": 0}
        self.samples: int = last["start"] + last["samples"]
        self._audio = path.with_suffix(".pcm").open("ab")
        self._audio.truncate(self.samples * 2)
        self._index = self._index_path.open("a", encoding="utf8")

    def append(self, samples: NDArray[np.float32], text: str, voice: str) -> None:
        """Write one clip. An empty one is written too: the number of lines is the position to resume at."""
        pcm = np.clip(np.rint(samples * 32768), -32768, 32767).astype("<i2")
        self._audio.write(pcm.tobytes())
        self._audio.flush()
        clip = Clip(self.samples, len(pcm), text, voice)
        self._index.write(json.dumps(asdict(clip)) + "\n")
        self._index.flush()
        self.samples += len(pcm)
        self.clips += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._audio.close()
        self._index.close()


class Shard:
    """A shard as it is now: its clips, and their samples on demand."""

    def __init__(self, path: Path) -> None:
        self.name = path.stem
        self.clips = [Clip(**json.loads(line)) for line in _whole_lines(path.with_suffix(".jsonl"))]
        length = sum(clip.samples for clip in self.clips)
        # where `align` has been: the sample after each word of each clip
        self.ends: list[list[int]] = [json.loads(line) for line in _whole_lines(path.with_suffix(".ends"))]
        self._index = {(clip.start, clip.text): index for index, clip in enumerate(self.clips)}
        audio = path.with_suffix(".pcm")
        self._audio = np.memmap(audio, "<i2", "r", shape=(length,)) if length else np.zeros(0, np.int16)

    def samples(self, clip: Clip) -> NDArray[np.float32]:
        """The samples of one clip, from -1 to 1."""
        return self._audio[clip.start : clip.start + clip.samples].astype(np.float32) / np.float32(32768)

    def word_ends(self, clip: Clip) -> list[int]:
        """The sample after each word of a clip; empty when that is not known."""
        index = self._index[clip.start, clip.text]
        return self.ends[index] if index < len(self.ends) else []

    @property
    def seconds(self) -> float:
        """How much speech it holds."""
        return len(self._audio) / SAMPLE_RATE


def shards_of(folder: Path) -> Iterator[Shard]:
    """All shards of a folder, by name."""
    for path in sorted(folder.glob("*.jsonl")):
        yield Shard(path)


def _whole_lines(path: Path) -> list[str]:
    """Without the last one if it was only begun; none where there is no such file."""
    lines = path.read_text("utf8").splitlines(keepends=True) if path.exists() else []
    return [line for line in lines if line.endswith("\n")]
