from __future__ import annotations

import json

from clients.formats import writer
from streamer.events import Final, Word

FINALS = [Final(0, 0, 1, " one "), Final(1, 1, 2, ""), Final(2, 2, 3, "twö", (Word("twö", 2.1, 2.4, 0.5),))]


def test_json_is_one_line_with_the_text_first() -> None:
    written = writer("json", "nano")
    assert [written.add(final) for final in FINALS] == ["", "", ""]
    expected = {
        "text": "one twö",
        "audio_seconds": 3.5,
        "model": "nano",
        "segments": [
            {"start": 0, "end": 1, "text": " one ", "words": []},
            {"start": 1, "end": 2, "text": "", "words": []},
            {"start": 2, "end": 3, "text": "twö", "words": [FINALS[2].words[0].to_dict()]},
        ],
    }
    assert written.finish(3.5) == json.dumps(expected, ensure_ascii=False) + "\n"
    written.mark(1, 2.0)
    assert json.loads(written.finish(4.0)) == {**expected, "audio_seconds": 4.0, "marks": [2.0]}


def test_no_space_stands_between_segments_of_a_script_that_has_none() -> None:
    written = writer("json", "nano")
    for number, text in enumerate(("こんにちは。", "元気ですか。", "ok", "ok")):
        written.add(Final(number, number, number + 1, text))
    assert json.loads(written.finish(4.0))["text"] == "こんにちは。元気ですか。ok ok"


def test_lines_that_people_read_cannot_command_their_terminal() -> None:
    final = Final(0, 0, 1, "red \x1b]0;pwned\x07 \x9b2J alert\n")
    for form in ("text", "srt", "vtt"):
        written = writer(form, "nano")
        shown = written.add(final) + written.finish(1.0)
        assert "red ]0;pwned 2J alert" in shown
        assert all(character.isprintable() or character == "\n" for character in shown)
