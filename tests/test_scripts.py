import pytest

from model.scripts import begins_word, joined


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["the", "quick", "fox."], "the quick fox."),
        (["今日", "は", "IBM", "へ", "行く", "。"], "今日はIBMへ行く。"),
        (["我", "爱", "你"], "我爱你"),
        (["한국어", "를"], "한국어 를"),
        ([], ""),
    ],
)
def test_words_are_joined_as_their_scripts_are_written(words, text):
    assert joined(words) == text


@pytest.mark.parametrize(
    ("piece", "begins"),
    [
        (" the", True),
        ("漢", True),
        ("か", True),
        ("ー", False),
        ("。", False),
        ("the", False),
        ("ب", False),
        ("", False),
    ],
)
def test_a_word_begins_with_a_space_or_a_letter_of_a_script_without_spaces(piece, begins):
    assert begins_word(piece) is begins
