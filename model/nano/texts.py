"""Sentences to be spoken: cleaned from Debian's packages of free text, and made from templates.

Everything is lower case `a-z`, apostrophe and space, which is all that nano's CTC head can write. A sentence is
held out when its own hash says so: the split needs no list, and never changes when sources are added.
Debian packages: dict-wn fortunes debian-handbook anarchism dict-foldoc jargon-text. A missing one is left out.
"""

from __future__ import annotations

import gzip
import hashlib
import html
import json
import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from model.nano.templates import TEMPLATES

HELD_OUT_ONE_IN = 60  # sentences; the others are for training
UNCOMMON = range(2, 31)  # times in all sentences: a word that comes once would not come again anyway
MAX_WORDS = 24
MAX_WORD_LETTERS = 15
SHARE = Path("/usr/share")
COOKIES = ("fortunes", "literature", "miscellaneous", "people", "platitudes", "riddles", "science", "wisdom", "work",
           "computers", "education", "food", "kids", "law", "love", "medicine", "news", "paradoxum", "pets", "sports",
           "startrek", "tao", "translate-me", "zippy", "songs-poems", "humorists", "definitions", "cookie")  # fmt: skip
SPOKEN = {
    "mr": "mister",
    "mrs": "missus",
    "dr": "doctor",
    "vs": "versus",
    "ie": "that is",
    "eg": "for example",
}
# Words that a demo should not say, and which a small model would only learn to say by mistake.
RUDE = re.compile(r"\b(fuck\w*|shit\w*|cunt\w*|nigger\w*|bitch\w*|whore\w*|rape\w*|penis|vagina|slut\w*|fag\w*)\b")
WORD = re.compile(r"[a-z]+(?:'[a-z]+)*'?|'[a-z]+")


def clean(text: str) -> str | None:
    """One sentence in nano's alphabet, or None when it cannot be said in it."""
    text = text.lower().replace("’", "'").replace("`", "'").replace("-", " ").replace("–", " ")
    text = re.sub(r"[,;:.!?\"()]", " ", text)
    words = [SPOKEN.get(word, word) for word in text.split()]
    words = [word.strip("'") if word.startswith("'") or word.endswith("''") else word for word in words]
    if not 1 <= len(words) <= MAX_WORDS or not all(WORD.fullmatch(word) for word in words):
        return None
    if any(len(word) > MAX_WORD_LETTERS for word in words):
        return None
    # An engine spells what has no vowel; the text would then not be what is heard.
    if any(len(word) > 1 and not re.search("[aeiouy]", word) for word in words):
        return None
    if any(len(word) == 1 and word not in "aio" for word in words):
        return None
    sentence = " ".join(words)
    return None if RUDE.search(sentence) else sentence


def is_held_out(sentence: str) -> bool:
    """Whether a sentence belongs to the evaluation sets: a property of the sentence alone."""
    return int(hashlib.sha256(sentence.encode()).hexdigest()[:8], 16) % HELD_OUT_ONE_IN == 0


def _pieces(text: str) -> Iterator[str]:
    """Sentences, and the clauses of long ones."""
    for sentence in re.split(r"(?<=[.!?])\s+|\s--\s|;\s|\n\s*\n", re.sub(r"\s+", " ", text)):
        if len(sentence.split()) <= 12:
            yield sentence
        else:
            yield from re.split(r"[,:]\s", sentence)


def _dictd(name: str) -> str:
    path = SHARE / "dictd" / f"{name}.dict.dz"
    return gzip.decompress(path.read_bytes()).decode("utf8", "ignore") if path.exists() else ""


def _wordnet() -> Iterator[str]:
    """WordNet's examples are the best there is: short, modern, everyday phrases. Then glosses and head words."""
    for entry in re.split(r"\n(?=\S)", _dictd("wn")):
        head, _, body = entry.partition("\n")
        body = re.sub(r"\[(?:syn|ant):.*?\]|\(.*?\)", " ", re.sub(r"\s+", " ", body))
        yield from re.findall(r'"([^"]+)"', body)
        for gloss in re.split(r"(?:^| )(?:n |v |adj |adv )?\d*: ", re.sub(r'"[^"]*"', "", body)):
            yield from gloss.split(";")
        if head.islower() and " " in head:
            yield head


def _web_pages(folder: Path) -> Iterator[str]:
    for page in sorted(folder.glob("*.html")):
        body = re.sub(r"<(script|style|pre)\b.*?</\1>", " ", page.read_text("utf8", "ignore"), flags=re.DOTALL)
        yield from _pieces(html.unescape(re.sub(r"<[^>]+>", " ", body)))


def _fortunes() -> Iterator[str]:
    for name in COOKIES:
        path = SHARE / "games/fortunes" / name
        if path.exists():
            for cookie in path.read_text("utf8", "ignore").split("\n%\n"):
                yield from _pieces(re.sub(r"--.*", "", cookie, flags=re.DOTALL))


def _definitions() -> Iterator[str]:
    yield from _pieces(re.sub(r"[{}]|\[.*?\]|<.*?>", "", _dictd("foldoc")))
    jargon = SHARE / "doc/jargon-text/jargon.txt.gz"
    if jargon.exists():
        yield from _pieces(gzip.decompress(jargon.read_bytes()).decode("utf8", "ignore"))


def natural_sentences(exclude: Iterable[str] = ()) -> list[str]:
    """All sentences of the installed packages, in an order that a fixed seed gives; `exclude` are never in it."""
    banned = set(exclude)
    sources = (_wordnet(), _fortunes(), _web_pages(SHARE / "doc/anarchism/html"), _definitions(),
               _web_pages(SHARE / "doc/debian-handbook/html/en-US"))  # fmt: skip
    found = {sentence for source in sources for piece in source if (sentence := clean(piece))}
    found = {sentence for sentence in found if sentence not in banned and " " in sentence}
    ordered = sorted(found)
    random.Random(0).shuffle(ordered)
    return ordered


def with_uncommon_words(sentences: list[str]) -> list[str]:
    """Those whose least frequent word is uncommon in all of them: what a model has not heard, it cannot spell."""
    counts = Counter(word for sentence in sentences for word in sentence.split())
    return [sentence for sentence in sentences if min(counts[word] for word in sentence.split()) in UNCOMMON]


def templated(rng: random.Random) -> tuple[str, str]:
    """What is written and what is said (they differ for spelled letters): numbers, dates, names, commands."""
    return rng.choices(*zip(*TEMPLATES, strict=True))[0](rng)


def evaluation_sentences(paths: Iterable[Path]) -> set[str]:
    """The texts of evaluation manifests (`.jsonl` with a `text` field) and of plain transcripts."""
    banned: set[str] = set()
    for path in paths:
        lines = path.read_text("utf8").splitlines()
        texts = [json.loads(line).get("text") or "" for line in lines] if path.suffix == ".jsonl" else lines
        banned.update(sentence for text in texts if (sentence := clean(text)))
    return banned
