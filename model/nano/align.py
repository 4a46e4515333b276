"""When each training word is said, by an encoder's CTC head: `python -m model.nano.align --work DIR --checkpoint FILE`.

Writes beside each shard the end of every word in samples (`<shard>.ends`, a line of JSON a clip). With it a clip can be
cut where a stream's live edge would cut it, with the text of the words wholly heard.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from model.alignment import align
from model.features import FRAME_SAMPLES
from model.nano.network import network_of
from model.nano.shards import Shard
from model.precision import autocast
from model.speech import GraniteSpeech, Span

CLIPS = 16  # at once
Ends = list[list[int]]  # of clips: the samples after their words


def word_ends(network: GraniteSpeech, clips: Sequence[tuple[Tensor, str]]) -> Ends:
    """For clips and their texts, the sample after each word's last character; empty where the text does not fit."""
    with autocast():
        heard = network.encode([Span(network.features(samples)) for samples, _ in clips])
    found: Ends = []
    for each, (_, text) in zip(heard, clips, strict=True):
        spans = align(text.split(), each.log_probs, network.alphabet)
        found.append([] if spans is None else [span.end * FRAME_SAMPLES for span in spans])
    return found


def align_shards(work: Path, checkpoint: Path) -> None:
    """Align every shard that has no ends yet, or fewer than clips."""
    network = network_of(checkpoint)
    # the first shard of every source, then the second, and so on: it may be stopped at any time
    for index in sorted((work / "train").glob("*/*.jsonl"), key=lambda path: (path.stem[-3:], path)):
        shard, path = Shard(index), index.with_suffix(".ends")
        done = len(path.read_text().splitlines()) if path.exists() else 0
        with path.open("a") as out:
            for at in range(done, len(shard.clips), CLIPS):
                spoken = [(torch.from_numpy(shard.samples(clip)), clip.text) for clip in shard.clips[at : at + CLIPS]]
                ends = word_ends(network, spoken)
                out.write("".join(json.dumps(each) + "\n" for each in ends))
                out.flush()  # training may be reading already
        print(f"{index.parent.name}/{shard.name}: {len(shard.clips) - done} clips aligned", flush=True)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--checkpoint", type=Path, required=True, help="of the encoder stage, or an exported model")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    align_shards(arguments.work, arguments.checkpoint)


if __name__ == "__main__":
    main()
