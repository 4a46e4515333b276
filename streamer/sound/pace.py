"""How audio comes to a listener: a recording at the speed of speech, a pipe as fast as it brings it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np

from streamer.sound.incoming import SAMPLE_RATE, Samples

MOST_SAMPLES = 3 * SAMPLE_RATE  # are handed out together; who needs longer for them cannot keep up


def at_the_speed_of_speech(
    chunks: Iterator[Samples],
    samples_per_second: float,
    most_samples: int = MOST_SAMPLES,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Samples]:
    """Hands out each chunk when its last sample has been spoken, and with it whole chunks spoken meanwhile.

    So a listener that is slow gets longer pieces, up to `most_samples`, and lags by one piece instead of more and more.
    The clock starts at the first request.
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
        most = min(spoken_samples, given_samples - len(chunk) + most_samples)
        while given_samples + len(chunk) <= most and (more := next(chunks, None)) is not None:
            due.append(more)
            given_samples += len(more)
        yield np.concatenate(due)


def as_it_comes(
    chunks: Iterator[Samples], more_has_come: Callable[[], bool], most_samples: int = MOST_SAMPLES
) -> Iterator[Samples]:
    """Hands out each chunk with those that came while the listener was busy, up to `most_samples` together.

    So a listener that is slow gets longer pieces of what somebody is just speaking, and does not lag more and more.
    """
    for chunk in chunks:
        come, count = [chunk], len(chunk)
        while count < most_samples and more_has_come() and (more := next(chunks, None)) is not None:
            come.append(more)
            count += len(more)
        yield np.concatenate(come)
