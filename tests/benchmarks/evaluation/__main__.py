"""Measures how well and how early words are written down; compares with the last committed run.

Writes tests/benchmarks/results/eval.json and two pictures, prints tables in Markdown. Exit code 1 if a figure has
become worse. The voices are those of `model/nano/voices.py`, made once in the work folder.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from streamer.engine import Engine
from streamer.latency import LATENCIES
from streamer.options import Options
from tests.benchmarks.common import Clock, Settings
from tests.benchmarks.evaluation import confidence, corpus, edges, frontier, nothing, voices
from tests.benchmarks.evaluation.comparing import committed, regressions
from tests.benchmarks.evaluation.confidence import Judged
from tests.benchmarks.evaluation.corpus import BARE, CUT, JUDGING, TUNING, Part
from tests.benchmarks.evaluation.measures import Figures, drafting, judged, measure
from tests.benchmarks.evaluation.pictures import draw
from tests.benchmarks.evaluation.playing import Performance, Player, no_ctc_drafts
from tests.benchmarks.evaluation.tables import tables
from tests.benchmarks.report import RESULTS, save

WORK = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "granite-stream" / "eval"
MINUTES, QUICK_MINUTES = 10.0, 0.2  # of each sound without speech
DIAL = {name: Options(latency=name) for name in LATENCIES}


@dataclass
class Evaluation:
    """One run."""

    player: Player
    parts: dict[str, Part]
    quick: bool
    _played: dict[tuple[str, Options], list[Performance]] = field(default_factory=dict)

    def run(self) -> dict[str, Any]:
        """Everything that there is audio for."""
        results: dict[str, Any] = {
            "corpus": {
                name: {"seconds": part.seconds, "words": part.words, "digest": part.digest}
                for name, part in self.parts.items()
            },
            **self.defaults(),
            "dial": {},
            "frontier": {},
            "nothing": nothing.hear(self.player.engine, Options(), QUICK_MINUTES if self.quick else MINUTES),
        }
        if JUDGING in self.parts:
            results["dial"] = self.figures(JUDGING, DIAL)
            results["drafts"] = self.drafts()
        if TUNING in self.parts:
            steps = frontier.QUICK_STEPS_MS if self.quick else frontier.STEPS_MS
            results["frontier"] = self.figures(TUNING, DIAL | frontier.settings(steps))
        return results

    def play(self, part: str, options: Options) -> list[Performance]:
        """All speeches of a part; what was played before is not played again."""
        if (part, options) not in self._played:
            self._played[part, options] = [self.player.play(speech, options) for speech in self.parts[part].speeches]
        return self._played[part, options]

    def figures(self, part: str, settings: dict[str, Options]) -> dict[str, Figures]:
        """Of a part, for each setting."""
        found = {}
        for name, options in settings.items():
            found[name] = measure(self.play(part, options), options.endpoint_ms / 1000)
            print(f"{part}, {name}", file=sys.stderr)
        return found

    def defaults(self) -> dict[str, Any]:
        """Every part with what a stream is when nothing is asked for."""
        parts: dict[str, Figures] = {}
        words, options = dict[str, list[Judged]](), Options()
        found: dict[str, Any] = {}
        for name in self.parts:
            performances = self.play(name, options)
            parts[name] = measure(performances, options.endpoint_ms / 1000)
            words[name] = judged(performances)
            if name == BARE:
                found["edges"] = edges.kept(performances, [self.player.whole(each.speech) for each in performances])
            if name == CUT:
                found["seams"] = edges.seams(performances)
            if name == JUDGING:
                found["pauses"] = edges.noticed(self.player.engine.detector, self.parts[name].speeches)
            print(f"{name}: {self.parts[name].seconds:.0f} s", file=sys.stderr)
        others = [word for name, each in words.items() if name != TUNING for word in each]
        return {"parts": parts, **found, "confidence": confidence.report(words.get(TUNING, []), others)}

    def confidence_power(self) -> float:
        """What config.json should say."""
        power = confidence.best_power(judged(self.play(TUNING, Options())))
        return round(self.player.engine.model.config.confidence_power * power, 3)

    def drafts(self) -> dict[str, Figures]:
        """What the CTC head's drafts save; the texts are the same with and without."""
        modes, found = {"live": Options(), "finals only": Options(partials=False)}, {}
        for name, options in modes.items():
            performances = self.play(JUDGING, options)
            with no_ctc_drafts():
                without = [self.player.play(each.speech, options) for each in performances]
            found[name] = drafting(performances, without)
            print(f"drafts, {name}", file=sys.stderr)
        return found


def main() -> int:
    """Measures and shows; compares and writes, if it was a whole run."""
    given = _parse()
    torch.set_num_threads(given.threads)
    try:
        voices.prepare(given.work, given.engines, given.kokoro, given.speech)
    except voices.MissingPartError as error:
        print(f"eval: {error}", file=sys.stderr)
        return 2
    settings = Settings(given.model, given.threads, repeats=1, minutes=QUICK_MINUTES if given.quick else MINUTES)
    with Clock() as clock:
        engine = Engine(settings.load())
        built: Iterable[Part] = corpus.build(engine.model, given.work, corpus.QUICK if given.quick else corpus.WHOLE)
        if given.fit:
            built = islice(built, 1)  # the voices to tune on
        evaluation = Evaluation(Player(engine), {part.name: part for part in built}, given.quick)
        if given.fit:
            print(f'"confidence_power": {evaluation.confidence_power()}')
            return 0
        results = evaluation.run()
    print(tables(results))
    print(f"\n{clock.cpu:.0f} s of the processor, {clock.wall:.0f} s by the clock")
    if given.quick:
        return 0
    before = committed(RESULTS / "eval.json")
    save("eval", settings, results)
    draw(results)
    return compare(before, results)


def compare(before: dict[str, Any] | None, results: dict[str, Any]) -> int:
    """Says what has become worse; the exit code."""
    if before is None:
        print("no committed results to compare with")
        return 0
    worse = regressions(before, results)
    print(*(worse or ["no figure has become worse"]), sep="\n")
    return 1 if worse else 0


def _parse() -> argparse.Namespace:
    defaults = Settings()
    parser = argparse.ArgumentParser(prog="make eval", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--work", type=Path, default=WORK, help="folder for the voices (default: %(default)s)")
    add("--engines", type=_names, default=voices.TRAINED, help="to speak (default: espeak,flite,festival,pico)")
    add("--kokoro", type=Path, help="folder with kokoro.onnx and voices/*.bin: its held-out voices speak too")
    add("--speech", type=Path, help="folder with recordings of people: eval_* parts with manifest.jsonl")
    add("--quick", action="store_true", help="seconds of each part, to see that all works: nothing is written")
    add("--fit", action="store_true", help="only say which confidence_power the model's config.json should have")
    add("--model", default=defaults.model, help="nano (default) or a checkpoint directory")
    add("--threads", type=int, default=defaults.threads, help="of torch (default: 1)")
    return parser.parse_args()


def _names(text: str) -> Sequence[str]:
    return text.split(",")


if __name__ == "__main__":
    sys.exit(main())
