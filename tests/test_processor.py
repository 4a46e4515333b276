"""Prompts as the checkpoints' templates write them, and audio embeddings where the placeholders stand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from model.config import EncoderConfig, ProjectorConfig, SpeechConfig, TextConfig
from model.errors import CheckpointError
from model.processor import Processor, merge
from model.tasks import PLAIN
from tests.checkpoints import AUDIO_TOKEN, TEMPLATE_3, TEMPLATE_4, VARIANTS, VOCABULARY, reference, tokenizer

CONFIG = SpeechConfig(
    encoder=EncoderConfig(),
    projector=ProjectorConfig(),
    text=TextConfig(
        vocab_size=VOCABULARY,
        hidden_size=64,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=4,
        num_key_value_heads=2,
    ),
    audio_token_index=AUDIO_TOKEN,
)
TABLE = torch.randn(VOCABULARY, 64, generator=torch.Generator().manual_seed(7))
IDS = torch.tensor([[5, AUDIO_TOKEN, AUDIO_TOKEN, AUDIO_TOKEN, 6, 7]])
AUDIO = torch.randn(1, 3, 64, generator=torch.Generator().manual_seed(8))
MASK = torch.ones(1, 3, dtype=torch.bool)
KEYWORDS = "transcribe the speech to text. Keywords: Ångström, Zürich"


def processor(template: str = TEMPLATE_4) -> Processor:
    return Processor(CONFIG, tokenizer(), template)


@pytest.mark.parametrize(
    ("template", "prompt"),
    [
        (
            TEMPLATE_3,
            "<|start_of_role|>user<|end_of_role|><|audio|>can you transcribe the speech into a written format?"
            "<|end_of_text|>\n<|start_of_role|>assistant<|end_of_role|>",
        ),
        (TEMPLATE_4, "USER: <|audio|>can you transcribe the speech into a written format?\n ASSISTANT:"),
    ],
    ids=["3.x", "4.x"],
)
def test_the_prompt_is_what_the_checkpoints_were_trained_on(template: str, prompt: str) -> None:
    assert processor(template).render() == prompt


def test_plus_is_asked_behind_its_system_text_and_a_space() -> None:
    plus = Processor(replace(CONFIG, plus=True), tokenizer(), TEMPLATE_3)
    assert plus.render("write").endswith(
        "<|end_of_text|>\n<|start_of_role|>user<|end_of_role|><|audio|> write"
        "<|end_of_text|>\n<|start_of_role|>assistant<|end_of_role|>"
    )
    assert plus.render("write").startswith("<|start_of_role|>system<|end_of_role|>Knowledge Cutoff Date: April 2024.\n")


def test_a_template_that_asks_for_the_date_gets_that_of_the_training() -> None:
    assert processor("{{ strftime_now('%B %d, %Y') }}").render() == "December 19, 2024"


@pytest.mark.parametrize("template", [TEMPLATE_3, TEMPLATE_4], ids=["3.x", "4.x"])
@pytest.mark.parametrize("instruction", [PLAIN, KEYWORDS, ""])
def test_prompts_equal_those_of_the_reference(template: str, instruction: str) -> None:
    theirs = PreTrainedTokenizerFast(tokenizer_object=tokenizer(), chat_template=template)
    messages = [{"role": "user", "content": "<|audio|>" + instruction}]
    text = theirs.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    ours = processor(template)
    assert ours.render(instruction) == text
    assert ours.encode(text) == theirs(text, add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize(
    "template",
    [
        "{% for m in messages %}\n    {% if m.role == 'user' %}\n{{ m.content }}\n    {% endif %}\n{% endfor %}",
        "{{ messages[0]['content'] | trim }}{{ messages | length }}{{ messages[0] | tojson }}",
        "{% for m in messages %}{{ m.content }}{% break %}{% endfor %}",
        "{%- if tools is defined and tools %}tools{%- endif %}{{ messages[0]['content'] }}{{ documents or 'none' }}",
        "{% if tools is none and documents is none %}{{ messages[0]['content'] }}{% endif %}",
    ],
    ids=["blocks on lines", "filters", "break", "undefined values", "values that are none"],
)
def test_templates_mean_what_they_mean_to_the_reference(template: str) -> None:
    theirs = PreTrainedTokenizerFast(tokenizer_object=tokenizer(), chat_template=template)
    messages = [{"role": "user", "content": "<|audio|>say <this> & 'that'"}]
    text = theirs.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert processor(template).render("say <this> & 'that'") == text


def test_a_prompt_is_cut_where_the_audio_stands() -> None:
    prompt = processor().prompt("hear")
    assert processor().tokenizer.decode(prompt.prefix) == "USER: "
    assert processor().tokenizer.decode(prompt.suffix) == "hear\n ASSISTANT:"
    assert AUDIO_TOKEN not in [*prompt.prefix, *prompt.suffix]


@pytest.mark.parametrize(("instruction", "count"), [("what is <|audio|>?", 2), ("<|audio|><|audio|>", 3)])
def test_a_prompt_with_other_than_one_placeholder_is_refused(instruction: str, count: int) -> None:
    with pytest.raises(ValueError, match=rf"holds {count} <\|audio\|> placeholders, it needs exactly 1"):
        processor().prompt(instruction)


def test_a_template_that_drops_the_audio_is_refused() -> None:
    with pytest.raises(ValueError, match=r"holds 0 <\|audio\|> placeholders"):
        processor("USER: hello").prompt()


def test_a_template_that_refuses_says_so_as_a_fault_of_the_checkpoint() -> None:
    with pytest.raises(CheckpointError, match="only tools may speak"):
        processor("{{ raise_exception('only tools may speak') }}").render()


def test_special_tokens_do_not_appear_in_transcripts() -> None:
    ours = processor()
    assert ours.decode(ours.encode("<|start_of_role|>so it is<|end_of_text|>")) == "so it is"


@pytest.mark.parametrize(
    ("counts", "expanded"),
    [([2, 1], [5, AUDIO_TOKEN, AUDIO_TOKEN, 6, AUDIO_TOKEN]), ([0, 3], [5, 6, *[AUDIO_TOKEN] * 3])],
)
def test_each_placeholder_becomes_as_many_as_its_recording_has_embeddings(
    counts: list[int], expanded: list[int]
) -> None:
    assert processor().expand([5, AUDIO_TOKEN, 6, AUDIO_TOKEN], counts) == expanded


@pytest.mark.parametrize("counts", [[], [3], [1, 2, 3]])
def test_placeholders_and_recordings_must_be_equally_many(counts: list[int]) -> None:
    with pytest.raises(ValueError, match=rf"2 <\|audio\|> placeholders for {len(counts)} recordings"):
        processor().expand([5, AUDIO_TOKEN, 6, AUDIO_TOKEN], counts)


def test_merged_embeddings_of_a_ragged_batch_equal_the_reference() -> None:
    theirs = reference(VARIANTS[0]).model
    ids = torch.tensor([[5, *[AUDIO_TOKEN] * 6, 9], [7, 3, 3, 3, 3, *[AUDIO_TOKEN] * 3]])
    audio = torch.randn(2, 6, 64, generator=torch.Generator().manual_seed(3))
    mask = torch.arange(6) < torch.tensor([[6], [3]])
    ours = merge(CONFIG, theirs.language_model.embed_tokens.weight, ids, audio_embeds=audio, audio_mask=mask)
    assert torch.equal(ours, theirs.get_merged_audio_embeddings(ids, audio, mask))


def test_text_without_audio_is_only_looked_up() -> None:
    assert torch.equal(merge(CONFIG, TABLE, torch.tensor([[1, 2]])), TABLE[[1, 2]][None])


def test_embeddings_are_given_back_as_they_are() -> None:
    assert merge(CONFIG, TABLE, inputs_embeds=AUDIO) is AUDIO


def test_a_placeholder_beyond_the_table_is_never_looked_up() -> None:
    merged = merge(CONFIG, TABLE[:AUDIO_TOKEN], IDS, audio_embeds=AUDIO, audio_mask=MASK)
    assert torch.equal(merged[0, 1:4], AUDIO[0])
    assert torch.equal(merged[0, [0, 4, 5]], TABLE[[5, 6, 7]])


def test_the_table_is_not_written_to() -> None:
    before = TABLE.clone()
    merge(CONFIG, TABLE, IDS, audio_embeds=AUDIO, audio_mask=MASK)
    assert torch.equal(TABLE, before)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "exactly one of input_ids and inputs_embeds, not 0"),
        ({"input_ids": IDS, "inputs_embeds": AUDIO}, "exactly one of input_ids and inputs_embeds, not 2"),
        ({"inputs_embeds": AUDIO, "audio_embeds": AUDIO, "audio_mask": MASK}, "audio needs input_ids"),
        ({"input_ids": IDS}, "3 <|audio|> placeholders but there is no audio"),
        ({"input_ids": IDS, "audio_embeds": AUDIO}, "audio of shape [1, 3, 64] needs a mask of shape [1, 3]"),
        (
            {"input_ids": IDS, "audio_embeds": AUDIO, "audio_mask": MASK[0]},
            "the audio mask has shape [3], the audio needs [1, 3]",
        ),
        (
            {"input_ids": IDS, "audio_embeds": AUDIO, "audio_mask": torch.tensor([[True, True, False]])},
            "3 <|audio|> placeholders for 2 audio embeddings",
        ),
        (
            {"input_ids": IDS[:, 2:], "audio_embeds": AUDIO, "audio_mask": MASK},
            "2 <|audio|> placeholders for 3 audio embeddings",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_does_not_fit_together_is_refused_with_its_numbers(arguments: dict[str, Tensor], message: str) -> None:
    with pytest.raises(ValueError) as refusal:  # noqa: PT011 - the whole message is compared
        merge(CONFIG, TABLE, **arguments)
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "lacks tokenizer.json"),
        ({"tokenizer.json": "{"}, "cannot read"),
        ({"tokenizer.json": ...}, "has no chat template"),
        ({"tokenizer.json": ..., "tokenizer_config.json": "{}"}, "has no chat template"),
        ({"tokenizer.json": ..., "tokenizer_config.json": "{"}, "cannot read .*tokenizer_config.json"),
        ({"tokenizer.json": ..., "chat_template.jinja": "{% for %}"}, "chat template in .* is not valid"),
    ],
    ids=["nothing", "broken tokenizer", "no template", "no template in settings", "broken settings", "broken template"],
)
def test_a_directory_without_what_prompts_need_is_refused(tmp_path: Path, files: dict[str, str], message: str) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(tokenizer().to_str() if text is ... else text)
    with pytest.raises(CheckpointError, match=message) as refusal:
        Processor.read(tmp_path, CONFIG)
    assert "\n" not in str(refusal.value)


def test_a_template_of_its_own_comes_before_the_one_in_the_settings(tmp_path: Path) -> None:
    tokenizer().save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").write_text('{"chat_template": "old {{ messages[0].content }}"}')
    assert Processor.read(tmp_path, CONFIG).render("x") == "old <|audio|>x"
    (tmp_path / "chat_template.jinja").write_text("new {{ messages[0].content }}")
    assert Processor.read(tmp_path, CONFIG).render("x") == "new <|audio|>x"


def test_what_a_training_left_in_the_tokenizer_cuts_no_prompt(tmp_path: Path) -> None:
    cut = tokenizer()
    cut.enable_truncation(3)
    cut.enable_padding(length=99)
    cut.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "chat_template.jinja").write_text("{{ messages[0].content }}")
    whole = Processor(CONFIG, tokenizer(), "{{ messages[0].content }}").prompt("one two three four five")
    assert Processor.read(tmp_path, CONFIG).prompt("one two three four five") == whole


def test_tokens_that_lengthen_a_word_are_those_that_begin_with_a_letter_a_digit_or_a_joint_or_write_nothing(nano):
    continuations, decode = nano.processor.continuations(), nano.processor.tokenizer.decode
    assert len(continuations) == nano.config.text.vocab_size
    assert not continuations[nano.processor.stop_token]
    for token in set(range(len(continuations))) - {nano.processor.stop_token}:
        first = decode([token])[:1]
        assert bool(continuations[token]) == (first.isalnum() or first in ("", "'", "-"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("the quick fox", ["the", "quick", "fox"]),
        ("今日は IBM。", ["今", "日", "は", "IBM。"]),  # bytes of one character stay together
        ("caf\u00e9 d\u00e9j\u00e0", ["caf\u00e9", "d\u00e9j\u00e0"]),
    ],
)
def test_words_are_found_by_spaces_and_in_scripts_that_have_none(nano, text, words):
    tokens = nano.processor.encode(text)
    found = nano.processor.words(tokens)
    assert [word for word, _ in found] == words
    ends = [end for _, end in found]
    assert ends == sorted(set(ends))
    assert ends[-1] == len(tokens)
