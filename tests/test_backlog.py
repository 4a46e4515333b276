import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer import backlog
from streamer.backlog import Backlog


def tell_all(log):
    told = []
    while said := log.next():
        told.append((said.seq, said.text))
        log.told()
    return told


def filled(*texts):
    log = Backlog()
    for text in texts:
        log.append(text)
    return log


def test_events_are_told_in_order_and_once():
    log = filled("a", "b")
    assert tell_all(log) == [(1, "a"), (2, "b")]
    assert log.next() is None
    log.append("c")
    assert tell_all(log) == [(3, "c")]


@given(st.lists(st.integers(0, 9) | st.just("say") | st.just("tell"), max_size=60))
def test_a_reader_that_always_says_what_it_has_misses_nothing_and_gets_nothing_twice(steps):
    log, has = Backlog(), []
    for step in steps:
        if step == "say":
            log.append(str(log.count))
        elif step == "tell":
            if said := log.next():
                has.append(said.text)
                log.told()
        else:  # the last of what was told was lost on the way
            has = has[: max(0, len(has) - step)]
            log.rewind(len(has))
    has += [text for _, text in tell_all(log)]
    assert has == [str(number) for number in range(log.count)]


def test_what_reached_the_client_unnoticed_is_not_told_again():
    log = filled("a", "b", "c")
    log.rewind(2)
    assert tell_all(log) == [(3, "c")]


def test_it_is_full_while_too_many_events_or_bytes_wait(monkeypatch):
    monkeypatch.setattr(backlog, "MOST_EVENTS", 3)
    monkeypatch.setattr(backlog, "MOST_BYTES", 10)
    log = filled("a", "b")
    assert not log.full
    log.append("c")
    assert log.full
    log.told()
    assert not log.full
    log.told()
    log.append("123456789")
    assert log.full
    tell_all(log)
    assert not log.full


def test_bytes_are_counted_and_not_letters(monkeypatch):
    monkeypatch.setattr(backlog, "MOST_BYTES", 6)
    assert filled("日本").full
    log = filled("日", "本", "語")
    tell_all(log)
    assert log.forgotten == 1


@pytest.mark.parametrize("texts", [["x"] * 20, ["x" * 6] * 20])
def test_old_events_that_were_told_are_forgotten(monkeypatch, texts):
    monkeypatch.setattr(backlog, "MOST_EVENTS", 5)
    monkeypatch.setattr(backlog, "MOST_BYTES", 13)
    log = filled(*texts)
    assert log.forgotten == 0  # nothing that waits is
    tell_all(log)
    assert log.forgotten == 20 - (5 if len(texts[0]) == 1 else 2)
    log.rewind(log.forgotten)
    assert [seq for seq, _ in tell_all(log)] == list(range(log.forgotten + 1, 21))


def test_what_must_be_told_again_waits_like_what_never_was(monkeypatch):
    monkeypatch.setattr(backlog, "MOST_BYTES", 10)
    log = filled("12345", "12345")
    assert log.full
    tell_all(log)
    log.rewind(0)
    assert log.full
    log.told()
    assert not log.full
    log.append("12345")
    assert log.full
