"""The network equals transformers: every stage, every variant, on random weights; and the embedded model's words.

The tolerance is absolute, on values of the order of one in float32 (`randomise` sees to that). Nothing but the order
of sums differs, and 16 layers make of it at most 6e-6.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import (
    AutoTokenizer,
    GraniteSpeechFeatureExtractor,
    GraniteSpeechForConditionalGeneration,
    GraniteSpeechProcessor,
)

from model.checkpoint import NANO
from model.config import WINDOW_FRAMES
from model.processor import merge
from model.speech import GraniteSpeech, Heard, Span
from model.tasks import PLAIN
from tests.checkpoints import AUDIO_TOKEN, VARIANTS, WRITE, recording, reference, samples_for, save, speech

TOLERANCE = 1e-5
BLOCK = 200  # frames
LENGTHS = [  # frames, and whether the count of mel frames is odd
    (1, True),
    (15, False),
    (16, True),
    (BLOCK - 1, True),
    (BLOCK, False),
    (BLOCK + 1, True),
    (2 * BLOCK, True),
    (2 * BLOCK + 1, False),
]
BATCH = [samples_for(2 * BLOCK + 37, odd=True), samples_for(16), samples_for(BLOCK + 1)]
AUDIO = Path(__file__).parent / "audio"
NANO_TOKENS = 150  # more than any of the recordings needs; a loop, should there be one, is compared up to here
PREFIX, SUFFIX = [40, 41, 42], [50, 51, 52, 53]


@dataclass
class Both:
    """One variant's network as transformers and as we run it, from the same files."""

    reference: GraniteSpeechForConditionalGeneration
    network: GraniteSpeech

    def theirs(self, samples: int) -> Theirs:
        return Theirs(self.reference, speech(samples))

    def ours(self, *lengths: int) -> list[Heard]:
        """What each clip of these lengths becomes, all in one batch."""
        return self.network.encode([Span(self.network.features(speech(samples))) for samples in lengths])


@dataclass
class Theirs:
    """What the reference makes of a recording, stage by stage."""

    reference: GraniteSpeechForConditionalGeneration
    samples: Tensor

    @cached_property
    def features(self) -> Tensor:
        return GraniteSpeechFeatureExtractor()(self.samples)["input_features"]

    @cached_property
    def hidden(self) -> Tensor:
        return self.reference.model.encoder(self.features).last_hidden_state[0]

    @property
    def characters(self) -> Tensor:
        encoder = self.reference.model.encoder
        return encoder.out(self.hidden[:, -encoder.config.hidden_dim :]).log_softmax(-1)

    @cached_property
    def embeddings(self) -> Tensor:
        return self.reference.model.projector(self.hidden[None])[0]

    @property
    def ids(self) -> Tensor:
        return torch.tensor([[*PREFIX, *[AUDIO_TOKEN] * len(self.embeddings), *SUFFIX]])

    @property
    def inputs(self) -> dict[str, Tensor]:
        mask = torch.ones(1, len(self.embeddings), dtype=torch.bool)
        return {"input_ids": self.ids, "input_features": self.features, "input_features_mask": mask}


@pytest.fixture(scope="module", params=VARIANTS, ids=str)
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Both:
    directory = save(request.param, tmp_path_factory.mktemp("checkpoint"))
    return Both(reference(request.param), GraniteSpeech.load(directory, dtype=torch.float32))


@pytest.fixture(scope="module", autouse=True)
def without_gradients() -> Iterator[None]:
    with torch.inference_mode():
        yield


def assert_equal(ours: Tensor, theirs: Tensor) -> None:
    torch.testing.assert_close(ours, theirs, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize(("frames", "odd"), LENGTHS)
def test_frames_characters_and_embeddings_equal_the_reference(both: Both, frames: int, odd: bool) -> None:
    theirs = both.theirs(samples_for(frames, odd))
    (heard,) = both.ours(samples_for(frames, odd))
    assert len(heard.hidden) == frames
    assert_equal(heard.hidden, theirs.hidden)
    assert_equal(heard.log_probs, theirs.characters)
    assert_equal(heard.embeddings, theirs.embeddings)


def test_the_middle_layer_hears_the_same_characters(both: Both) -> None:
    theirs, seen = both.theirs(samples_for(BLOCK + 1)), []
    hook = both.reference.model.encoder.out_mid.register_forward_pre_hook(lambda _, given: seen.append(given[0][0]))
    assert len(theirs.hidden)
    hook.remove()
    encoder = both.network.encoder
    encoding = encoder(theirs.features[0], encoder.layout([BLOCK + 1]))
    assert_equal(encoding.middle_logits.softmax(-1), seen[0])


def test_a_batch_of_unequal_clips_equals_the_reference_run_one_at_a_time(both: Both) -> None:
    # one at a time, because the reference lets padding into its batches
    for samples, heard in zip(BATCH, both.ours(*BATCH), strict=True):
        theirs = both.theirs(samples)
        assert_equal(heard.hidden, theirs.hidden)
        assert_equal(heard.log_probs, theirs.characters)
        assert_equal(heard.embeddings, theirs.embeddings)


def rest_from(both: Both, theirs: Theirs, border: int) -> Heard:
    """What lies behind an edge, encoded by itself."""
    features = both.network.features(theirs.samples)
    (whole,) = both.network.encode([Span(features, borders=(border,))])
    return both.network.encode([Span(features[border:], start=border, left=whole.edges[0])])[0]


@pytest.mark.parametrize("border", [BLOCK, 2 * BLOCK, 13 * WINDOW_FRAMES, 26 * WINDOW_FRAMES])
def test_a_span_from_an_edge_on_equals_the_reference_over_the_whole(both: Both, border: int) -> None:
    theirs = both.theirs(BATCH[0])
    rest = rest_from(both, theirs, border)
    assert_equal(rest.hidden, theirs.hidden[border:])
    assert_equal(rest.log_probs, theirs.characters[border:])


@pytest.mark.parametrize("windows", [13, 26])
def test_windows_from_an_edge_on_equal_those_of_the_reference(both: Both, windows: int) -> None:
    theirs = both.theirs(BATCH[0])
    assert_equal(rest_from(both, theirs, windows * WINDOW_FRAMES).embeddings, theirs.embeddings[3 * windows :])


def test_merged_embeddings_equal_the_reference(both: Both) -> None:
    theirs = both.theirs(samples_for(BLOCK + 1))
    (heard,) = both.ours(samples_for(BLOCK + 1))
    mask = torch.ones(1, len(heard.embeddings), dtype=torch.bool)
    table = both.network.language_model.model.embed_tokens.weight
    ours = merge(both.network.config, table, theirs.ids, audio_embeds=heard.embeddings[None], audio_mask=mask)
    assert_equal(ours, both.reference.model.get_merged_audio_embeddings(theirs.ids, theirs.embeddings[None], mask))


def test_logits_times_their_scaling_equal_the_reference_for_a_batch(both: Both) -> None:
    embed = both.network.language_model.embed
    prompts = [torch.cat([embed(PREFIX), heard.embeddings, embed(SUFFIX)]) for heard in both.ours(*BATCH)]
    lengths = [len(prompt) for prompt in prompts]
    logits = both.network.language_model(torch.cat(prompts), lengths)
    for samples, ours in zip(BATCH, logits.split(lengths), strict=True):
        # the reference's speech model forgets the division that its plain Granite has
        scaled = ours * both.network.config.text.logits_scaling
        assert_equal(scaled, both.reference(**both.theirs(samples).inputs).logits[0])


@pytest.mark.parametrize("frames", [16, BLOCK - 1, 2 * BLOCK + 1])
def test_greedy_text_equals_generate(both: Both, frames: int) -> None:
    samples, limit = speech(samples_for(frames, odd=True)), 16
    theirs, prompt = Theirs(both.reference, samples), both.network.processor.prompt("write")
    ids = torch.tensor([[*prompt.prefix, *[AUDIO_TOKEN] * len(theirs.embeddings), *prompt.suffix]])
    said = both.reference.generate(**{**theirs.inputs, "input_ids": ids}, do_sample=False, max_new_tokens=limit)
    text = both.network.processor.decode(said[0, ids.shape[1] :].tolist())
    assert text  # one token is one character, so equal text is equal tokens; some of these stop by themselves
    assert both.network.transcribe(samples, WRITE, max_tokens=limit) == text.strip()


@pytest.fixture(scope="module")
def nano() -> tuple[GraniteSpeech, GraniteSpeechForConditionalGeneration, GraniteSpeechProcessor]:
    theirs = GraniteSpeechForConditionalGeneration.from_pretrained(NANO, dtype=torch.float32).eval()
    processor = GraniteSpeechProcessor(GraniteSpeechFeatureExtractor(), AutoTokenizer.from_pretrained(NANO))
    return GraniteSpeech.load("nano"), theirs, processor


@pytest.mark.parametrize("path", sorted(AUDIO.glob("*.flac")), ids=lambda path: path.stem)
def test_the_embedded_model_writes_the_words_that_transformers_writes(nano, path: Path) -> None:
    ours, theirs, processor = nano
    samples = recording(path)
    message = {"role": "user", "content": "<|audio|>" + PLAIN}
    prompt = processor.tokenizer.apply_chat_template([message], tokenize=False, add_generation_prompt=True)
    inputs = processor(prompt, samples, return_tensors="pt")
    said = theirs.generate(**inputs, do_sample=False, max_new_tokens=NANO_TOKENS)
    text = processor.tokenizer.decode(said[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    assert text
    assert ours.transcribe(samples, max_tokens=NANO_TOKENS) == text.strip()


def test_clips_without_frames_take_nothing_from_the_others_of_a_batch(both: Both) -> None:
    lengths = [100, samples_for(31), 256, samples_for(47)]
    nothing, first, none_either, second = both.ours(*lengths)
    for heard, samples in ((first, lengths[1]), (second, lengths[3])):
        (alone,) = both.ours(samples)
        assert_equal(heard.log_probs, alone.log_probs)
        assert_equal(heard.embeddings, alone.embeddings)
    for empty in (nothing, none_either):
        for ours, theirs in ((empty.hidden, first.hidden), (empty.log_probs, first.log_probs)):
            assert torch.equal(ours, theirs[:0])
        assert torch.equal(empty.embeddings, first.embeddings[:0])
