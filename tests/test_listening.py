from __future__ import annotations

import re
from pathlib import Path

import pytest

from streamer.commands.listening import parse


def test_a_device_is_the_microphone_unless_it_names_where_to_compute() -> None:
    for arguments, expected in (
        ([], (None, "auto")),
        (["--device", "cpu"], (None, "cpu")),
        (["--device", "USB"], ("USB", "auto")),
        (["--device", "2", "--device", "cuda"], ("2", "cuda")),
    ):
        given = parse(arguments, pytest.fail)
        assert (given.microphone, given.device) == expected


def test_each_run_writes_a_file_of_its_own() -> None:
    given = parse(["--format", "srt", "--output", "subs"], pytest.fail)
    assert re.fullmatch(r"mic-\d{8}-\d{6}\.srt", given.transcript.name)
    given = parse(["--save", "sound/talk.wav", "--output", "subs", "--format", "json"], pytest.fail)
    assert given.transcript == Path("subs/talk.json")


@pytest.mark.parametrize(
    ("arguments", "cure"),
    [
        (["a.wav"], "leave it out to transcribe recordings"),
        (["--speed", "2"], "has its own clock"),
        (["--device", "a", "--device", "b"], "names 2 microphones"),
        (["--events", "--format", "srt"], "only if --output says where"),
        (["--endpoint", "1000000"], "--endpoint: 1000000 is out of bounds; the least is 64, the most 3000"),
        (["--loud"], "unrecognized"),
    ],
)
def test_what_makes_no_sense_is_one_line(arguments: list[str], cure: str) -> None:
    said: list[str] = []
    with pytest.raises(SystemExit) as leaving:
        parse(arguments, said.append)
    assert leaving.value.code == 2
    assert len(said) == 1
    assert cure in said[0]
