"""What an encoder hears instead of what is said: `python -m model.nano.mishearing --work DIR --checkpoint FILE`.

The CTC head writes what it hears letter by letter, as it sounds: "erban slumbs" for "urban slums". A language model
that has read three million words can set that right, but hears a tenth of them in training, and slowly. So the head
listens to some hours of training speech once, and what it makes of every letter, by the letters around it, is counted:
then any text can be misheard without being spoken, and is learned from several times as fast as speech.

Writes DIR/misheard.jsonl, a line a clip with what was `said` and `heard`.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path

import torch
from rapidfuzz.distance import Levenshtein

from model.nano.batches import Corpus, Lessons
from model.nano.network import network_of
from model.precision import autocast

REACHES = (2, 1, 0)  # letters on each side that a count depends on: as many as were seen often enough
OFTEN = 12  # times
SHARES = (1, 2, 3, 1)  # of levels of how badly a clip is heard, each with counts of its own: errors come together
WORST = 0.6  # character error rate of clips that teach nothing any more
BATCH_SECONDS = 40.0


class Mishearing:
    """Tells how a text may be heard."""

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Counts, from pairs of what was said and what was heard."""
        rated = [(Levenshtein.distance(said, heard) / max(1, len(said)), said, heard) for said, heard in pairs]
        rated = sorted(pair for pair in rated if pair[0] <= WORST)
        assert rated, "no clip was heard well enough to count from"
        # as many clips on each level, from the best heard to the worst
        cuts = [len(rated) * level // len(SHARES) for level in range(len(SHARES) + 1)]
        self._levels = [_counted(rated[start:end]) for start, end in pairwise(cuts)]

    @classmethod
    def read(cls, path: Path) -> Mishearing:
        """From the file that this command writes."""
        lines = map(json.loads, path.read_text("utf8").splitlines())
        return cls((line["said"], line["heard"]) for line in lines)

    def hear(self, text: str, rng: random.Random) -> str:
        """The text as it may be heard."""
        (level,), heard = rng.choices(self._levels, SHARES), []
        for contexts in _contexts(text):
            seen = next((found for context in contexts if (found := level.get(context))), None)
            heard.append(rng.choices(*seen)[0] if seen else contexts[-1])
        return " ".join("".join(heard).split())


Counts = dict[str, tuple[list[str], list[int]]]  # by surroundings: what is heard for the letter amid them, how often


def _contexts(text: str) -> Iterator[tuple[str, ...]]:
    """For each letter, and for the end, its surroundings from wide to narrow; the last is the letter alone."""
    padded = " " * REACHES[0] + text + " " * (REACHES[0] + 1)
    for at in range(REACHES[0], REACHES[0] + len(text) + 1):
        yield tuple(padded[at - reach : at + reach + 1] for reach in REACHES)


def _counted(rated: Iterable[tuple[float, str, str]]) -> Counts:
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for _, said, heard in rated:
        for contexts, letters in zip(_contexts(said), _heard_for_letters(said, heard), strict=True):
            for context in contexts:
                counts[context][letters] += 1
    return {key: (list(found), list(found.values())) for key, found in counts.items() if found.total() >= OFTEN}


def _heard_for_letters(said: str, heard: str) -> list[str]:
    """What is heard for each letter of what is said and just before it; the last: what is heard after all of them."""
    found = [""] * (len(said) + 1)
    for step in Levenshtein.opcodes(said, heard):
        letters = heard[step.dest_start : step.dest_end]
        if step.tag == "insert":
            found[step.src_start] += letters
        elif step.tag != "delete":  # `equal` or `replace`, a letter for a letter
            for offset, letter in enumerate(letters):
                found[step.src_start + offset] += letter
    return found


@torch.inference_mode()
def listen(arguments: argparse.Namespace) -> Iterator[tuple[str, str]]:
    """Pairs of what training speech says and what the CTC head hears."""
    network = network_of(arguments.checkpoint)
    lessons = Lessons(Corpus(arguments.work / "train"), arguments.seed, BATCH_SECONDS, 0, 0)
    seconds, step = 0.0, 0
    while seconds < 3600 * arguments.hours:
        items = [item for item in lessons.batch(step, 0) if item.text]
        lengths = [len(item.features) for item in items]
        with autocast():
            frames = torch.cat([item.features for item in items])
            logits = network.encoder(frames, network.encoder.layout(lengths)).logits
        for item, heard in zip(items, logits.split(lengths), strict=True):
            yield item.text, network.alphabet.text(heard).strip()
        seconds, step = seconds + BATCH_SECONDS, step + 1


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--checkpoint", type=Path, required=True, help="of the encoder stage, or an exported model")
    parser.add_argument("--hours", type=float, default=6.0, help="of speech to hear")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args(arguments)


def main(arguments: argparse.Namespace) -> None:
    """Listen and write: the whole file or none."""
    torch.set_num_threads(1)
    path = arguments.work / "misheard.jsonl"
    with path.with_suffix(".new").open("w") as out:
        for said, heard in listen(arguments):
            out.write(json.dumps({"said": said, "heard": heard}) + "\n")
    path.with_suffix(".new").replace(path)


if __name__ == "__main__":
    main(parse())
