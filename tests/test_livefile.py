from __future__ import annotations

import json
from pathlib import Path

import pytest
import srt
import webvtt

from clients.formats import FORMATS, writer
from clients.livefile import LiveFile, part_of
from streamer.events import Done, Final, Word
from tests.media import no_room_beyond


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


def test_where_finals_come_fast_little_is_written_twice_and_nothing_is_missing_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[Path] = []
    write = Path.write_bytes
    monkeypatch.setattr(Path, "write_bytes", lambda path, data: written.append(path) or write(path, data))
    path = tmp_path / "it.json"
    file = LiveFile(path, writer("json", "nano"), may_lag=True)
    for number in range(500):
        file.show(said(number))
    assert len(written) < 100
    file.close()
    assert words(path)[-1] == "499"
    file.show(Done(1500.0))
    assert json.loads(path.read_text())["audio_seconds"] == 1500.0


def test_a_name_that_is_as_long_as_can_be_has_room_for_its_part(tmp_path: Path) -> None:
    for name in ("a" * 251 + ".srt", "語" * 83 + ".json"):
        path = part_of(tmp_path / name)
        assert path.name.endswith(".part")
        file = LiveFile(path, writer(name.rpartition(".")[2], "nano"))
        file.show(said(0))
        assert "number 0" in path.read_text()


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


@pytest.mark.parametrize("form", ["text", "json", "srt"])
def test_a_disk_without_room_is_an_error_and_what_it_missed_is_there_when_it_has_room(
    tmp_path: Path, form: str
) -> None:
    path = tmp_path / f"it.{FORMATS[form]}"
    file = LiveFile(path, writer(form, "nano"))
    file.show(said(0))
    with no_room_beyond(path.stat().st_size + 3), pytest.raises(OSError, match="large"):
        file.show(said(1))
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    file.mark(1, 3.0)
    file.show(Done(9.0))
    assert [word for word in words(path) if word in ("number", "0", "1")][:4] == ["number", "0", "number", "1"]
    assert "\0" not in path.read_text()
