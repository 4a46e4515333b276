"""What the language model writes for one segment: what greedy decoding from nothing would, behind what is committed.

```
cache:  | prompt prefix | audio embeddings | suffix | committed tokens | draft |
                          ^ rewind to the first embedding that changed
```
One forward reads what changed, the suffix and a draft: the last hypothesis and what the CTC head hears behind it. It
tells the greedy token after each position. The draft stands as far as it agrees; where it does not, the greedy token
takes its place and the rest is tried behind that one. Once this gets nowhere, tokens are written one by one until one
of them is met in what is left of the draft. So a good draft costs one forward and a bad one no more of them than
decoding without it would; the result is the same. (It is greedy speculative decoding, https://arxiv.org/abs/2211.17192,
whose drafts cost nothing.) Committed tokens are forced: they stand whether greedy decoding still agrees or not, and
what follows them must not lengthen the last committed word.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from model.cache import KVCache
from model.granite import Extension, Prediction
from model.guards import loop_length, times_in_a_row
from model.processor import UNFINISHED, Prompt

NEAR = 8  # tokens of a failed draft among which the one that was written is looked for
LEAST_PROBABILITY = 1e-6  # of a committed token that greedy decoding no longer agrees with


class Dictation:
    """The hypothesis of one segment and its place in the cache."""

    def __init__(
        self,
        cache: KVCache,
        prompt: Prompt,
        stop_token: int,
        embed: Callable[[Sequence[int]], Tensor],
        decode: Callable[[Sequence[int]], str],
        guarded: bool,
        continuations: Tensor,
    ) -> None:
        """Takes a slot of the cache.

        Args:
            cache: lends the slot.
            prompt: what stands around the audio.
            stop_token: ends the text.
            embed: gives the embeddings of tokens.
            decode: gives their text.
            guarded: it does not write loops.
            continuations: the tokens that would go on with the word before them, `[vocabulary]` bool.
        """
        self._cache, self.slot = cache, cache.acquire()
        self._guarded = guarded
        self.tokens: list[int] = []  # the hypothesis of the last finished pass
        self.log_probs: list[float] = []  # of its tokens
        self.committed = 0  # how many of its tokens can no longer change
        self.writing = False
        self.cut_off = False  # the last pass had no more tokens left for what it would have written
        self._embed, self._decode, self._stop, self._continuations = embed, decode, stop_token, continuations
        self._prefix, self._suffix = prompt.prefix, prompt.suffix
        self._audio = 0  # embeddings in the cache that still stand
        self._limit = 0
        self._heard: Callable[[], str] = str
        self._written: list[int] = []  # tokens accepted in the pass under way
        self._values: list[float] = []
        self._draft: list[int] = []  # tokens that the next prediction checks
        self._rest: list[int] = []  # of a draft that failed: to be gone on with where it is met again
        self._next = Extension(self.slot, 0, torch.empty(0))

    def begin(
        self,
        embeddings: Tensor,
        first_changed: int,
        limit: int,
        tail: Sequence[int] = (),
        heard: Callable[[], str] = str,
    ) -> None:
        """Starts a pass.

        Args:
            embeddings: all of the segment's, `[n, width]`.
            first_changed: those before it are as they were at the last pass.
            limit: the most tokens to write.
            tail: tokens that may follow the last hypothesis.
            heard: gives the CTC head's text of all of the audio; asked only where the hypothesis repeats itself, since
                what was really said again and again is no loop.
        """
        assert not self.writing, "a pass is under way"
        kept = min(first_changed, self._audio)
        if self._audio:
            start, pieces = len(self._prefix) + kept, []
        else:
            start, pieces = 0, [self._embed(self._prefix)]
        self.cut_off = False
        self._limit, self._heard = max(limit, self.committed), heard
        self._draft, self._rest = [*self.tokens, *tail][: self._limit], []
        self._written, self._values = [], []
        pieces += [embeddings[kept:], self._embed(self._suffix + self._draft)]
        self._audio = len(embeddings)
        # The first round always gets behind what is committed, so no later one has to look after that place.
        suppressed = (self.committed, self._continuations) if self.committed else None
        self._next = Extension(
            self.slot, start, torch.cat(pieces), predictions=1 + len(self._draft), suppressed=suppressed
        )
        self.writing = True

    def extension(self) -> Extension:
        """What to read into the cache next."""
        assert self.writing, "no pass is under way"
        return self._next

    def read(self, prediction: Prediction) -> None:
        """Takes what greedy decoding says after the extension; `writing` is false once the pass is finished."""
        draft, first_round = self._draft, not self._written
        for index, (token, log_prob) in enumerate(zip(prediction.tokens, prediction.log_probs, strict=True)):
            drafted = draft[index] if index < len(draft) else None
            if len(self._written) < self.committed and token != drafted:
                assert drafted is not None, "committed tokens are always drafted"
                # What else was likely is not known, only that the greedy token left no more than this.
                token, log_prob = drafted, math.log(max(1 - math.exp(log_prob), LEAST_PROBABILITY))
            if token == self._stop or len(self._written) >= self._limit:
                self.cut_off = token != self._stop
                self._finish()
                return
            self._written.append(token)
            self._values.append(log_prob)
            free = len(self._written) > self.committed  # what is committed was no loop when it was
            if self._guarded and free and (loop := loop_length(self._written, self._times_heard)):
                del self._written[max(self.committed, len(self._written) - loop) :]
                while len(self._written) > self.committed and self._decode(self._written).endswith(UNFINISHED):
                    self._written.pop()  # bytes of characters that are alike: the loop began in the midst of one
                self._finish()
                return
            if token != drafted:  # what follows was said after another token
                rest = self._next_draft(token, draft[index:] if index or first_round else None)
                self._draft = rest[: self._limit - len(self._written)]  # the slot has room for no more
                break
        last = len(self._prefix) + self._audio + len(self._suffix) + len(self._written) - 1
        told = self._embed(self._written[-1:] + self._draft)
        self._next = Extension(self.slot, last, told, predictions=1 + len(self._draft))

    def _times_heard(self, phrase: Sequence[int]) -> int:
        return times_in_a_row(self._decode(phrase), self._heard())

    def _next_draft(self, token: int, rest: list[int] | None) -> list[int]:
        """What to try behind `token`, which was written in place of the first of `rest`; None: not even one agreed."""
        if rest is not None:
            self._rest = rest
        if token in self._rest[:NEAR]:
            self._rest = self._rest[self._rest.index(token) + 1 :]
            return self._rest
        return [] if rest is None else rest[1:]

    def close(self) -> None:
        """Gives the slot back."""
        self._cache.release(self.slot)

    def _finish(self) -> None:
        self.tokens, self.log_probs = self._written, self._values[: len(self._written)]
        self.writing = False
