from __future__ import annotations

import pytest

from clients.dialing import DIAL_SECONDS, LEAVE_SECONDS
from clients.errors import UnreachableError
from clients.patience import LONGEST_SECONDS, Patience, Persistence


def waits(patience: Patience) -> list[float]:
    """All of them, with a clock that only the waiting moves."""
    now, found = 0.0, []
    while (wait := patience.wait_seconds(now)) is not None:
        found.append(wait)
        now += max(wait, 0.001)  # an attempt takes a moment
    return found


def test_waits_double_up_to_a_bound_and_end_with_the_deadline() -> None:
    found = waits(Patience(30.0, 0.0, chance=lambda: 1.0))
    assert found[:7] == pytest.approx([0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2])
    assert set(found[7:-1]) == {LONGEST_SECONDS}
    assert sum(found) == pytest.approx(30.0, abs=0.1)


def test_clients_that_were_cut_off_together_come_back_apart() -> None:
    seconds = {sum(waits(Patience(30.0, 0.0))[:6]) for _ in range(20)}
    assert max(seconds) - min(seconds) > 0.1


def test_the_waits_begin_when_they_are_asked_for() -> None:
    patience = Patience(5.0, now=100.0)
    assert patience.wait_seconds(104.9) == 0
    assert patience.wait_seconds(104.95) == pytest.approx(0.05)
    assert patience.wait_seconds(105.0) is None


def test_what_only_hung_did_not_last() -> None:
    longest = 2 * DIAL_SECONDS + LEAVE_SECONDS  # no answer to the greeting either, nor to the goodbye
    persistence = Persistence()
    assert persistence.failed(UnreachableError("no greeting"), longest)
    assert not persistence.failed(UnreachableError("no greeting"), longest), "it is no news"
    assert persistence.failed(UnreachableError("no greeting"), 10 * longest)


def test_who_never_gives_up_comes_back_apart_from_others_too() -> None:
    every = [Persistence(), Persistence()]
    first, second = ([each.wait_seconds() for _ in range(5)] for each in every)
    assert first != second
    for wait, bound in zip(first, [1, 2, 4, 8, 8], strict=True):
        assert bound / 2 <= wait <= bound
