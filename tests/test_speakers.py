"""Who speaks, as `plus` writes it, reaches the words of finals. Its weights are random, and what it says is put in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from torch import Tensor

from model import GraniteSpeech, Wish, WishError
from model.cache import KVCache
from model.granite import Extension, Prediction
from model.guards import token_limit
from model.tasks import SPEAKERS
from streamer import Engine, Options, Stream
from streamer.events import Final, Partial
from tests.checkpoints import VARIANTS, save, speech
from tests.conftest import Spoken

SAID = "[Speaker 1]: how are you [Speaker 2]: fine"
WORDS = [("how", 1), ("are", 1), ("you", 1), ("fine", 2)]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    directory: Path = tmp_path_factory.mktemp("plus")
    (variant,) = (each for each in VARIANTS if each.name == "plus")
    return Engine(GraniteSpeech.load(save(variant, directory)))


class Says:
    """A language model that says one text, whatever it hears: greedy decoding gives its next token at each position."""

    def __init__(self, engine: Engine, stream: Stream) -> None:
        processor = engine.model.processor
        self.tokens, self.stream = [*processor.encode(SAID), processor.stop_token], stream

    def __call__(self, extensions: Sequence[Extension], cache: KVCache) -> list[Prediction]:
        (extension,) = extensions
        at = len(self.stream._segments[0].dictation._written)
        tokens = (self.tokens[at:] + self.tokens[-1:] * extension.predictions)[: extension.predictions]
        return [Prediction(tokens, [-2.0] * extension.predictions)]  # so unlikely that each word has to stand


@pytest.fixture
def events(engine: Engine, talk: Spoken, monkeypatch: pytest.MonkeyPatch) -> list[Partial | Final]:
    """Of nine seconds of speech."""
    stream = engine.open(Options(wish=Wish(speakers=True), endpoint_ms=3_000))
    monkeypatch.setattr(engine.model, "extend", Says(engine, stream))
    # as many as frames: random weights hear hardly any
    monkeypatch.setattr(engine.model.alphabet, "spelled_bytes", len)
    pieces: Sequence[Tensor] = talk.samples[: 9 * 16_000].split(1600)
    told = [event for piece in pieces for event in stream.feed(piece)] + stream.finish()
    return [event for event in told if isinstance(event, Partial | Final)]


def test_words_of_a_final_say_who_spoke_and_its_text_shows_it(events: list[Partial | Final]) -> None:
    final = events[-1]
    assert isinstance(final, Final)
    assert final.text == SAID
    assert [(word.word, word.speaker) for word in final.words] == WORDS
    assert all(word.to_dict()["speaker"] == word.speaker for word in final.words)


def test_what_is_committed_is_never_half_a_tag(events: list[Partial | Final]) -> None:
    committed = [event.committed for event in events if isinstance(event, Partial)]
    assert "[Speaker 1]: how are you" in committed
    assert all(SAID.startswith(each) and not each.endswith((":", "]", "r", "[")) for each in committed)


def test_plus_is_asked_in_its_own_words(engine: Engine) -> None:
    processor = engine.model.processor
    assert SPEAKERS in processor.render(processor.instruction(Wish(speakers=True)))
    with pytest.raises(WishError, match="plus writes what is said, without punctuation"):
        engine.open(Options(wish=Wish(punctuate=True)))


def test_offline_too_tags_have_room_beside_the_words(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = list[int]()
    monkeypatch.setattr("model.speech.token_limit", lambda *given: limits.append(token_limit(*given)) or 0)
    monkeypatch.setattr(engine.model.alphabet, "spelled_bytes", lambda _: 20)
    for wish in (Wish(), Wish(times=True), Wish(speakers=True)):
        assert engine.model.transcribe(speech(16_000), wish) == ""
    words = 16 + 8  # of a second, and some to spare
    assert limits == [words, 6 * words, 4 * words]
