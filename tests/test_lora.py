"""The adapter equals peft's: on where a prompt holds audio, off where not, and the base weights stay as they are.

The tolerance is that of test_parity: float32, values of the order of one, nothing but the order of sums differs.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import GraniteSpeechFeatureExtractor, GraniteSpeechForConditionalGeneration

from model.errors import CheckpointError
from model.granite import Extension, switch
from model.lora import ADAPTER_CONFIG, ADAPTER_WEIGHTS, TARGETS, LoraConfig
from model.speech import GraniteSpeech, Span
from tests.checkpoints import AUDIO_TOKEN, VARIANTS, WRITE, adapt, change, samples_for, save, speech

VARIANT = VARIANTS[1]  # 3.3
TOLERANCE = 1e-5
HEARD = speech(samples_for(47))  # a recording of about a second
WORDS = 16  # tokens, each one letter
BOTH = [ADAPTER_CONFIG, ADAPTER_WEIGHTS]
NAME = "language_model.model.layers.1.self_attn.v_proj.lora_A.weight"
KEY = "base_model.model." + NAME
PLAIN = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": ["q_proj"]}


@dataclass
class Both:
    """A checkpoint with an adapter as transformers with peft, and as we run it."""

    theirs: GraniteSpeechForConditionalGeneration
    ours: GraniteSpeech

    @classmethod
    def of(cls, directory: Path) -> Both:
        theirs = GraniteSpeechForConditionalGeneration.from_pretrained(str(directory), dtype=torch.float32).eval()
        return cls(theirs, load(directory))

    def prompt(self) -> tuple[dict[str, Tensor], Tensor]:
        """A prompt with audio: what transformers takes, and the embeddings `[T, width]` that we take."""
        (heard,) = self.ours.encode([Span(self.ours.features(HEARD))])
        prompt, embed = self.ours.processor.prompt("write"), self.ours.language_model.embed
        ids = torch.tensor([[*prompt.prefix, *[AUDIO_TOKEN] * len(heard.embeddings), *prompt.suffix]])
        mask = torch.ones(1, len(heard.embeddings), dtype=torch.bool)
        features = GraniteSpeechFeatureExtractor()(HEARD)["input_features"]
        inputs = {"input_ids": ids, "input_features": features, "input_features_mask": mask}
        return inputs, torch.cat([embed(prompt.prefix), heard.embeddings, embed(prompt.suffix)])

    def generate(self, **inputs: Tensor) -> str:
        """What transformers writes; it switches its adapter by itself: on if there is audio, off if there is none."""
        said = self.theirs.generate(**inputs, do_sample=False, max_new_tokens=WORDS)
        return self.ours.processor.decode(said[0, inputs["input_ids"].shape[1] :].tolist()).strip()

    def assert_equal_logits(self) -> None:
        """With the adapter, and with the same prompt without it."""
        inputs, embeddings = self.prompt()
        ours, scaling = self.ours.language_model, self.ours.config.text.logits_scaling
        for audio in (True, False):
            self.theirs.enable_adapters() if audio else self.theirs.disable_adapters()
            logits = ours(embeddings, [len(embeddings)], audio) * scaling  # which the reference's speech model forgets
            torch.testing.assert_close(logits, self.theirs(**inputs).logits[0], atol=TOLERANCE, rtol=0)


@pytest.fixture(scope="module", autouse=True)
def without_gradients() -> Iterator[None]:
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return adapt(VARIANT, save(VARIANT, tmp_path_factory.mktemp("adapted")))


@pytest.fixture(scope="module")
def both(saved: Path) -> Both:
    return Both.of(saved)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> GraniteSpeech:
    """The same base weights in a checkpoint that never had an adapter."""
    return load(save(VARIANT, tmp_path_factory.mktemp("plain")))


@pytest.fixture
def directory(saved: Path, tmp_path: Path) -> Path:
    """A checkpoint that a test may break."""
    return shutil.copytree(saved, tmp_path / "checkpoint")


def load(directory: Path) -> GraniteSpeech:
    return GraniteSpeech.load(directory, dtype=torch.float32)


def refusal(directory: Path) -> str:
    with pytest.raises(CheckpointError) as error:
        load(directory)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_logits_equal_the_reference_with_the_adapter_and_without(both: Both) -> None:
    both.assert_equal_logits()


@pytest.mark.parametrize(
    "options",
    [{"use_rslora": True, "lora_alpha": 2}, {"r": 1, "lora_alpha": 1}, {"target_modules": list(TARGETS)}],
    ids=["rslora", "rank 1", "every projection"],
)
def test_rank_scale_and_targets_are_those_of_its_configuration(directory: Path, options: dict[str, object]) -> None:
    adapt(VARIANT, directory, **options)
    Both.of(directory).assert_equal_logits()


@pytest.mark.parametrize("hub_keys", [True, False], ids=["hub", "transformers-5"])
@pytest.mark.parametrize("prefix", ["base_model.model.", ""], ids=["prefix", "no prefix"])
def test_every_style_of_the_adapters_keys_gives_the_same_weights(
    both: Both, directory: Path, prefix: str, hub_keys: bool
) -> None:
    adapt(VARIANT, directory, prefix=prefix, hub_keys=hub_keys)
    start = prefix + ("language_model.model.layers." if hub_keys else "model.language_model.layers.")
    assert all(key.startswith(start) for key in load_file(directory / ADAPTER_WEIGHTS))
    state = load(directory).state_dict()
    assert any(".q_proj.lora_A." in name for name in state)
    assert all(torch.equal(tensor, state[name]) for name, tensor in both.ours.state_dict().items())


def test_greedy_text_equals_generate(both: Both, plain: GraniteSpeech) -> None:
    inputs, _ = both.prompt()
    text = both.ours.transcribe(HEARD, WRITE, max_tokens=WORDS)
    assert text == both.generate(**inputs)
    assert text != plain.transcribe(HEARD, WRITE, max_tokens=WORDS), "an adapter without effect proves nothing"


@pytest.mark.parametrize("question", ["why?", "Who was Ada Lovelace, and what did she write?"])
def test_an_answer_without_audio_equals_generate_without_the_adapter(
    both: Both, plain: GraniteSpeech, question: str
) -> None:
    ids = both.ours.processor.encode(f"USER: {question}\n ASSISTANT:")
    text = both.ours.answer(question, max_tokens=WORDS)
    assert text
    assert text == both.generate(input_ids=torch.tensor([ids]))
    assert text == plain.answer(question, max_tokens=WORDS)


def test_an_answer_ends_where_the_model_ends_it(plain: GraniteSpeech, monkeypatch: pytest.MonkeyPatch) -> None:
    text = plain.answer("why?", max_tokens=WORDS)
    (stop,) = plain.processor.encode(text[3])
    monkeypatch.setattr(plain.processor, "stop_token", stop)
    assert plain.answer("why?", max_tokens=WORDS) == text[: text.index(text[3])].strip()


def test_a_question_that_holds_a_placeholder_is_refused(plain: GraniteSpeech) -> None:
    with pytest.raises(ValueError, match=r"prompt without audio holds <\|audio\|>"):
        plain.answer("what is <|audio|>?")


def test_a_question_that_leaves_no_position_for_an_answer_is_refused(plain: GraniteSpeech) -> None:
    with pytest.raises(ValueError, match=r"tokens; the model has \d+ positions for it and an answer"):
        plain.answer("why? " * plain.config.text.max_position_embeddings)


def test_slots_with_and_without_audio_share_a_batch(both: Both) -> None:
    _, embeddings = both.prompt()
    kinds, cuts = [True, False, True], [len(embeddings), len(embeddings), 9]

    def said(rows: list[int]) -> list[tuple[list[int], list[float]]]:
        cache = both.ours.cache(len(embeddings))
        slots = [cache.acquire() for _ in rows]
        asked = [
            Extension(slot, 0, embeddings[: cuts[row]], predictions=cuts[row], audio=kinds[row])
            for slot, row in zip(slots, rows, strict=True)
        ]
        return [(each.tokens, each.log_probs) for each in both.ours.extend(asked, cache)]

    alone = [said([row])[0] for row in range(len(kinds))]
    assert alone[0][0] != alone[1][0]
    for (tokens, log_probs), (expected, their_log_probs) in zip(said([0, 1, 2]), alone, strict=True):
        assert tokens == expected
        assert log_probs == pytest.approx(their_log_probs, abs=TOLERANCE)


@pytest.mark.parametrize(
    ("audio", "expected"),
    [
        ([True, True], True),
        ([False, False], False),
        ([True, False], torch.tensor([[1.0], [1.0], [0.0]])),
    ],
)
def test_a_mask_is_made_only_for_a_mixed_batch(audio: list[bool], expected: bool | Tensor) -> None:
    found = switch(audio, [2, 1], torch.zeros(3, 4))
    assert found is expected if isinstance(expected, bool) else torch.equal(torch.as_tensor(found), expected)


def test_the_base_weights_stay_what_they_were(both: Both, plain: GraniteSpeech) -> None:
    both.ours.transcribe(HEARD, WRITE, max_tokens=WORDS)
    both.ours.answer("why?", max_tokens=WORDS)
    adapted = both.ours.state_dict()
    assert all(torch.equal(tensor, adapted[name]) for name, tensor in plain.state_dict().items())


def test_an_adapter_that_lies_there_is_used_as_the_reference_does(both: Both, directory: Path) -> None:
    change(directory / "config.json", has_lora_adapter=False)
    assert load(directory).transcribe(HEARD, WRITE, max_tokens=WORDS) == both.generate(**both.prompt()[0])


@pytest.mark.parametrize(
    "names", [[ADAPTER_CONFIG], [ADAPTER_WEIGHTS], [ADAPTER_CONFIG, ADAPTER_WEIGHTS]], ids=" and ".join
)
def test_an_adapter_that_is_promised_and_not_there_is_an_error(directory: Path, names: list[str]) -> None:
    for name in names:
        (directory / name).unlink()
    assert f"needs its LoRA adapter but lacks {' and '.join(names)}: " in refusal(directory)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"use_dora": True}, "use_dora True"),
        ({"rank_pattern": {"q_proj": 8}}, "rank_pattern {'q_proj': 8}"),
        ({"alpha_pattern": {"q_proj": 8}, "lora_bias": True}, "alpha_pattern {'q_proj': 8}; lora_bias True"),
        ({"layers_to_transform": [1]}, "layers_to_transform [1]"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save ['lm_head']"),
        ({"bias": "all"}, "bias all"),
        ({"a_later_option": 1}, "a_later_option 1"),
        ({"peft_type": "IA3"}, "peft_type IA3 (LORA)"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights pissa"),
        ({"r": 0}, "r 0 (a whole number from 1 on)"),
        ({"r": True}, "r True (a whole number from 1 on)"),
        ({"lora_alpha": None}, "lora_alpha None (a number)"),
        ({"lora_alpha": float("nan")}, "lora_alpha nan (a number)"),
        ({"target_modules": []}, "target_modules [] (some of q_proj, "),
        ({"target_modules": [["q_proj"]]}, "target_modules [['q_proj']] (some of q_proj, "),
        ({"target_modules": "all-linear"}, "target_modules all-linear (some of q_proj, "),
        ({"target_modules": ["q_proj", "query"]}, "target_modules ['q_proj', 'query'] (some of q_proj, "),
    ],
    ids=lambda value: ", ".join(value) if isinstance(value, dict) else "",
)
def test_what_is_not_supported_is_refused_by_name(directory: Path, options: dict[str, object], message: str) -> None:
    change(directory / ADAPTER_CONFIG, **options)
    assert f"asks for what granite-stream does not run: {message}" in refusal(directory)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"use_dora": False, "rank_pattern": {}, "modules_to_save": None, "bias": "none"},
        {
            "lora_dropout": 0.1,
            "base_model_name_or_path": "granite",
            "init_lora_weights": True,
            "task_type": "CAUSAL_LM",
        },
    ],
    ids=["few", "options that are off", "what training leaves behind"],
)
def test_what_changes_nothing_is_accepted(options: dict[str, object]) -> None:
    assert LoraConfig.parse({**PLAIN, **options}) == LoraConfig(4, 2.0, frozenset({"q_proj"}))


@pytest.mark.parametrize(
    ("text", "message"), [("{", "cannot read"), ("[]", "holds a list, not an object")], ids=["broken", "a list"]
)
def test_a_configuration_that_cannot_be_read_is_named(directory: Path, text: str, message: str) -> None:
    (directory / ADAPTER_CONFIG).write_text(text)
    assert ADAPTER_CONFIG in refusal(directory)
    assert message in refusal(directory)


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda tensors: tensors.pop(KEY), f"missing {NAME}"),
        (lambda tensors: tensors.update({KEY: torch.zeros(6, 5)}), f"{NAME} is [6, 5], should be [6, 64]"),
        (lambda tensors: tensors.update(stray=torch.zeros(1)), "unexpected stray"),
    ],
    ids=["missing", "wrong shape", "unexpected"],
)
def test_a_tensor_of_the_adapter_that_does_not_fit_is_named(
    directory: Path, break_it: Callable[[dict[str, Tensor]], object], message: str
) -> None:
    tensors = load_file(directory / ADAPTER_WEIGHTS)
    break_it(tensors)
    save_file(tensors, directory / ADAPTER_WEIGHTS)
    assert message in refusal(directory)


def test_an_answer_ends_with_the_models_positions(plain: GraniteSpeech, monkeypatch: pytest.MonkeyPatch) -> None:
    two, whole = (plain.answer("why?", max_tokens=tokens) for tokens in (2, WORDS))
    asked = len(plain.processor.question("why?"))

    def narrow(positions: int) -> None:
        text = replace(plain.config.text, max_position_embeddings=positions)
        monkeypatch.setattr(plain, "config", replace(plain.config, text=text))

    narrow(asked + 2)
    assert plain.answer("why?", max_tokens=WORDS) == two != whole
    narrow(asked)
    with pytest.raises(ValueError, match=f"the text has {asked} tokens; the model has {asked} positions"):
        plain.answer("why?", max_tokens=WORDS)
