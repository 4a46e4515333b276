from __future__ import annotations

import numpy as np
import pytest

from streamer.sound.pace import as_it_comes, at_the_speed_of_speech


class Clock:
    """Time passes only while somebody sleeps or works."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds


def play(samples: int, work_seconds: float, speed: float = 1.0) -> tuple[list[int], list[float]]:
    """Lengths of the pieces, in samples, and when each came, of a listener that takes so long for each."""
    clock = Clock()
    chunks = np.split(np.arange(samples, dtype=np.float32), range(1600, samples, 1600))
    lengths, times = [], []
    heard = []
    for piece in at_the_speed_of_speech(iter(chunks), speed * 16_000, clock=clock, sleep=clock.sleep):
        lengths.append(len(piece))
        times.append(round(clock.now - 100.0, 6))
        heard.append(piece)
        clock.now += work_seconds
    np.testing.assert_array_equal(np.concatenate(heard), np.arange(samples))
    return lengths, times


def test_a_quick_listener_gets_each_piece_when_it_has_been_spoken() -> None:
    assert play(4000, work_seconds=0.05) == ([1600, 1600, 800], [0.1, 0.2, 0.25])


def test_a_slow_listener_gets_longer_pieces_and_does_not_fall_behind() -> None:
    lengths, times = play(160_000, work_seconds=0.35)
    assert set(lengths[1:-1]) <= {4800, 6400}
    assert times[-1] < 10.0 + 0.45


def test_who_cannot_keep_up_gets_no_longer_pieces_than_this() -> None:
    lengths, times = play(20 * 16_000, work_seconds=6.0)
    assert max(lengths) == 3 * 16_000
    assert times[-1] > 30.0


def test_speed_divides_the_time() -> None:
    _, times = play(16_000, work_seconds=0.0, speed=4.0)
    assert times[-1] == 0.25


@pytest.mark.parametrize(
    ("waiting", "lengths"),
    [
        ([False] * 9, [10, 10, 10, 5]),  # a quick listener
        ([True, True, False, True, True], [30, 5]),  # a slow one; the end of a pipe counts as come
        ([True] * 9, [30, 5]),  # never more at once than this
    ],
)
def test_a_pipe_is_heard_in_as_long_pieces_as_the_listener_needs(waiting: list[bool], lengths: list[int]) -> None:
    chunks = np.split(np.arange(35, dtype=np.float32), [10, 20, 30])
    pieces = list(as_it_comes(iter(chunks), lambda: waiting.pop(0), most_samples=30))
    assert list(map(len, pieces)) == lengths
    np.testing.assert_array_equal(np.concatenate(pieces), np.arange(35))
