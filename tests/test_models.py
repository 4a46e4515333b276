"""The table of models: what each needs, whether it lies in the cache, and whether it fits and keeps up here."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
import torch

from model.known import KNOWN, Size
from streamer.commands import models
from streamer.commands.models import Row, row, rows, show_models
from streamer.estimate import Pace

GB = 10**9
CPU = torch.device("cpu")
SIZE = Size(3 * GB, 2 * GB, GB // 2, 2 * GB)
SLOW, FAST = Pace(2e-11, 2e-10, 1e-11), Pace(2e-12, 2e-11, 1e-12)


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty one."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))


def test_every_known_model_has_a_row_and_nano_comes_first() -> None:
    assert [each.name for each in rows(None, {}, CPU, 0.3)] == ["nano", *(known.name for known in KNOWN)]


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
    assert row("m", SIZE, "no", free, {}, 0.3, "-") == Row("m", "3.0 B", memory, "no", fits, "-", "-")


def test_small_models_are_counted_in_millions() -> None:
    memory = ("40 MB", "20 MB", "10 MB", "10 MB")
    small = Size(9_000_000, 0, 0, 0)
    assert row("m", small, "yes", None, {}, 0.3, "-") == Row("m", "9 M", memory, "yes", "unknown", "-", "-")


@pytest.mark.parametrize(
    ("paces", "step", "free", "keeps_up"),
    [
        ({"bfloat16": FAST, "int8": FAST}, 0.6, None, "as bfloat16: 0.55"),
        ({"bfloat16": SLOW, "int8": FAST}, 0.6, None, "as int8: 0.55"),
        ({"bfloat16": FAST, "int8": FAST}, 0.6, 4 * GB, "as int8: 0.55"),
        ({"bfloat16": FAST, "int8": SLOW}, 0.6, 4 * GB, "no: 4.3 as int8"),
        ({"bfloat16": Pace(3.6e-12, 3.6e-11, 1.8e-12)}, 0.6, None, "as bfloat16: 0.78 at 1.2 s"),
        ({"bfloat16": SLOW, "int8": Pace(1e-11, 1e-10, 1e-11)}, 2.4, None, "no: 2.3 as int8"),
        ({"bfloat16": FAST}, 0.6, GB, "-"),
    ],
    ids=[
        "the most exact form",
        "the first that is fast enough",
        "only forms that fit",
        "too slow",
        "with longer steps",
        "a longer step than any",
        "nothing fits",
    ],
)
def test_a_row_says_which_form_keeps_up(paces: dict[str, Pace], step: float, free: int | None, keeps_up: str) -> None:
    assert row("m", SIZE, "no", free, paces, step, "-").keeps_up == keeps_up


def test_the_table_says_how_much_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "free_bytes", lambda _: 7 * GB)
    out = io.StringIO()
    show_models(out, CPU, 0.3)
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
        "keeps",
        "up",
        "(est.)",
        "note",
    ]
    assert "7.0 GB of memory are free" in lines[-1]
    (large,) = (line for line in lines if "3.3-8b" in line)
    forms = ["38.2", "GB", "19.1", "GB", "9.6", "GB", "5.7", "GB"]
    assert large.split()[1:14] == ["8.7", "B", *forms, "no", "as", "int4"]
    assert re.search(r"as int4 +(as int4: 0\.\d\d( at 1\.2 s)?|no: \d+\.\d as int4) ", large)


def test_a_table_without_known_memory_says_nothing_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "free_bytes", lambda _: None)
    monkeypatch.setattr(models, "timed", lambda _: {})
    out = io.StringIO()
    show_models(out, CPU, 0.3)
    assert "free" not in out.getvalue()


def test_wrong_usage_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    said: list[str] = []
    with pytest.raises(SystemExit) as ended:
        models.main(["everything"], said.append)
    assert ended.value.code == 2
    assert said == ["unrecognized arguments: everything (see granite-stream models --help)"]
    assert capsys.readouterr().err == ""
