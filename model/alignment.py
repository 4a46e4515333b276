"""What the CTC head gives for free: which characters were heard, and when each word of a text was said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

import torch
from torch import Tensor
from torchaudio.functional import forced_align, merge_tokens

from model.config import SpeechConfig
from model.scripts import apart

BLANK = 0
LATIN_1 = 256  # without a list of labels, a label is the code point of its character
KANA_BYTES = 3  # of UTF-8; behind Latin-1 the 4.x heads have 92 labels for kana
LEAST_PEAK = -3.0  # log-probability: a character that is nowhere likelier than one in twenty has no place


@dataclass(frozen=True, slots=True)
class WordSpan:
    """Where a word lies among the frames."""

    start: int  # its first frame
    end: int  # the frame after its last


class Alphabet:
    """The characters of the CTC head."""

    def __init__(self, config: SpeechConfig) -> None:
        # a smaller head has a table of its own that the checkpoint does not tell: what it hears is counted, not read
        latin_1 = tuple(map(chr, range(LATIN_1 if config.encoder.output_dim >= LATIN_1 else 0)))
        labels = config.ctc_labels or latin_1
        self._characters = labels
        self._labels = {character: label for label, character in enumerate(labels) if label != BLANK}

    def labels(self, word: str, peaks: Tensor | None = None) -> list[int]:
        """The labels that spell a word.

        Args:
            word: characters that the head does not know are left out.
            peaks: `[labels]` the highest log-probability of each. A head may have labels for capitals and punctuation
                that it never writes: a character is spelled by itself or by its small form, whichever is likelier
                anywhere, and left out where neither was heard. Without them, by itself where there is a label for it.
        """
        known, spelled = self._labels, list[int]()
        for character in word:
            forms = [known[form] for form in (character, character.lower()) if form in known]
            if peaks is not None:
                forms = [form for form in forms if peaks[form] > LEAST_PEAK]
                forms.sort(key=lambda form: float(peaks[form]), reverse=True)
            spelled += forms[:1]
        return spelled

    def text(self, log_probs: Tensor) -> str:
        """What the head hears in frames `[T, labels]`: its greedy path."""
        return "".join(self._characters[label] for label in _greedy(log_probs) if label < len(self._characters))

    def spelled_bytes(self, log_probs: Tensor) -> int:
        """How many bytes of UTF-8 the characters take that the head hears in frames `[T, labels]`, spaces aside.

        No text of them has more tokens. A character whose label says nothing of it counts, too.
        """
        return sum(map(self._bytes, _greedy(log_probs)))

    def pauses(self, log_probs: Tensor) -> list[tuple[int, int]]:
        """Runs of frames, from first to behind the last, in which the head writes no character of `[T, labels]`."""
        labels = log_probs.argmax(-1).tolist() if len(log_probs) else []
        silent = {BLANK, self._labels.get(" ", BLANK)}
        found, start = [], 0
        for quiet, group in groupby(labels, key=silent.__contains__):
            end = start + len(list(group))
            found += [(start, end)] if quiet else []
            start = end
        return found

    def _bytes(self, label: int) -> int:
        if label < len(self._characters):
            return len(self._characters[label].strip().encode())
        return KANA_BYTES if label >= LATIN_1 else 1


def _greedy(log_probs: Tensor) -> list[int]:
    """The labels of the most likely path through frames `[T, labels]`: repeats and blanks removed."""
    path = torch.unique_consecutive(log_probs.argmax(-1)).tolist() if len(log_probs) else []
    return [label for label in path if label != BLANK]


def align(words: Sequence[str], log_probs: Tensor, alphabet: Alphabet) -> list[WordSpan] | None:
    """Finds when each word was said, by the most likely CTC path that spells them all.

    Args:
        words: in the order they were said, without spaces.
        log_probs: `[T, labels]` of the frames they lie in.
        alphabet: spells them, with what was heard of it.

    Returns:
        A span for each word; those that cannot be spelled share the frames between their neighbours evenly. None when
        there are fewer frames than the words need.
    """
    everything, _ = _spelled(words, alphabet, None)
    labels, places = _spelled(words, alphabet, log_probs.amax(0) if len(log_probs) else None)
    # what was not heard has no place and still takes time to say
    if len(log_probs) < max(_fewest_frames(everything), _fewest_frames(labels)):
        return None
    starts, ends = list[int](), list[int]()
    if labels:
        path, scores = forced_align(
            log_probs[None].contiguous(), torch.tensor([labels], dtype=torch.int32), blank=BLANK
        )
        said = merge_tokens(path[0], scores[0], BLANK)
        starts, ends = [label.start for label in said], [label.end for label in said]
    spans, end = list[WordSpan](), 0
    for has_labels, group in groupby(places, key=bool):
        run = list(group)
        following = places[len(spans) + len(run) :]
        if has_labels:
            spans += [WordSpan(starts[place[0]], ends[place[-1]]) for place in run]
        else:
            spans += _shares(range(end, starts[following[0][0]] if following else len(log_probs)), len(run))
        end = spans[-1].end
    return spans


def _spelled(words: Sequence[str], alphabet: Alphabet, peaks: Tensor | None) -> tuple[list[int], list[range]]:
    """The labels of a text, and the place of each word's labels among all; `peaks` as in `Alphabet.labels`."""
    space = alphabet.labels(" ", peaks)
    labels, places = list[int](), list[range]()
    for before, word in pairwise(["", *words]):
        spelled = alphabet.labels(word, peaks)
        labels += space if spelled and labels and apart(before, word) else []
        places.append(range(len(labels), len(labels) + len(spelled)))
        labels += spelled
    return labels, places


def _fewest_frames(labels: Sequence[int]) -> int:
    """What a path through these labels takes: between equal ones it needs a blank."""
    return len(labels) + sum(first == second for first, second in pairwise(labels))


def _shares(frames: range, count: int) -> list[WordSpan]:
    """Frames divided evenly among so many words."""
    borders = [frames.start + len(frames) * index // count for index in range(count + 1)]
    return [WordSpan(start, end) for start, end in pairwise(borders)]
