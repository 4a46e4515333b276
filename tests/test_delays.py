import pytest

from streamer.delays import MOST_MARKS, Arrivals, Delays
from streamer.events import Done, Final, Partial, SpeechStarted, Word


def live(seconds, late=0.0, chunk=0.1):
    """Delays of a stream whose audio arrives as it is spoken, from moment 0 of the clock on."""
    delays = Delays()
    for count in range(1, round(seconds / chunk) + 1):
        delays.arrivals.add(count * chunk, count * chunk + late)
    return delays


def measured(delays, *told):
    return [(delay.kind, round(delay.seconds, 3)) for now, event in told for delay in delays.take([event], now)]


def test_each_delay_is_counted_from_the_audio_it_is_about():
    final = Final(0, 0.0, 3.0, "so it is", (Word("so", 0.5, 0.7, 1), Word("it", 1.0, 1.2, 1), Word("is", 2.0, 2.2, 1)))
    assert measured(
        live(4.0),
        (0.6, SpeechStarted(0, 0.0)),
        (0.8, Partial(0, 0.0, 0.6, "", "")),
        (1.3, Partial(0, 0.0, 1.2, "", "so")),
        (1.7, Partial(0, 0.0, 1.5, "so", " it")),
        (3.0, Partial(0, 0.0, 2.8, "so it", " is")),
        (3.2, final),
    ) == [
        ("update", 0.2),
        ("update", 0.1),
        ("update", 0.2),
        ("update", 0.2),
        ("first_partial", 0.8),
        ("commit", 1.0),
        ("commit", 1.8),
        ("commit", 1.0),
        ("final", 1.0),
    ]


def test_a_word_that_stands_in_another_word_is_committed_when_it_is_whole():
    final = Final(0, 0.0, 2.0, "is this", (Word("is", 0.1, 0.2, 1), Word("this", 0.5, 0.8, 1)))
    told = (1.0, Partial(0, 0.0, 1.0, "is", " th")), (1.5, Partial(0, 0.0, 1.5, "is th", "")), (2.0, final)
    commits = [seconds for kind, seconds in measured(live(2.0), *told) if kind == "commit"]
    assert commits == [pytest.approx(0.8), pytest.approx(1.2)]


def test_segments_do_not_mix():
    word = (Word("a", 0.1, 0.2, 1),)
    told = (0.5, Partial(0, 0.0, 0.5, "a", "")), (0.6, Final(0, 0.0, 0.5, "a", word))
    later = (1.0, SpeechStarted(1, 0.8)), (1.5, Final(1, 0.8, 1.4, "b", (Word("b", 1.0, 1.1, 1),)))
    assert measured(live(2.0), *told, *later)[-2:] == [("commit", 0.4), ("final", 0.4)]


def test_audio_that_comes_at_once_counts_from_when_it_came():
    delays = Delays()
    delays.arrivals.add(30.0, 5.0)
    assert measured(delays, (6.0, Partial(0, 0.0, 1.0, "", "so"))) == [("update", 1.0)]


def test_what_says_nothing_of_words_is_not_measured():
    assert measured(live(1.0), (1.0, Final(0, 0.0, 1.0, "", ())), (1.0, Done(1.0))) == []
    assert measured(Delays(), (1.0, Partial(0, 0.0, 1.0, "", "so"))) == []


def test_arrivals_of_hours_take_the_memory_of_minutes():
    arrivals = Arrivals()
    for count in range(100_000):
        arrivals.add(count * 0.02, count * 0.02 + 1)
    assert len(arrivals.ends) == len(arrivals.times) <= MOST_MARKS
    assert arrivals.at(1999.0) == pytest.approx(2000.0, abs=0.15)
    assert arrivals.at(0.0) == arrivals.times[0]


def test_audio_that_was_here_already_does_not_come_again_with_the_end():
    arrivals = Arrivals()
    arrivals.add(5.0, 5.0)
    arrivals.add(5.0, 10.0)
    assert arrivals.at(5.0) == 5.0
