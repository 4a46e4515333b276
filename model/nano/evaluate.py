"""Word and character error rates of a checkpoint by voice set: `python -m model.nano.evaluate --work DIR`.

Each set is read by the whole model, in one piece (`GraniteSpeech.transcribe`) and as a stream, and by its CTC head
alone. Intervals are 95 % of a bootstrap over speakers. `--whisper DIR` puts a faster-whisper model beside it,
`--nothing MINUTES` counts the words that are heard in silence and in noise.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import jiwer
import torch
from torch import Tensor

from model.linear import Bits
from model.nano.peer import whisper
from model.nano.shards import SAMPLE_RATE, shards_of
from model.speech import GraniteSpeech, Span

FEED_SAMPLES = SAMPLE_RATE // 10
NOISE_LEVELS_DB = (None, -60, -40, -25)  # of full scale; None is digital silence


@dataclass(frozen=True, slots=True)
class Spoken:
    """One clip of an evaluation set."""

    samples: Tensor
    text: str
    speaker: str


def evaluation_set(folder: Path, clips: int) -> list[Spoken]:
    """Clips of a set, spread evenly over its shards: so that a few of them hear as many speakers as there are."""
    found = [
        Spoken(torch.from_numpy(shard.samples(clip)), clip.text, clip.voice)
        for shard in shards_of(folder)
        for clip in shard.clips
        if clip.text
    ]
    every = max(1.0, len(found) / clips)
    return [found[int(index * every)] for index in range(min(clips, len(found)))]


def error_rates(said: Sequence[str], heard: Sequence[str]) -> tuple[float, float]:
    """Word and character error rate in per cent."""
    return 100 * jiwer.wer(list(said), list(heard)), 100 * jiwer.cer(list(said), list(heard))


def interval(spoken: Sequence[Spoken], heard: Sequence[str], draws: int = 400) -> tuple[float, float]:
    """95 % interval of the word error rate, from drawing speakers again and again."""
    by_speaker: dict[str, list[tuple[int, int]]] = {}
    for clip, text in zip(spoken, heard, strict=True):
        words = len(clip.text.split())
        by_speaker.setdefault(clip.speaker, []).append((round(jiwer.wer(clip.text, text) * words), words))
    totals = [tuple(map(sum, zip(*pairs, strict=True))) for pairs in by_speaker.values()]
    rng = random.Random(0)
    rates = sorted(
        100 * sum(errors for errors, _ in drawn) / sum(words for _, words in drawn)
        for drawn in (rng.choices(totals, k=len(totals)) for _ in range(draws))
    )
    return rates[int(0.025 * draws)], rates[int(0.975 * draws)]


def hear_characters(network: GraniteSpeech, samples: Tensor) -> str:
    """Greedy text of the CTC head."""
    (heard,) = network.encode([Span(network.features(samples))])
    return network.alphabet.text(heard.log_probs).strip()


def streaming(network: GraniteSpeech) -> Callable[[Tensor], str]:
    """A way to hear samples as they come, with the default options: the finals of a stream."""
    from streamer.engine import Engine
    from streamer.events import Final

    engine = Engine(network)

    def hear(samples: Tensor) -> str:
        stream, starts = engine.open(), range(0, len(samples), FEED_SAMPLES)
        events = [event for at in starts for event in stream.feed(samples[at : at + FEED_SAMPLES])] + stream.finish()
        return " ".join(event.text for event in events if isinstance(event, Final) and event.text)

    return hear


def words_in_nothing(network: GraniteSpeech, minutes: float) -> dict[str, int]:
    """How many words are heard where nobody speaks, by level of white noise."""
    generator, found = torch.Generator().manual_seed(0), {}
    for level in NOISE_LEVELS_DB:
        count = 0
        for _ in range(max(1, round(minutes * 6))):
            gain = 0.0 if level is None else 10 ** (level / 20)
            noise = torch.randn(10 * SAMPLE_RATE, generator=generator) * gain
            count += len(network.transcribe(noise).split())
        found["silence" if level is None else f"noise {level} dB"] = count
    return found


class Judge:
    """The evaluation sets of a work folder, read once and listened to again and again."""

    def __init__(self, folder: Path, clips: int) -> None:
        names = sorted(path for path in folder.iterdir() if path.is_dir())
        self.sets = {path.name: found for path in names if (found := evaluation_set(path, clips))}

    def report(self, network: GraniteSpeech, listens: dict[str, Callable[[GraniteSpeech, Tensor], str]]) -> str:
        """One line for each way of listening: set, word error rate / character error rate."""
        lines = []
        for way, listen in listens.items():
            parts = []
            for name, spoken in self.sets.items():
                heard = [listen(network, clip.samples) for clip in spoken]
                words, characters = error_rates([clip.text for clip in spoken], heard)
                parts.append(f"{name} {words:.1f}/{characters:.1f}")
            lines.append(f"{way} wer/cer %: " + ", ".join(parts))
        return "\n".join(lines)


def evaluate(arguments: argparse.Namespace) -> dict[str, Any]:
    """All figures of a checkpoint, printed as they come and given back."""
    network = GraniteSpeech.load(arguments.model, getattr(torch, arguments.dtype), quantize=arguments.quantize)
    ways: dict[str, Callable[[Tensor], str]] = {
        "words": network.transcribe,
        "streamed": streaming(network),
        "ctc": lambda samples: hear_characters(network, samples),
    }
    if arguments.whisper:
        peer = whisper(arguments.whisper)
        ways["whisper"] = lambda samples: peer(samples.numpy())
    figures: dict[str, Any] = {}
    for folder in sorted(path for path in (arguments.work / "eval").iterdir() if path.is_dir()):
        if arguments.sets and folder.name not in arguments.sets:
            continue
        spoken = evaluation_set(folder, arguments.clips)
        audio_seconds = sum(len(clip.samples) for clip in spoken) / SAMPLE_RATE
        for way, listen in ways.items():
            began = time.perf_counter()
            heard = [listen(clip.samples) for clip in spoken]
            pace = (time.perf_counter() - began) / max(audio_seconds, 1e-9)
            words, characters = error_rates([clip.text for clip in spoken], heard)
            low, high = interval(spoken, heard)
            figures[f"{folder.name}/{way}"] = {
                "wer": round(words, 2), "interval": [round(low, 2), round(high, 2)], "cer": round(characters, 2),
                "clips": len(spoken), "minutes": round(audio_seconds / 60, 2), "real_time_factor": round(pace, 4),
            }  # fmt: skip
            print(
                f"{folder.name:16} {way:8} WER {words:5.1f} % ({low:.1f} to {high:.1f}), CER {characters:5.1f} %, "
                f"{len(spoken)} clips, {audio_seconds / 60:.1f} min, {pace:.3f} x real time",
                flush=True,
            )
            for clip, text in list(zip(spoken, heard, strict=True))[: arguments.show]:
                print(f"    said  {clip.text}\n    heard {text}")
    if arguments.nothing:
        figures["words_in_nothing"] = words_in_nothing(network, arguments.nothing)
        print(figures["words_in_nothing"])
    return figures


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder that synthesize filled: its eval sets")
    parser.add_argument("--model", default="nano", help="an exported directory (default: the embedded nano)")
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"), help="of what is not packed")
    parser.add_argument("--quantize", default="none", choices=get_args(Bits), help="pack the weights")
    parser.add_argument("--sets", nargs="*", help="only these")
    parser.add_argument("--clips", type=int, default=1_000_000, help="at most so many of each set")
    parser.add_argument("--whisper", type=Path, help="folder of a faster-whisper model")
    parser.add_argument("--nothing", type=float, default=0.0, help="minutes of silence and of each noise level")
    parser.add_argument("--show", type=int, default=0, help="examples of each set")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write all figures here")
    return parser.parse_args(arguments)


def main(arguments: argparse.Namespace) -> None:
    """Evaluate, print, and write JSON where asked."""
    torch.set_num_threads(arguments.threads)
    figures = evaluate(arguments)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main(parse())
