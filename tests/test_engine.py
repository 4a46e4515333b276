import math
from dataclasses import replace

import pytest
import torch

from model import GraniteSpeech, Wish, WishError
from model.config import WINDOW_FRAMES
from model.features import FRAME_SAMPLES, SAMPLE_RATE
from streamer import Engine, Options
from streamer.engine import ANSWER_POSITIONS, PROMPT_POSITIONS
from streamer.events import Done, Error, Final
from streamer.options import LONGEST_SEGMENT_SECONDS
from streamer.stream import Due


@pytest.fixture
def engine(nano):
    return Engine(nano)


def finals(events):
    return [(event.segment, event.start, event.end, event.text) for event in events if isinstance(event, Final)]


def test_a_stream_that_was_closed_takes_no_more_audio(engine, spoken):
    stream = engine.open()
    stream.feed(spoken[0].samples[:16_000])
    engine.close(stream)
    with pytest.raises(ValueError, match="the stream has ended"):
        stream.feed(spoken[0].samples[16_000:])


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


@pytest.mark.parametrize("bits", ["none", "int8", "int4"])
def test_a_stream_runs_in_bfloat16_and_with_packed_weights(spoken, bits):
    stream = Engine(GraniteSpeech.load("nano", dtype=torch.bfloat16, quantize=bits)).open()
    events = [*stream.feed(spoken[0].samples), *stream.finish()]
    assert any(text for *_, text in finals(events))


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


def test_a_slot_of_the_cache_is_held_by_a_stream_only_while_it_works_on_a_segment(engine, spoken):
    stream = engine.open()
    for each in spoken[:3]:
        stream.push(each.samples)
    while engine.step():
        assert len(engine._cache.lengths) == 1, "segments that wait their turn need no slot"
    stream.finish()
    assert engine._cache._free == [0]


@pytest.mark.parametrize("method", ["chunks", "notice", "due", "span", "hear", "extension", "read"])
def test_a_stream_that_breaks_takes_no_other_with_it(engine, spoken, monkeypatch, method):
    samples = spoken[1].samples
    alone = engine.open()
    expected = finals(alone.feed(samples) + alone.finish())

    broken, other = engine.open(), engine.open()

    def breaks(*_):
        raise RuntimeError("a fault of its own")

    monkeypatch.setattr(type(broken), method, only_for(broken, breaks, getattr(type(broken), method)))
    for stream in (broken, other):
        stream.push(samples)
        stream.end()
    engine.run()
    events = broken.events()
    assert isinstance(events[-1], Error)
    assert not any(isinstance(event, Error) for event in events[:-1])
    assert "a fault of its own" in events[-1].message
    assert finals(other.events()) == expected
    assert engine._streams == []
    assert sorted(engine._cache._free) == list(range(len(engine._cache.lengths)))


def test_a_stream_that_broke_while_somebody_spoke_says_so_once(engine, spoken):
    stream = engine.open()
    stream.feed(spoken[0].samples[:16_000])
    stream.push(spoken[0].samples[16_000:])
    stream.fail(RuntimeError("a fault of its own"))
    engine.run()
    assert [type(event) for event in stream.events()] == [Error]
    assert engine._streams == []


def only_for(one, instead, method):
    return lambda stream, *given: instead() if stream is one else method(stream, *given)


def test_work_that_breaks_the_common_call_ends_only_whose_it_was(engine, spoken, monkeypatch):
    streams = [engine.open() for _ in range(3)]
    encode = type(engine.model).encode

    def choosy(model, spans):
        if any(span.start == 0 and bool((span.features == 77).all()) for span in spans):
            raise RuntimeError("these features cannot be encoded")
        return encode(model, spans)

    monkeypatch.setattr(type(engine.model), "encode", choosy)
    span = type(streams[0]).span

    def poisoned(stream):
        found = span(stream)
        if stream is streams[1]:
            found.features.fill_(77)
        return found

    monkeypatch.setattr(type(streams[0]), "span", poisoned)
    for stream in streams:
        stream.push(spoken[0].samples)
        stream.end()
    engine.run()
    kinds = [type(stream.events()[-1]) for stream in streams]
    assert kinds == [Done, Error, Done]


def test_whoever_goes_on_after_its_stream_broke_gets_the_exception(engine, spoken, monkeypatch):
    stream = engine.open()
    begun = stream.feed(spoken[0].samples[:32_000])
    monkeypatch.setattr(stream._endpointer.__class__, "notice", lambda *_: 1 / 0)
    (error,) = stream.feed(spoken[0].samples[32_000:])
    assert begun
    assert isinstance(error, Error)
    for go_on in (lambda: stream.feed(spoken[1].samples), stream.finish):
        with pytest.raises(ZeroDivisionError):
            go_on()


def test_a_short_step_serves_finals_first_and_then_whoever_waits_longest(engine, spoken):
    ending, short, long = (engine.open(Options(step_ms=300)) for _ in range(3))
    ending.push(spoken[0].samples[:24_000])
    long.push(spoken[1].samples[:40_000])
    short.push(spoken[2].samples[:24_000])
    ending.end()
    order = []
    while work := engine.step(most_frames=1):
        assert len(work.updates) <= 1
        order += work.updates
    assert [due.final for due in order] == sorted((due.final for due in order), reverse=True)
    waited = [due.waiting_samples for due in order if not due.final]
    assert waited == sorted(waited, reverse=True)
    assert len(waited) >= 2


def test_a_step_asks_the_network_once_for_all_streams(engine, spoken, monkeypatch):
    sizes = {"listen": [], "encode": [], "extend": []}

    def count(owner, name):
        call = getattr(owner, name)
        counted = lambda work, *given: sizes[name].append(len(work)) or call(work, *given)  # noqa: E731
        monkeypatch.setattr(owner, name, counted)

    for owner, name in ((engine.detector, "listen"), (engine.model, "encode"), (engine.model, "extend")):
        count(owner, name)
    streams = [engine.open() for _ in range(5)]
    for stream in streams:
        stream.push(spoken[0].samples[:24_000])
    steps = 0
    while engine.step():
        steps += 1
    for name, some in sizes.items():
        assert max(some) == len(streams), name
        assert len(some) <= steps, name


def test_a_stream_that_is_behind_makes_one_long_update_and_leaves_nothing_out(engine, spoken):
    samples = spoken[1].samples

    def updates_of(piece):
        stream, updates = engine.open(Options(step_ms=300)), []
        for at in range(0, len(samples), piece):
            stream.push(samples[at : at + piece])
            while work := engine.step():
                updates += work.updates
        stream.end()
        engine.run()
        return [each for each in updates if not each.final], stream.events()[-1]

    prompt, done = updates_of(4_800)
    behind, done_too = updates_of(len(samples))
    assert len(prompt) > 5
    assert len(behind) == 1
    assert behind[0].new_frames >= sum(each.new_frames for each in prompt)
    assert done == done_too == Done(round(len(samples) / 16_000, 3))


def test_audio_that_waits_is_counted_until_it_is_looked_at(engine, spoken):
    stream = engine.open()
    stream.push(spoken[0].samples[:32_000])
    assert stream.waiting_samples == 32_000
    engine.run()
    assert stream.waiting_samples < 16_000


def test_of_hints_as_many_are_taken_as_have_room(engine, monkeypatch):
    model = engine.model
    monkeypatch.setattr(model.processor, "config", replace(model.config, only_transcribes=False))  # that takes keywords
    options = Options().hinted(["Zürich", "Łódź", "渡辺"] * 30, None)
    prompt = engine.prompt(options)
    assert 200 < len(prompt.prefix) + len(prompt.suffix) <= 256
    with pytest.raises(WishError, match="at most 256 fit, shorten them"):
        engine.prompt(Options(wish=options.wish))
    assert engine.prompt(Options().hinted([], None)) == engine.prompt(Options())


@pytest.mark.parametrize(("instruction", "why"), [("x" * 1000, "at most 256 fit"), ("<|audio|>", "placeholder")])
def test_a_prompt_that_leaves_no_room_for_audio_is_refused(engine, instruction, why):
    with pytest.raises(ValueError, match=why):
        engine.open(Options(wish=Wish(prompt=instruction)))
    assert engine._streams == []


@pytest.mark.parametrize(("most_frames", "served"), [(1, 1), (99, 1), (100, 2), (399, 2), (430, 4), (None, 4)])
def test_a_step_serves_as_many_as_fit_and_nobody_before_who_waits_longer(most_frames, served):
    frames = [60, 40, 300, 30]
    due = [Due(each, each, False, waiting) for each, waiting in zip(frames, [4, 3, 2, 1], strict=True)]
    chosen = Engine._in_turn([(each, each) for each in due], most_frames)  # streams are only handed on
    assert [each for _, each in chosen] == due[:served]


def test_a_prompt_may_take_all_the_positions_that_are_kept_for_it(engine, monkeypatch):
    options = Options(wish=Wish(prompt="write down what is said"))
    prompt = engine.prompt(options)
    tokens = len(prompt.prefix) + len(prompt.suffix)
    monkeypatch.setattr("streamer.engine.PROMPT_POSITIONS", tokens)
    assert engine.prompt(options) == prompt
    monkeypatch.setattr("streamer.engine.PROMPT_POSITIONS", tokens - 1)
    with pytest.raises(WishError, match=f"prompt and keywords make {tokens} tokens"):
        engine.prompt(options)


def test_a_slot_has_room_for_the_longest_segment_and_no_more_than_the_model_has_positions(nano, monkeypatch):
    frames = LONGEST_SEGMENT_SECONDS * SAMPLE_RATE // FRAME_SAMPLES + 1
    embeddings = 3 * math.ceil(frames / WINDOW_FRAMES)
    assert Engine(nano)._cache.capacity >= embeddings + PROMPT_POSITIONS + ANSWER_POSITIONS
    narrow = replace(nano.config.text, max_position_embeddings=60)
    monkeypatch.setattr(nano, "config", replace(nano.config, text=narrow))
    assert Engine(nano)._cache.capacity == 60
