"""Plays a recording to a listener at the speed of speech, as a microphone would."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np

from streamer.recordings import Samples


def at_the_speed_of_speech(
    chunks: Iterator[Samples],
    samples_per_second: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Samples]:
    """Hands out each chunk when its last sample has been spoken, and with it all whole chunks spoken meanwhile.

    So a listener that is slow gets longer pieces, and lags by one piece instead of more and more. The clock starts at
    the first request.
    """
    start = clock()
    given_samples = 0
    for chunk in chunks:
        early_seconds = start + (given_samples + len(chunk)) / samples_per_second - clock()
        if early_seconds > 0:
            sleep(early_seconds)
        spoken_samples = (clock() - start) * samples_per_second
        due = [chunk]
        given_samples += len(chunk)
        while given_samples + len(chunk) <= spoken_samples and (more := next(chunks, None)) is not None:
            due.append(more)
            given_samples += len(more)
        yield np.concatenate(due)
