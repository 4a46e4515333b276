from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from clients.formats import clock
from clients.status import KEYS, Status, line, meter


def plain(text: str) -> str:
    return re.sub(r"\x1b\[\d+m", "", text)


def test_it_tells_level_time_source_and_keys() -> None:
    status = Status("USB Microphone", seconds=125.7, level_db=-30.0, keys=True)
    assert plain(line(status, 80)) == f"▮▮▮▮▮▯▯▯▯▯   2:05   USB Microphone   {KEYS}"


def test_a_notice_takes_the_place_of_the_meter() -> None:
    assert plain(line(Status("USB Microphone", notice="muted"), 80)) == "muted   0:00   USB Microphone"


def test_a_device_that_is_waited_for_is_named_once() -> None:
    assert plain(line(Status("Desk", notice="waiting for Desk"), 80)) == "waiting for Desk   0:00"


def test_in_a_narrow_window_the_most_important_stays() -> None:
    status = Status("USB Microphone", keys=True)
    assert plain(line(status, 40)) == f"{meter(-math.inf)}   0:00   USB Microphone"
    assert plain(line(status, 20)) == f"{meter(-math.inf)}   0:00"
    assert plain(line(status, 5)) == "▯▯▯▯▯"


@given(st.text(max_size=30), st.text(max_size=30), st.integers(1, 100))
def test_it_never_is_wider_than_the_window(source: str, notice: str, width: int) -> None:
    shown = plain(line(Status(source, notice=" ".join(notice.split()), keys=True), width))
    assert cell_len(shown) <= width


def test_a_device_name_cannot_command_the_terminal() -> None:
    assert "\x1b[31m" not in line(Status("Mic \x1b[31m"), 80)
    assert "\x1b[31m" not in line(Status("Desk", notice="waiting for Mic \x1b[31m"), 80)


@pytest.mark.parametrize(
    ("level_db", "filled"), [(-math.inf, 0), (-60.0, 0), (-59.0, 1), (-30.0, 5), (0.0, 10), (3.0, 10)]
)
def test_the_meter_has_ten_cells_of_six_decibels(level_db: float, filled: int) -> None:
    assert meter(level_db) == "▮" * filled + "▯" * (10 - filled)


@pytest.mark.parametrize(("seconds", "text"), [(0.0, "0:00"), (59.9, "0:59"), (61, "1:01"), (3661, "1:01:01")])
def test_the_clock_shows_hours_when_there_are_any(seconds: float, text: str) -> None:
    assert clock(seconds) == text
