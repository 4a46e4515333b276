"""The table of models: what each needs, whether it lies in the cache, and whether it fits here."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from model.known import KNOWN, Size
from streamer import models
from streamer.models import Row, row, rows, show_models

GB = 10**9


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty one."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))


def test_every_known_model_has_a_row_and_nano_comes_first() -> None:
    assert [each.name for each in rows(None)] == ["nano", *(known.name for known in KNOWN)]


@pytest.mark.parametrize(
    ("free", "fits"),
    [
        (14 * GB, "yes"),
        (7 * GB, "as bfloat16"),
        (4 * GB, "as int8"),
        (3 * GB, "as int4"),
        (2 * GB, "no"),
        (None, "unknown"),
    ],
)
def test_a_row_says_what_a_model_needs_and_whether_it_fits(free: int | None, fits: str) -> None:
    memory = ("13.2 GB", "6.6 GB", "3.3 GB", "2.3 GB")
    assert row("m", Size(3 * GB, 2 * GB), "no", free, "-") == Row("m", "3.0 B", memory, "no", fits, "-")


def test_small_models_are_counted_in_millions() -> None:
    memory = ("40 MB", "20 MB", "10 MB", "10 MB")
    assert row("m", Size(9_000_000, 0), "yes", None, "-") == Row("m", "9 M", memory, "yes", "unknown", "-")


def test_the_table_says_how_much_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "free_bytes", lambda _: 7 * GB)
    out = io.StringIO()
    show_models(out)
    lines = out.getvalue().splitlines()
    assert lines[0].split() == [
        "name",
        "parameters",
        "float32",
        "bfloat16",
        "int8",
        "int4",
        "cached",
        "fits",
        "here",
        "note",
    ]
    assert "7.0 GB of memory are free" in lines[-1]
    (large,) = (line for line in lines if "3.3-8b" in line)
    forms = ["38.2", "GB", "19.1", "GB", "9.6", "GB", "5.7", "GB"]
    assert large.split()[1:14] == ["8.7", "B", *forms, "no", "as", "int4"]


def test_a_table_without_known_memory_says_nothing_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "free_bytes", lambda _: None)
    out = io.StringIO()
    show_models(out)
    assert "free" not in out.getvalue()


def test_wrong_usage_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    said: list[str] = []
    with pytest.raises(SystemExit) as ended:
        models.main(["everything"], said.append)
    assert ended.value.code == 2
    assert said == ["unrecognized arguments: everything (see granite-stream models --help)"]
    assert capsys.readouterr().err == ""
