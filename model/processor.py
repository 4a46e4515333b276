"""Text around the audio: the checkpoint's chat template, its tokenizer, and the places that audio embeddings take."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from unicodedata import category

import jinja2
import torch
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import Tokenizer
from torch import Tensor

from model.config import SpeechConfig
from model.errors import CheckpointError, WishError
from model.reading import unreadable
from model.scripts import begins_word
from model.tasks import PLAIN, Wish

AUDIO = "<|audio|>"  # one such token stands for the recording; it is repeated once for each embedding
# What `plus` was trained with; without it it does not write speakers and times. The date is part of it.
SYSTEM = (
    "Knowledge Cutoff Date: April 2024.\nToday's Date: December 19, 2024.\n"
    "You are Granite, developed by IBM. You are a helpful AI assistant"
)
# First characters that lengthen a word: those of scripts with cases, digits, accents. Others (punctuation, scripts that
# put no spaces between words, bytes of a character that is not whole yet) may follow one without changing it.
IN_WORDS = ("Lu", "Ll", "Lt", "Lm", "Mn", "Nd")
JOINTS = ("'", "’", "-")
UNFINISHED = "\ufffd"  # what bytes decode to that are no whole character
MOST_BYTES = 4  # of a character
TRAINED_ON = "December 19, 2024"  # the date that 3.x's template asks for; any other only takes the model by surprise


@dataclass(frozen=True, slots=True)
class Prompt:
    """A rendered prompt, cut where the audio stands."""

    prefix: list[int]  # tokens before the audio
    suffix: list[int]  # tokens between the audio and the transcript


class Processor:
    """Prompts and transcripts of one checkpoint."""

    def __init__(self, config: SpeechConfig, tokenizer: Tokenizer, template: str) -> None:
        self.config = config
        self.tokenizer = tokenizer
        self.stop_token = config.text.eos_token_id
        # as the reference sets it up: checkpoints' templates rely on each of these
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        environment.filters["tojson"] = _to_json
        environment.globals["raise_exception"] = _refuse
        environment.globals["strftime_now"] = lambda _format: TRAINED_ON
        self._template = environment.from_string(template)

    @classmethod
    def read(cls, directory: Path, config: SpeechConfig) -> Processor:
        """Reads tokenizer and chat template of a checkpoint directory.

        Raises:
            CheckpointError: one of them is missing or broken.
        """
        path = directory / "tokenizer.json"
        if not path.is_file():
            raise CheckpointError(f"{directory} lacks tokenizer.json: download the checkpoint again")
        try:
            tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # the tokenizers library raises bare Exception for every fault
            raise unreadable(path, error) from None
        tokenizer.no_truncation()  # what a training left in the file is not meant for us
        tokenizer.no_padding()
        try:
            return cls(config, tokenizer, _template(directory))
        except jinja2.TemplateError as error:
            raise CheckpointError(f"the chat template in {directory} is not valid: {error}") from None

    def instruction(self, wish: Wish) -> str:
        """A wish in the words that this checkpoint was trained on.

        Raises:
            WishError: it cannot do this.
        """
        return wish.instruction(self.config.plus, self.config.only_transcribes, self.config.languages)

    def render(self, instruction: str = PLAIN) -> str:
        """The whole prompt as text, with one placeholder for the audio, ready for the answer.

        Raises:
            CheckpointError: the template refuses these messages.
        """
        if self.config.plus:
            return self._render({"role": "system", "content": SYSTEM}, _user(f"{AUDIO} {instruction}"))
        return self._render(_user(AUDIO + instruction))

    def _render(self, *messages: dict[str, str]) -> str:
        try:
            return self._template.render(
                messages=list(messages), tools=None, documents=None, add_generation_prompt=True
            )
        except jinja2.TemplateError as error:
            raise CheckpointError(f"the checkpoint's chat template cannot write a prompt: {error}") from None

    def question(self, text: str) -> list[int]:
        """The tokens of a prompt without audio, ready for the answer.

        Raises:
            ValueError: the text holds a placeholder for audio.
            CheckpointError: the template refuses such a message.
        """
        ids = self.encode(self._render(_user(text)))
        if self.config.audio_token_index in ids:
            raise ValueError(f"a prompt without audio holds {AUDIO}; transcribe answers about audio")
        return ids

    def prompt(self, instruction: str = PLAIN) -> Prompt:
        """The prompt's tokens before and after the audio.

        Raises:
            WishError: the rendered prompt does not hold exactly one placeholder.
            CheckpointError: the template refuses these messages.
        """
        ids = self.encode(self.render(instruction))
        count = ids.count(self.config.audio_token_index)
        if count != 1:
            raise WishError(f"the prompt holds {count} {AUDIO} placeholders, it needs exactly 1")
        at = ids.index(self.config.audio_token_index)
        return Prompt(prefix=ids[:at], suffix=ids[at + 1 :])

    def expand(self, ids: list[int], counts: list[int]) -> list[int]:
        """Repeats each audio placeholder as often as its recording has embeddings.

        Raises:
            ValueError: there are more or fewer placeholders than recordings.
        """
        found = ids.count(self.config.audio_token_index)
        if found != len(counts):
            raise ValueError(f"the prompt holds {found} {AUDIO} placeholders for {len(counts)} recordings")
        remaining = iter(counts)
        return [
            token
            for token_id in ids
            for token in ([token_id] * next(remaining) if token_id == self.config.audio_token_index else [token_id])
        ]

    def encode(self, text: str) -> list[int]:
        """Text to tokens; special tokens in the text are recognised, none are added."""
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def words(self, tokens: list[int]) -> list[tuple[str, int]]:
        """The words that tokens spell, each with the index after its last token.

        A word begins where a space does, and with each piece of a script that has no spaces.
        """
        starts, at = [0], 0
        for end in range(1, len(tokens) + 1):
            piece = self._pieces[tokens[at]] if end == at + 1 else self.decode(tokens[at:end])
            if UNFINISHED in piece and end - at < MOST_BYTES:
                continue  # bytes of a character whose rest follows
            if at and begins_word(piece):
                starts.append(at)
            at = end
        spelled = ((self.decode(tokens[a:b]).strip(), b) for a, b in pairwise([*starts, len(tokens)]))
        return [(word, end) for word, end in spelled if word]

    @cached_property
    def _pieces(self) -> list[str]:
        """What each token of the vocabulary is by itself; special ones are nothing."""
        return self.tokenizer.decode_batch([[token] for token in range(self.config.text.vocab_size)])

    def continuations(self) -> Tensor:
        """Which tokens would go on with the word before them, `[vocabulary]` bool: their first character says so.

        A special token has none: what comes behind it would go on with the word. But the one that stops ends it.
        """
        firsts = [piece[:1] for piece in self._pieces]
        found = torch.tensor([first == "" or first in JOINTS or category(first) in IN_WORDS for first in firsts])
        found[self.stop_token] = False
        return found

    def decode(self, tokens: Sequence[int]) -> str:
        """Tokens to text without special tokens."""
        return self.tokenizer.decode(list(tokens), skip_special_tokens=True)


def merge(
    config: SpeechConfig,
    embed_tokens: Tensor,
    input_ids: Tensor | None = None,
    inputs_embeds: Tensor | None = None,
    audio_embeds: Tensor | None = None,
    audio_mask: Tensor | None = None,
) -> Tensor:
    """Puts audio embeddings where the placeholders stand.

    Args:
        config: tells which token is the placeholder.
        embed_tokens: the embedding table `[vocabulary, width]`.
        input_ids: `[B, T]`, or
        inputs_embeds: `[B, T, width]`, given back as they are: exactly one of the two.
        audio_embeds: `[B, M, width]`, with
        audio_mask: `[B, M]` bool, which of them are real.

    Returns:
        `[B, T, width]`, unscaled.

    Raises:
        ValueError: both or neither of ids and embeddings, audio without a mask or with one of another shape, or
            another number of placeholders than of embeddings.
    """
    if (input_ids is None) == (inputs_embeds is None):
        given = 0 if input_ids is None else 2
        raise ValueError(f"pass exactly one of input_ids and inputs_embeds, not {given}")
    if inputs_embeds is not None:
        if audio_embeds is not None:
            raise ValueError("audio needs input_ids with placeholders; it cannot be merged into inputs_embeds")
        return inputs_embeds
    assert input_ids is not None
    is_audio = input_ids == config.audio_token_index
    # the placeholder may lie beyond the embedding table, so it is looked up as token 0
    embeddings = torch.nn.functional.embedding(input_ids.masked_fill(is_audio, 0), embed_tokens)
    if audio_embeds is None:
        if is_audio.any():
            raise ValueError(f"the prompt holds {int(is_audio.sum())} {AUDIO} placeholders but there is no audio")
        return embeddings
    if audio_mask is None:
        raise ValueError(
            f"audio of shape {list(audio_embeds.shape)} needs a mask of shape {list(audio_embeds.shape[:2])}"
        )
    if audio_mask.shape != audio_embeds.shape[:2]:
        raise ValueError(
            f"the audio mask has shape {list(audio_mask.shape)}, the audio needs {list(audio_embeds.shape[:2])}"
        )
    placeholders, real = int(is_audio.sum()), int(audio_mask.sum())
    if placeholders != real:
        raise ValueError(f"{placeholders} {AUDIO} placeholders for {real} audio embeddings")
    embeddings[is_audio] = audio_embeds[audio_mask].to(embeddings.dtype)
    return embeddings


def _template(directory: Path) -> str:
    """The chat template: a file of its own, or a value of the tokenizer's settings."""
    alone, settings = directory / "chat_template.jinja", directory / "tokenizer_config.json"
    path = alone if alone.is_file() else settings
    try:
        if path == alone:
            return alone.read_text()
        values = json.loads(settings.read_text()) if settings.is_file() else None
        found = values.get("chat_template") if isinstance(values, dict) else None
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from None
    if not isinstance(found, str):
        raise CheckpointError(f"{directory} has no chat template: add chat_template.jinja from the checkpoint's page")
    return found


def _user(content: str) -> dict[str, str]:
    return {"role": "user", "content": content}


def _to_json(value: object, indent: int | None = None) -> str:
    """Jinja's own filter escapes what HTML would misread; a prompt is no HTML."""
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _refuse(message: str) -> None:
    raise jinja2.TemplateError(message)
