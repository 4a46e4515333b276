"""Where the time of a stream goes: clocks around the calls that the engine makes, and what those calls were given."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import streamer.segment
from model.features import FRAME_SAMPLES, SAMPLE_RATE
from streamer.engine import Engine
from tests.benchmarks.common import Clock

FRAMES_A_SECOND = SAMPLE_RATE // FRAME_SAMPLES


class Stages:
    """CPU seconds of each stage and counts of work, summed over everything inside `with stages.watch(engine):`.

    features: mel frames. listen: the voice detector. encode: conformer, CTC head and projector. extend: the language
    model. align: word times. What remains of the whole is the streaming core itself.
    """

    def __init__(self) -> None:
        self.clocks: dict[str, Clock] = defaultdict(Clock)
        self.counts: Counter[str] = Counter()

    @contextmanager
    def watch(self, engine: Engine) -> Iterator[Stages]:
        """Puts the clocks in place for a while."""
        model = engine.model
        places: list[tuple[Any, str, str, Callable[..., None] | None]] = [
            (model.features, "push", "features", None),
            (model.features, "finish", "features", None),
            (engine.detector, "listen", "listen", self._count_listen),
            (model, "encode", "encode", self._count_encode),
            (model, "extend", "extend", self._count_extend),
            (streamer.segment, "align", "align", self._count_align),
        ]
        with ExitStack() as stack:
            for owner, attribute, stage, count in places:
                timed = self._timed(stage, getattr(owner, attribute), count)
                stack.enter_context(patch.object(owner, attribute, timed))
            yield self

    def _timed(self, stage: str, call: Callable[..., Any], count: Callable[..., None] | None) -> Callable[..., Any]:
        def timed(*arguments: Any) -> Any:
            if count is not None:
                count(*arguments)
            with self.clocks[stage]:
                return call(*arguments)

        return timed

    def _count_listen(self, audio: Any, _states: Any) -> None:
        self.counts["listen_calls"] += bool(audio)

    def _count_encode(self, spans: Any) -> None:
        self.counts["encode_calls"] += bool(spans)
        self.counts["frames"] += sum(len(span.features) for span in spans)

    def _count_extend(self, extensions: Any, _cache: Any) -> None:
        self.counts["forwards"] += bool(extensions)
        self.counts["single_token_forwards"] += bool(extensions) and all(len(each.inputs) == 1 for each in extensions)
        self.counts["positions"] += sum(len(each.inputs) for each in extensions)
        self.counts["predictions"] += sum(each.predictions for each in extensions)

    def _count_align(self, words: Any, log_probs: Any, _alphabet: Any) -> None:
        self.counts["align_calls"] += 1
        self.counts["align_frames"] += len(log_probs) if words else 0
