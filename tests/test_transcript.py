from __future__ import annotations

from clients.transcript import Transcript
from streamer.events import Done, Final, Partial, SpeechStarted


def transcript_of(*events) -> Transcript:
    transcript = Transcript()
    for event in events:
        transcript.take(event)
    return transcript


def test_each_partial_replaces_the_one_before() -> None:
    transcript = transcript_of(
        SpeechStarted(0, 0.0), Partial(0, 0.0, 0.6, "", "the quik"), Partial(0, 0.0, 0.9, "the quick", " brown fo")
    )
    assert transcript.committed + transcript.draft == "the quick brown fo"
    assert transcript.finals == []


def test_a_final_closes_its_segment() -> None:
    final = Final(0, 0.0, 1.0, "the quick brown fox")
    transcript = transcript_of(Partial(0, 0.0, 0.9, "the quick", " brown fo"), final)
    assert transcript.finals == [final]
    assert transcript.committed == transcript.draft == ""


def test_the_text_joins_what_the_finals_say() -> None:
    transcript = transcript_of(Final(0, 0, 1, " one "), Final(1, 1, 2, ""), Final(2, 2, 3, "two"), Done(3.0))
    assert transcript.text == "one two"
