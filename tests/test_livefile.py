from __future__ import annotations

import json
from pathlib import Path

import pytest
import srt
import webvtt

from clients.formats import FORMATS, writer
from clients.livefile import LiveFile
from streamer.events import Done, Final, Word


def said(number: int) -> Final:
    start = 3.0 * number
    return Final(
        number,
        start,
        start + 2,
        f"number {number}",
        (Word("number", start, start + 1, 0.9), Word(str(number), start + 1, start + 2, 0.9)),
    )


def words(path: Path) -> list[str]:
    """What a reader of this format finds in the file."""
    text = path.read_text()
    match path.suffix:
        case ".srt":
            return [word for cue in srt.parse(text) for word in cue.content.split()]
        case ".vtt":
            return [word for caption in webvtt.from_string(text) for word in caption.text.split()] if text else []
        case ".json":
            return json.loads(text)["text"].split()
    return text.split()


@pytest.mark.parametrize("form", FORMATS)
def test_at_any_moment_the_file_is_whole(tmp_path: Path, form: str) -> None:
    path = tmp_path / f"it.{FORMATS[form]}"
    file = LiveFile(path, writer(form, "nano"))
    assert words(path) == []
    for number in range(5):
        file.show(said(number))
        assert words(path) == [word for each in range(number + 1) for word in ("number", str(each))]
    file.show(Done(20.0))
    finished = writer(form, "nano")
    assert path.read_text() == "".join(finished.add(said(number)) for number in range(5)) + finished.finish(20.0)
    assert list(tmp_path.iterdir()) == [path]


def test_a_text_grows_in_place_for_whoever_reads_along(tmp_path: Path) -> None:
    file = LiveFile(tmp_path / "it.txt", writer("text", "nano"))
    with (tmp_path / "it.txt").open() as reader:
        for number in range(3):
            file.show(said(number))
            assert reader.read() == f"number {number}\n"


@pytest.mark.parametrize(
    ("form", "shown"),
    [("text", "[mark 1 at 0:04]"), ("vtt", "NOTE mark 1 at 00:00:04.500"), ("json", '"marks": [4.5]')],
)
def test_marks_are_kept(tmp_path: Path, form: str, shown: str) -> None:
    path = tmp_path / f"it.{FORMATS[form]}"
    file = LiveFile(path, writer(form, "nano"))
    file.show(said(0))
    file.mark(1, 4.5)
    file.show(said(2))
    assert shown in path.read_text()
    assert [word for word in words(path) if word.isalpha()].count("number") == 2


def test_subrip_has_no_place_for_marks(tmp_path: Path) -> None:
    file = LiveFile(tmp_path / "it.srt", writer("srt", "nano"))
    file.mark(1, 4.5)
    file.show(said(2))
    assert words(tmp_path / "it.srt") == ["number", "2"]


def test_no_file_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "it.txt").write_text("yesterday")
    with pytest.raises(FileExistsError):
        LiveFile(tmp_path / "it.txt", writer("text", "nano"))
    assert (tmp_path / "it.txt").read_text() == "yesterday"
