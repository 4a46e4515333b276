import json

import pytest

from streamer.events import Done, Error, Final, Partial, SpeechStarted, Word, from_dict

EVENTS = [
    SpeechStarted(0, 0.42),
    Partial(0, 0.42, 2.1, "the quick", " brown fo"),
    Final(0, 0.42, 3.3, "the quick brown fox", (Word("the", 0.5, 0.6, 0.98),)),
    Final(0, 0.42, 3.3, "[Speaker 2]: the", (Word("the", 0.5, 0.6, 0.98, 2),)),
    Done(12.0),
    Error("bad_audio", "…"),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.type)
def test_an_event_survives_the_wire(event):
    assert from_dict(json.loads(event.to_json())) == event


def test_an_event_is_one_line_with_its_type_first():
    assert Final(0, 0.42, 3.3, "naïve\n", ()).to_json() == (
        '{"type": "final", "segment": 0, "start": 0.42, "end": 3.3, "text": "naïve\\n", "words": []}'
    )


def test_a_word_names_a_speaker_only_if_there_is_one():
    assert Word("the", 0.5, 0.6, 0.98).to_dict() == {"word": "the", "start": 0.5, "end": 0.6, "confidence": 0.98}
    assert Word("the", 0.5, 0.6, 0.98, 2).to_dict()["speaker"] == 2


def test_what_a_later_version_adds_is_left_alone():
    assert from_dict({"type": "done", "audio_seconds": 1.0, "seq": 7}) == Done(1.0)
    final = Final(0, 0.42, 3.3, "the", (Word("the", 0.5, 0.6, 0.98),))
    word = {**final.words[0].to_dict(), "language": "en"}
    assert from_dict({**final.to_dict(), "words": [word]}) == final


@pytest.mark.parametrize(
    "values", [{}, {"type": "event"}, {"type": "done"}, {"type": "final", "segment": 0, "words": [{}]}]
)
def test_what_is_no_event_is_refused(values):
    with pytest.raises(ValueError, match="event"):
        from_dict(values)
