"""Measures how well and how early words are written down; compares with the last committed run.

Writes tests/benchmarks/results/eval.json (eval-quick.json with --quick) and the pictures, prints tables. Exit code 1 if
a figure has become worse. The voices are those of `model/nano/voices.py`, made once in the work folder.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from streamer.engine import Engine
from streamer.latency import BALANCED, LATENCIES
from streamer.options import Options
from tests.benchmarks.common import Clock, Settings
from tests.benchmarks.evaluation import confidence, corpus, frontier, nothing, voices
from tests.benchmarks.evaluation.comparing import committed, regressions
from tests.benchmarks.evaluation.corpus import Part
from tests.benchmarks.evaluation.measures import Figures, judged, measure
from tests.benchmarks.evaluation.playing import Performance, Player
from tests.benchmarks.evaluation.plots import Point, scatter
from tests.benchmarks.report import RESULTS, save, table

WORK = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "granite-stream" / "eval"
MINUTES, QUICK_MINUTES = 10.0, 1.0  # of each sound without speech
TUNING, JUDGING = "tuning", "held-out voices"  # a policy is chosen on the one and judged on the other


@dataclass
class Evaluation:
    """One run."""

    player: Player
    parts: dict[str, Part]
    quick: bool

    def play(self, part: str, options: Options) -> list[Performance]:
        """All speeches of a part."""
        return [self.player.play(speech, options) for speech in self.parts[part].speeches]

    def figures(self, part: str, options: Options) -> Figures:
        """Of a part."""
        return measure(self.play(part, options), options.endpoint_ms / 1000)

    def defaults(self) -> tuple[dict[str, Figures], dict[str, Any]]:
        """Every part with what a stream is when nothing is asked for; and how far its confidence can be trusted."""
        figures, words, options = {}, [], Options()
        for name in self.parts:
            performances = self.play(name, options)
            figures[name] = measure(performances, options.endpoint_ms / 1000)
            words += judged(performances)
            print(f"{name}: {self.parts[name].seconds:.0f} s", file=sys.stderr)
        return figures, confidence.report(words)

    def dial(self) -> dict[str, Figures]:
        """What each value of `--latency` gives with voices that nothing was tuned on."""
        if JUDGING not in self.parts:
            return {}
        return {name: self.figures(JUDGING, Options(latency=name)) for name in LATENCIES}

    def frontier(self) -> dict[str, Figures]:
        """Every setting that is tried."""
        if TUNING not in self.parts:
            return {}
        names = frontier.QUICK if self.quick else frontier.SETTINGS
        chosen = {f"--latency {name}": Options(latency=name) for name in LATENCIES}
        settings = chosen | {name: frontier.SETTINGS[name] for name in names}
        return {name: self.figures(TUNING, options) for name, options in settings.items()}

    def nothing(self) -> dict[str, Figures]:
        """Sounds without speech."""
        return nothing.hear(self.player.engine, Options(), QUICK_MINUTES if self.quick else MINUTES)


def main() -> int:
    """Measures, shows, compares, writes."""
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
        built = corpus.build(engine.model, given.work, corpus.QUICK if given.quick else corpus.WHOLE)
        evaluation = Evaluation(Player(engine), {part.name: part for part in built}, given.quick)
        figures, calibration = evaluation.defaults()
        results: dict[str, Any] = {
            "corpus": {
                name: {"seconds": part.seconds, "words": part.words, "digest": part.digest}
                for name, part in evaluation.parts.items()
            },
            "parts": figures,
            "dial": evaluation.dial(),
            "frontier": evaluation.frontier(),
            "nothing": evaluation.nothing(),
            "confidence": calibration,
        }
    show(results)
    name = "eval-quick" if given.quick else "eval"
    before = committed(RESULTS / f"{name}.json")
    save(name, settings, results)
    if not given.quick:
        draw(results)
    print(f"{name}: {clock.cpu:.0f} s of the processor")
    return compare(before, results)


def show(results: dict[str, Any]) -> None:
    """Tables."""
    for title, columns in ((f"by part, --latency {BALANCED}", "parts"), (f"the dial, {JUDGING}", "dial")):
        if figures := results[columns]:
            keys = next(iter(figures.values()))
            table(title, ("", *figures), [[key, *(each[key] for each in figures.values())] for key in keys])
    rows = [[name, *(each[key] for key in frontier.COLUMNS)] for name, each in results["frontier"].items()]
    table("the frontier, voices to tune on", ("", *frontier.COLUMNS), rows)
    rows = [[name, *each.values()] for name, each in results["nothing"].items()]
    table("sounds without speech", ("", "minutes", "words", "segments", "RTF", "text"), rows)
    calibration = {key: value for key, value in results["confidence"].items() if key != "bins"}
    table("confidence of words", ("", "figure"), list(calibration.items()))


def draw(results: dict[str, Any]) -> None:
    """The frontier, one point for each setting, and the reliability of confidence."""
    if settings := results["frontier"]:
        points = [
            Point(each["commit p50"], each["WER stream"], name, name.startswith("--"))
            for name, each in settings.items()
        ]
        scatter("frontier.svg", points, "commit delay p50, seconds", "word error rate of finals")
    bins = results["confidence"].get("bins", [])
    scatter("confidence.svg", [Point(*each[:2]) for each in bins], "confidence", "share of words right", diagonal=True)


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
    add(
        "--engines",
        type=_names,
        default=_names("espeak,flite,festival,pico"),
        help="to speak (default: all but kokoro)",
    )
    add("--kokoro", type=Path, help="folder with kokoro.onnx and voices/*.bin; name kokoro in --engines too")
    add("--speech", type=Path, help="folder with recordings of people: eval_* parts with manifest.jsonl")
    add("--quick", action="store_true", help="two minutes instead of fifteen")
    add("--model", default=defaults.model, help="nano (default) or a checkpoint directory")
    add("--threads", type=int, default=defaults.threads, help="of torch (default: 1)")
    return parser.parse_args()


def _names(text: str) -> Sequence[str]:
    return text.split(",")


if __name__ == "__main__":
    sys.exit(main())
