"""Makes the speech that nano is trained and judged on: `python -m model.nano.synthesize --work DIR`.

Writes shards under DIR/train/<source> and DIR/eval/<set>. Clip n of a shard depends on the seed and on n alone, so a
run that was killed goes on where it stopped and gives the same files. Evaluation sets are made first. What to install
is told in `voices` and `texts`; human recordings (`--speech`) are folders with `manifest.jsonl` and audio files. Those
whose text nobody wrote down are for training what a `--teacher` hears in them.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from model.nano.peer import normalise, whisper
from model.nano.shards import SAMPLE_RATE, ShardWriter
from model.nano.texts import clean, evaluation_sentences, is_held_out, natural_sentences, templated, with_uncommon_words
from model.nano.voices import Samples, engine, resample

CLIPS_PER_SHARD = 1000
EVAL_CLIPS = 96
TEMPLATED_SHARE = 0.2
UNCOMMON_SHARE = 0.5  # of training clips: sentences chosen for their vocabulary
CLIPS = {"espeak": 24_000, "flite": 14_000, "festival": 14_000, "pico": 24_000, "rhvoice": 10_000, "kokoro": 8_000}
HUMAN_TRAIN = {"human_native": "train_native_devclean10", "human_accent": "train_accent_so762"}
HUMAN_EVAL = {"human_native": "eval_native_testother10", "human_accent": "eval_accent_so762_adult"}
HUMAN_UNLABELLED = {"human_taught": ("pseudo_tc100_nolabel", "pseudo_pico_slots")}
MAX_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Job:
    """One shard to be made: which engine, for training or held out, and how many clips."""

    folder: Path
    engine: str
    number: int
    clips: int
    held_out_voices: bool
    held_out_texts: bool
    seed: int
    kokoro: Path | None
    sentences: Path


def trim(samples: Samples, keep_seconds: float = 0.05) -> Samples:
    """Without the silence at both ends: how much of it the model hears is decided when it is trained."""
    loud = np.flatnonzero(np.abs(samples) > 0.004 * max(float(np.abs(samples).max(initial=0.0)), 1e-6))
    keep = int(keep_seconds * SAMPLE_RATE)
    return samples[max(0, loud[0] - keep) : loud[-1] + keep] if len(loud) else samples[:0]


def make(job: Job) -> str:
    """Speak one shard, from where it stands; gives a line of progress."""
    began = time.monotonic()
    sentences = [s for s in job.sentences.read_text("utf8").splitlines() if is_held_out(s) == job.held_out_texts]
    path = job.folder / f"{job.engine}-{job.number:03d}"
    with ShardWriter(path) as shard:
        first = shard.clips
        unfinished = first < job.clips
        speaker = engine(job.engine, job.held_out_voices, job.kokoro) if unfinished else None
        uncommon = (with_uncommon_words(sentences) or sentences) if unfinished else []
        while speaker is not None and shard.clips < job.clips:
            rng = random.Random(f"{job.seed}/{job.folder.name}/{path.name}/{shard.clips}")
            text, spoken = rng.choice(sentences), ""
            if not job.held_out_texts:
                chance = rng.random()
                if chance < TEMPLATED_SHARE:
                    text, spoken = templated(rng)
                elif chance < TEMPLATED_SHARE + UNCOMMON_SHARE:
                    text = rng.choice(uncommon)
            samples, voice = speaker.speak(spoken or text, rng)
            samples = trim(samples)
            if len(samples) > MAX_SECONDS * SAMPLE_RATE:
                samples = samples[:0]
            shard.append(0.7 * samples / max(float(np.abs(samples).max(initial=0.0)), 1e-6), text, voice)
        hours, seconds = shard.samples / SAMPLE_RATE / 3600, time.monotonic() - began
        return f"{path.parent.name}/{path.name}: {shard.clips} clips, {hours:.2f} h, {seconds:.0f} s"


def human(folder: Path, source: Path, teacher: Path | None = None) -> str:
    """Copy recorded speech into one shard, labelled by a teacher where nobody wrote down what is said.

    A clip whose text nano cannot write is left out, and one in which the teacher misses what is known to be said.
    """
    hear = whisper(teacher) if teacher else None
    with ShardWriter(folder / source.name) as shard:
        for line in (source / "manifest.jsonl").read_text("utf8").splitlines()[shard.clips :]:
            entry = json.loads(line)
            samples, rate = soundfile.read(source / entry["file"], dtype="float32")
            samples = resample(samples, rate)
            said = hear(samples) if hear else entry["text"]
            missed = [slot for slot in (entry.get("slots") or {}).values() if normalise(slot) not in said]
            text = None if missed else clean(said) or clean_long(said)
            shard.append(samples if text else samples[:0], text or "", str(entry["speaker"]))
        return f"{folder.name}/{source.name}: {shard.clips} clips, {shard.samples / SAMPLE_RATE / 3600:.2f} h"


def clean_long(text: str) -> str | None:
    """`clean` for texts of any length."""
    words = text.split()
    parts = [clean(" ".join(words[at : at + 10])) for at in range(0, len(words), 10)]
    return None if None in parts else " ".join(part for part in parts if part)


def plan(arguments: argparse.Namespace, sentences: Path) -> list[Job]:
    """All shards of engines, evaluation first, then the first of every engine, then the second, and so on."""

    def job(kind: str, group: str, name: str, number: int, clips: int, voices: bool) -> Job:
        return Job(
            arguments.work / kind / group, name, number, clips, voices, kind == "eval", arguments.seed,
            arguments.kokoro, sentences,
        )  # fmt: skip

    engines, jobs = arguments.engines.split(","), []
    for name in engines:
        jobs.append(job("eval", name, name, 0, arguments.eval_clips, False))
        if name in ("flite", "festival"):
            jobs.append(job("eval", "heldout_slt", name, 0, arguments.eval_clips // 2, True))
        if name == "kokoro":
            jobs.append(job("eval", "heldout_kokoro", name, 0, arguments.eval_clips, True))
    train = [
        job("train", name, name, number, min(CLIPS_PER_SHARD, clips - number * CLIPS_PER_SHARD), False)
        for name, clips in arguments.clips.items()
        if name in engines
        for number in range(-(-clips // CLIPS_PER_SHARD))
    ]
    return jobs + sorted(train, key=lambda job: job.number)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for all data of the recipe")
    parser.add_argument(
        "--engines", default="espeak,flite,festival,pico", help="comma-separated (default: %(default)s)"
    )
    parser.add_argument(
        "--clips", type=json.loads, default=CLIPS, help='training clips by engine, JSON, e.g. {"pico": 9}'
    )
    parser.add_argument("--eval-clips", type=int, default=EVAL_CLIPS, help="clips of each evaluation set")
    parser.add_argument("--kokoro", type=Path, help="folder with kokoro.onnx and voices/*.bin")
    parser.add_argument("--speech", type=Path, help="folder with human recordings: train_*, eval_* and pseudo_* parts")
    parser.add_argument("--teacher", type=Path, help="folder of a faster-whisper model that labels the pseudo_* parts")
    parser.add_argument(
        "--exclude", type=Path, nargs="*", default=[], help="texts never to be trained on (.jsonl, .txt)"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    return parser.parse_args(arguments)


def main(arguments: argparse.Namespace) -> None:
    """Write the list of sentences once, then make every shard that is not whole yet."""
    arguments.work.mkdir(parents=True, exist_ok=True)
    sentences = arguments.work / "sentences.txt"
    if not sentences.exists():
        exclude = [
            *arguments.exclude,
            *(arguments.speech.glob("eval_*/manifest.jsonl") if arguments.speech else []),
        ]
        sentences.write_text("\n".join(natural_sentences(evaluation_sentences(exclude))), "utf8")
    tasks: list[tuple[Callable[..., str], tuple[object, ...]]] = []
    for kind, sources in (("eval", HUMAN_EVAL), ("train", HUMAN_TRAIN)):
        for name, part in sources.items():
            if arguments.speech:
                tasks.append((human, (arguments.work / kind / name, arguments.speech / part)))
    if arguments.speech and arguments.teacher:
        for name, parts in HUMAN_UNLABELLED.items():
            for part in parts:
                tasks.append((human, (arguments.work / "train" / name, arguments.speech / part, arguments.teacher)))
    tasks += [(make, (job,)) for job in plan(arguments, sentences)]
    with ProcessPoolExecutor(arguments.jobs) as pool:
        for done in as_completed([pool.submit(task, *values) for task, values in tasks]):
            print(done.result(), flush=True)


if __name__ == "__main__":
    main(parse())
