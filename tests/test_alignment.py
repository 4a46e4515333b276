from dataclasses import replace

import pytest
import torch

from model.alignment import Alphabet, WordSpan, align

LETTERS = 29  # nano's: a blank, a space, a to z, an apostrophe


@pytest.fixture(scope="module")
def alphabet(nano):
    return Alphabet(nano.config)


def frames_of(alphabet, text, each=2):
    """Posteriors of a head that hears each character for some frames and a blank behind it; `_` is a blank."""
    path = [label for character in text for label in [*(alphabet.labels(character) or [0]) * each, 0]]
    return torch.nn.functional.one_hot(torch.tensor(path), LETTERS).float().mul(0.9).add(1e-3).log()


def test_words_lie_where_their_letters_were_heard(alphabet):
    spans = align(["ab", "c"], frames_of(alphabet, "_ab c__"), alphabet)
    assert spans == [WordSpan(3, 8), WordSpan(12, 14)]


def test_words_that_cannot_be_spelled_share_what_lies_between_their_neighbours(alphabet):
    frames = frames_of(alphabet, "ab __cd")
    assert align(["ab", "12", "34", "cd"], frames, alphabet)[1:3] == [WordSpan(5, 10), WordSpan(10, 15)]
    assert align(["12", "ab", "cd"], frames_of(alphabet, "__ab cd"), alphabet)[0] == WordSpan(0, 6)
    assert align(["ab", "漢", "字"], frames_of(alphabet, "ab____"), alphabet)[1:] == [WordSpan(5, 11), WordSpan(11, 18)]
    assert align(["漢", "字"], torch.zeros(10, LETTERS), alphabet) == [WordSpan(0, 5), WordSpan(5, 10)]


def test_capitals_and_marks_that_a_head_never_writes_do_not_move_a_word(nano):
    latin_1 = Alphabet(replace(nano.config, ctc_labels=(), encoder=replace(nano.config.encoder, output_dim=256)))
    path = [ord(character) if character != "_" else 0 for character in "__aabb__  ccdd__  EE__"]
    frames = torch.full((len(path), 256), -9.0)
    frames[range(len(path)), path] = 0.0
    frames[0, ord("A")] = frames[9, ord("B")] = frames[21, ord(".")] = -6.0  # as likely as anything: no sign of them
    spans = align(["AB,", "cD.", "E"], frames, latin_1)
    assert spans == [WordSpan(2, 6), WordSpan(10, 14), WordSpan(18, 20)]


def test_a_head_whose_labels_nobody_knows_is_counted_and_not_read(nano):
    unknown = Alphabet(replace(nano.config, ctc_labels=(), encoder=replace(nano.config.encoder, output_dim=42)))
    frames = torch.full((9, 42), -9.0)
    frames[range(9), [0, 5, 5, 0, 32, 32, 41, 0, 0]] = 0.0
    assert (unknown.spelled_bytes(frames), unknown.text(frames)) == (3, "")
    assert align(["one", "two", "six"], frames, unknown) == [WordSpan(0, 3), WordSpan(3, 6), WordSpan(6, 9)]


def test_nothing_is_nowhere_and_too_much_has_no_place(alphabet):
    assert align([], torch.zeros(10, LETTERS), alphabet) == []
    assert align(["abba"], torch.zeros(4, LETTERS), alphabet) is None, "between equal letters a path needs a blank"
    assert align(["12"], torch.zeros(0, LETTERS), alphabet) == [WordSpan(0, 0)]
    assert align(["abcdef"], frames_of(alphabet, "_"), alphabet) is None, "also what was not heard takes time to say"


def test_letters_are_counted_by_their_bytes_also_where_a_label_does_not_say_which(nano):
    latin_1 = Alphabet(replace(nano.config, ctc_labels=(), encoder=replace(nano.config.encoder, output_dim=348)))
    path = [0, 261, 261, 0, 347, ord(" "), ord("a"), ord("ü"), 0]  # kana, kana, space, two letters
    frames = torch.full((len(path), 348), -9.0)
    frames[range(len(path)), path] = 0.0
    assert latin_1.text(frames) == " aü"
    assert latin_1.spelled_bytes(frames) == 3 + 3 + 1 + 2
    assert latin_1.spelled_bytes(frames[:0]) == 0


@pytest.mark.parametrize(("heard", "faint"), [("a", "A"), ("A", "a")])
def test_a_letter_is_looked_for_in_the_form_that_was_heard_best(nano, heard, faint):
    latin_1 = Alphabet(replace(nano.config, ctc_labels=(), encoder=replace(nano.config.encoder, output_dim=256)))
    frames = torch.full((8, 256), -9.0)
    frames[:, 0] = -0.2
    frames[2:4, ord(heard)] = 0.0
    frames[6, ord(faint)] = -2.0
    assert align(["A"], frames, latin_1) == [WordSpan(2, 4)]


def test_a_label_behind_the_last_character_is_read_as_none(nano, alphabet):
    known = len(nano.config.ctc_labels)
    assert known < nano.config.encoder.output_dim
    frames = torch.nn.functional.one_hot(torch.tensor([known - 2, known, known + 1]), known + 3).float()
    assert alphabet.text(frames) == nano.config.ctc_labels[known - 2]
    assert alphabet.spelled_bytes(frames) == 3
