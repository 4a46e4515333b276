import pytest

from streamer import Engine, Options
from streamer.events import Final


@pytest.fixture
def engine(nano):
    return Engine(nano)


def finals(events):
    return [(event.segment, event.start, event.end, event.text) for event in events if isinstance(event, Final)]


def test_many_speakers_at_once_get_each_what_they_would_get_alone(engine, spoken):
    voices = [each.samples for each in spoken[::3]]
    alone = []
    for samples in voices:
        stream, events = engine.open(), []
        for at in range(0, len(samples), 4800):
            events += stream.feed(samples[at : at + 4800])
        alone.append(events + stream.finish())

    streams = [engine.open() for _ in voices]
    together = [[] for _ in voices]
    for at in range(0, max(map(len, voices)), 4800):
        for stream, samples in zip(streams, voices, strict=True):
            stream.push(samples[at : at + 4800])
        engine.run()
        for stream, events in zip(streams, together, strict=True):
            events += stream.events()
    for stream, events in zip(streams, together, strict=True):
        stream.end()
        engine.run()
        events += stream.events()
    assert [finals(events) for events in together] == [finals(events) for events in alone]


def test_a_step_without_work_says_so(engine, spoken):
    stream = engine.open()
    assert not engine.step()
    stream.push(spoken[0].samples)
    assert engine.step()
    engine.run()
    assert not engine.step()


def test_a_stream_that_is_closed_gives_its_slot_back(engine, spoken):
    for _ in range(5):
        stream = engine.open()
        stream.feed(spoken[0].samples)
        engine.close(stream)
        assert stream.done
    assert len(engine._cache.lengths) == 1


def test_a_stream_that_is_done_is_forgotten(engine, spoken):
    stream = engine.open(Options(partials=False))
    stream.feed(spoken[0].samples)
    stream.finish()
    assert engine._streams == []
