from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model import Wish
from model.alignment import align
from model.speech import Span
from streamer import Engine, Options
from streamer.commit import Evidence, Policy, WrittenWord
from streamer.events import Done, Final, Finalized, Partial, SpeechStarted
from streamer.latency import STEADY
from streamer.segment import Segment

CUTS = [1, 159, 160, 161, 1600, 7919]
NEVER = replace(STEADY, commit=())
RASH = Policy(commit=(Evidence(0.0, 1, 0),), last_margin_frames=0, show=(Evidence(0.0, 1, 0),), patience=1)
SHY = Policy(commit=(Evidence(0.9, 1, 20), Evidence(0.3, 2, 20)), show=(Evidence(0.0, 2, 20),), patience=3)
MOMENTS = 300  # single samples fed before larger pieces take over: the point is made, and time is not for free


@pytest.fixture(scope="module")
def engine(nano):
    return Engine(nano)


def play(engine, samples, cuts=(1600,), options=None):
    stream, events, at, turn = engine.open(options), [], 0, 0
    while at < len(samples):
        size = cuts[turn % len(cuts)]
        if size < 100 and turn > MOMENTS:
            size = 1600
        events += stream.feed(samples[at : at + size])
        at, turn = at + size, turn + 1
    return events + stream.finish()


def of(kind, events):
    return [event for event in events if isinstance(event, kind)]


def assert_contract(events):
    """The grammar (speech_started partial* final)* done, and that committed text only grows, finals included."""
    assert isinstance(events[-1], Done)
    open_segment, committed = None, ""
    for event in events[:-1]:
        if isinstance(event, SpeechStarted):
            assert open_segment is None
            open_segment, committed = event.segment, ""
            continue
        assert isinstance(event, Partial | Final)
        assert event.segment == open_segment
        text = event.committed if isinstance(event, Partial) else event.text
        assert text.startswith(committed), f"{committed!r} was taken back: {text!r}"
        committed = text
        if isinstance(event, Final):
            assert all(event.start <= word.start <= word.end <= event.end for word in event.words)
            open_segment = None
    assert open_segment is None


@settings(max_examples=10)
@given(
    which=st.integers(0, 16),
    cuts=st.lists(st.sampled_from([*CUTS, 16_000, 40_000]), min_size=1, max_size=5),
    step_ms=st.sampled_from([300, 450, 600, 1200]),
    policy=st.sampled_from([None, RASH, SHY]),
)
def test_committed_text_is_never_taken_back(engine, spoken, which, cuts, step_ms, policy):
    assert_contract(play(engine, spoken[which].samples, cuts, Options(step_ms=step_ms, policy=policy)))


def test_committed_text_is_never_taken_back_in_a_talk(engine, talk):
    events = play(engine, talk.samples, (4800,), Options(step_ms=600))
    assert_contract(events)
    assert len(of(Final, events)) > 1


@settings(max_examples=8)
@given(which=st.integers(0, 16), cuts=st.lists(st.sampled_from(CUTS), min_size=1, max_size=4))
def test_finals_equal_offline_however_the_audio_is_cut(nano, engine, spoken, which, cuts):
    """Without commitments, that is: those are promises made on less audio, and kept."""
    samples = spoken[which].samples
    finals = of(Final, play(engine, samples, cuts, Options(policy=NEVER)))
    assert finals
    for final in finals:
        segment = samples[round(final.start * 16_000) : round(final.end * 16_000)]
        assert final.text == nano.transcribe(segment)


@pytest.mark.parametrize("steps", range(1, 8))
def test_a_segment_that_ends_while_an_update_is_under_way_is_heard_as_a_whole(nano, engine, spoken, steps):
    samples = spoken[3].samples
    stream = engine.open(Options(step_ms=300, policy=NEVER))
    stream.push(samples[:16_000])
    for _ in range(steps):
        engine.step()
    stream.push(samples[16_000:])
    stream.end()
    engine.run()
    (final,) = of(Final, stream.events())
    assert final.text == nano.transcribe(samples[round(final.start * 16_000) : round(final.end * 16_000)])


def test_without_partials_finals_equal_offline(nano, engine, spoken, talk):
    equal = []
    for samples in [*(each.samples for each in spoken), talk.samples]:
        events = play(engine, samples, (16_000,), Options(partials=False))
        assert not of(Partial, events)
        for final in of(Final, events):
            segment = samples[round(final.start * 16_000) : round(final.end * 16_000)]
            equal.append(final.text == nano.transcribe(segment))
    assert equal
    assert all(equal), f"{sum(equal)} of {len(equal)}"


def test_segments_do_not_depend_on_how_the_audio_is_cut(engine, talk):
    options = Options(partials=False)
    first, second = (
        [(final.start, final.end, final.text) for final in of(Final, play(engine, talk.samples, cuts, options))]
        for cuts in ((1600,), (7919, 40_000))
    )
    assert first == second


@pytest.mark.parametrize(("silence", "cuts"), [(14_400, (14_400, 192_000)), (79_200, (300_000,))])
def test_a_segment_that_fills_in_the_piece_in_which_it_began_is_cut_too(engine, talk, silence, cuts):
    samples = torch.cat([torch.zeros(silence), talk.samples[: 12 * 16_000]])
    events = play(engine, samples, cuts, Options(max_segment_seconds=5.0))
    assert_contract(events)
    finals = of(Final, events)
    assert all(final.end - final.start <= 5.1 for final in finals)
    assert finals[-1].end > len(samples) / 16_000 - 0.5


@pytest.mark.parametrize("partials", [False, True])
def test_a_full_segment_that_is_cut_before_a_pause_loses_nothing_of_what_follows(engine, spoken, partials):
    """The pause goes on behind the cut: it ends the next segment before that is full of silence."""
    words = [each.samples[4000:13_000] for each in spoken[:5]]
    samples = torch.cat([part for word in words for part in (word, torch.zeros(24_000))])
    samples = torch.cat([samples, torch.zeros(12 * 16_000), spoken[5].samples])
    options = Options(max_segment_seconds=5.0, endpoint_ms=3000, partials=partials)
    events = play(engine, samples, (8000,), options)
    assert_contract(events)
    finals = of(Final, events)
    assert finals[-1].end > len(samples) / 16_000 - 0.7
    assert all(final.end > final.start for final in finals)


def test_an_interruption_by_the_user_while_something_is_encoded_loses_nothing(engine, nano, spoken, monkeypatch):
    def interrupted(spans):
        monkeypatch.undo()
        raise KeyboardInterrupt

    samples, stream, events = spoken[0].samples, engine.open(), []
    monkeypatch.setattr(nano, "encode", interrupted)
    with pytest.raises(KeyboardInterrupt):
        stream.feed(samples)
    events += stream.events() + stream.finish()
    assert_contract(events)
    assert [final.text for final in of(Final, events)] == [
        final.text for final in of(Final, play(engine, samples, (len(samples),)))
    ]


def test_words_lie_in_order_within_their_segment(engine, spoken):
    for each in spoken[:4]:
        for final in of(Final, play(engine, each.samples)):
            assert " ".join(word.word for word in final.words) == " ".join(final.text.split())
            times = [time for word in final.words for time in (word.start, word.end)]
            assert times == sorted(times)
            assert final.start <= times[0] <= times[-1] <= final.end
            assert all(0 < word.confidence <= 1 for word in final.words)


def test_somebody_who_never_pauses_is_cut_between_words(engine, spoken):
    loud = [each.samples[4000:-6000] for each in spoken[:6]]
    samples = torch.cat([*loud, *loud])
    events = play(engine, samples, (1600,), Options(max_segment_seconds=6.0, endpoint_ms=3000, step_ms=600))
    assert_contract(events)
    finals = of(Final, events)
    assert len(finals) >= len(samples) / 16_000 / 6.5
    for final in finals:
        assert final.end - final.start <= 6.6
    for before, after in pairwise(finals):
        assert after.start <= before.end + 0.05, "audio between two segments was lost"


@pytest.mark.parametrize(("endpoint_ms", "bound_seconds"), [(400, 0.2), (1500, 0.4)])
def test_who_goes_on_just_after_an_endpoint_is_heard_from_within_that_pause(engine, spoken, endpoint_ms, bound_seconds):
    pause = torch.zeros(16 * (endpoint_ms - 50))
    samples = torch.cat([part for each in spoken[:4] for part in (each.samples, pause)])
    finals = of(Final, play(engine, samples, (1600,), Options(endpoint_ms=endpoint_ms)))
    shared = [before.end - after.start for before, after in pairwise(finals)]
    # a soft consonant may lie there; but of what ended the segment before, no more than half of its pause
    assert 0 < max(shared) <= bound_seconds


def test_what_sounds_like_speech_for_ever_but_has_no_words_ends_nothing(nano, monkeypatch):
    engine = Engine(nano)
    monkeypatch.setattr(engine.detector, "listen", lambda audio, _: [torch.ones(len(each) // 512) for each in audio])
    events = play(engine, torch.zeros(12 * 16_000), (1600,), Options(max_segment_seconds=5.0))
    assert_contract(events)
    assert [final.text for final in of(Final, events)] == ["", "", ""]


def test_who_wants_finals_alone_gets_nothing_else_where_a_full_segment_is_cut(engine, talk):
    events = play(engine, talk.samples, (16_000,), Options(partials=False, max_segment_seconds=6.0))
    assert_contract(events)
    assert len(of(Final, events)) > 4
    assert not of(Partial, events)


def dictated(nano, samples, policy):
    """A segment that has heard these samples, and written what it heard."""
    cache = nano.cache(1000)
    segment = Segment(nano, lambda: nano.dictation(cache, nano.processor.prompt()), policy, 0, 0)
    segment.hearing.feed(samples)
    segment.hear(nano.encode([segment.span()])[0])
    while (extension := segment.extension()) is not None:
        segment.read(nano.extend([extension], cache)[0])
    return segment


def test_punctuation_behind_a_committed_word_makes_no_second_word(nano, spoken):
    segment = dictated(nano, spoken[0].samples, STEADY)
    dictation, before = segment.dictation, segment.words
    dictation.committed, comma = before[2].tokens, nano.processor.encode(",")
    written, values = list(dictation.tokens), list(dictation.log_probs)
    dictation.tokens = written[: dictation.committed] + comma + written[dictation.committed :]
    dictation.log_probs = values[: dictation.committed] + [-0.1] * len(comma) + values[dictation.committed :]
    segment._conclude(written)
    assert [word.text for word in segment.words[:4]] == [
        *(word.text for word in before[:2]),
        before[2].text + ",",
        before[3].text,
    ]
    assert [word.start for word in segment.words] == pytest.approx([word.start for word in before], abs=3)


@pytest.fixture
def segment(nano):
    """One that has heard ten seconds, to be given words."""
    cache = nano.cache(64)
    segment = Segment(nano, lambda: nano.dictation(cache, nano.processor.prompt()), STEADY, 0, 0)
    segment.hearing.log_probs, segment.voiced_samples = torch.zeros(500, 348), 500 * 320
    return segment


@pytest.mark.parametrize(("cut_off", "last", "committed"), [(False, "w2", 2), (True, "w2", 1), (False, "w\ufffd", 1)])
def test_half_a_word_or_character_is_not_promised(nano, monkeypatch, cut_off, last, committed):
    cache = nano.cache(64)
    segment = Segment(nano, lambda: nano.dictation(cache, nano.processor.prompt()), RASH, 0, 0)
    segment.hearing.log_probs = torch.zeros(500, 348)
    segment.dictation.tokens, segment.dictation.log_probs = [5, 6], [-0.1, -0.1]
    segment.dictation.cut_off, segment._updates = cut_off, [1, 1]
    words = [WrittenWord("w1", 1, 10, 20), WrittenWord(last, 2, 30, 40)]
    monkeypatch.setattr(segment, "_place_words", lambda: words)
    segment._conclude([5, 6])
    assert segment.dictation.committed == committed


def test_what_an_update_did_not_read_is_read_later(nano, spoken, monkeypatch):
    """An update may have nothing to write down; what it has encoded anew is then read by the next one."""
    cache = nano.cache(1000)
    segment, other = (
        Segment(nano, lambda: nano.dictation(cache, nano.processor.prompt()), NEVER, 0, 0) for _ in range(2)
    )
    limits = iter([1, 0, 50])
    monkeypatch.setattr("streamer.segment.token_limit", lambda *_, **__: next(limits))
    for start, end in pairwise((0, 20_000, 26_000, 34_000)):
        segment.dictation.tokens, segment.dictation.log_probs = [], []  # as if nothing had been said so far
        segment.hearing.feed(spoken[0].samples[start:end])
        segment.hear(nano.encode([segment.span()])[0])
        while (extension := segment.extension()) is not None:
            segment.read(nano.extend([extension], cache)[0])
    other.dictation.begin(segment.hearing.embeddings, 0, 50)
    while other.dictation.writing:
        other.dictation.read(nano.extend([other.dictation.extension()], cache)[0])
    assert segment.dictation.tokens == other.dictation.tokens
    assert segment.dictation.log_probs == pytest.approx(other.dictation.log_probs, abs=1e-4)


def test_audio_that_the_model_has_no_positions_for_is_refused(nano, spoken, monkeypatch):
    narrow = replace(nano.config.text, max_position_embeddings=60)
    monkeypatch.setattr(nano, "config", replace(nano.config, text=narrow))
    assert nano.transcribe(spoken[0].samples[:16_000])
    with pytest.raises(ValueError, match="4 s of audio are too long for this model at once; stream it"):
        nano.transcribe(torch.cat([spoken[0].samples, spoken[0].samples])[:64_000])


def test_no_text_stands_where_the_model_has_no_positions(nano, spoken, monkeypatch):
    samples, whole = spoken[0].samples[:16_000], nano.transcribe(spoken[0].samples[:16_000], max_tokens=100)
    (heard,) = nano.encode([Span(nano.features(samples))])
    prompt = nano.processor.prompt(nano.processor.instruction(Wish()))
    read = len(prompt.prefix) + len(heard.embeddings) + len(prompt.suffix)
    draft = nano.processor.encode(nano.alphabet.text(heard.log_probs))

    def narrowed(positions):
        narrow = replace(nano.config.text, max_position_embeddings=positions)
        monkeypatch.setattr(nano, "config", replace(nano.config, text=narrow))
        return nano.transcribe(samples, max_tokens=100)

    assert whole
    with pytest.raises(ValueError, match="1 s of audio are too long"):
        narrowed(read + len(draft))
    assert narrowed(read + len(draft) + 1).startswith(whole[:5])


def words_at(*places):
    return [WrittenWord("word", tokens, *place) for tokens, place in enumerate(places, start=1)]


@pytest.mark.parametrize(
    ("words", "committed", "voiced_frames", "cut"),
    [
        (words_at((310, 330), (340, 400), (420, 470)), 0, 500, 410),  # between words, not in the one being said
        (words_at((310, 330), (340, 400), (420, 470)), 3, 500, 485),  # all is promised: there is no other place
        (words_at((310, 330), (340, 400), (405, 440)), 0, 455, 477),  # nobody speaks behind the last word
        (words_at((310, 330), (390, 400), (402, 470)), 2, 500, 401),  # behind what is promised
        (words_at((10, 20), (180, 190)), 0, 500, 345),  # all gaps are too early
        ([], 0, 500, 500),
    ],
)
def test_a_segment_is_cut_where_nobody_speaks(segment, words, committed, voiced_frames, cut):
    segment.words, segment.dictation.committed = words, committed
    segment.voiced_samples = voiced_frames * 320
    assert segment.cut_frame() == cut


def test_a_segment_whose_words_cannot_be_spelled_is_cut_where_the_head_writes_nothing(segment):
    """A head that hears letters, and a text of others: no word has a place, but pauses have."""
    labels = torch.full((500,), 5)
    for start, end in ((310, 330), (400, 440), (470, 480), (490, 500)):
        labels[start:end] = 0
    labels[420] = 1  # the space between two words
    segment.hearing.log_probs = torch.nn.functional.one_hot(labels, 29).float().log()
    segment.voiced_samples = 500 * 320
    segment.words = [WrittenWord("渡", 1, 0, 250), WrittenWord("辺", 2, 250, 375), WrittenWord("濱", 3, 375, 500)]
    assert segment.cut_frame() == 420
    segment.dictation.committed = 2
    assert segment.cut_frame() == 420, "behind what is promised"
    segment.words[1] = WrittenWord("辺", 2, 250, 450)
    segment.words[2] = WrittenWord("濱", 3, 450, 500)
    assert segment.cut_frame() == 475


def test_the_words_of_a_translation_share_its_time(engine, nano, spoken, monkeypatch):
    monkeypatch.setattr(nano.processor, "config", replace(nano.config, only_transcribes=False))
    stream = engine.open(Options(wish=Wish(task="translate", target_language="de"), partials=False))
    (final,) = of(Final, stream.feed(spoken[0].samples) + stream.finish())
    assert len(final.words) > 2
    lengths = [word.end - word.start for word in final.words]
    assert max(lengths) - min(lengths) < 0.05
    assert (final.words[0].start, final.words[-1].end) == pytest.approx((final.start, final.end), abs=0.03)


@pytest.mark.parametrize(
    ("shown", "seconds", "voiced", "due"),
    [
        ("", 0.65, 0.65, True),  # the first words are not waited for
        ("so", 0.65, 0.65, False),  # somebody speaks: two windows are to come together
        ("so", 0.95, 0.95, True),  # and they have
        ("so", 0.70, 0.58, True),  # nobody speaks, and what was said is all there
        ("so", 0.62, 0.58, False),  # perhaps somebody still speaks
        ("so", 0.75, 0.64, False),  # what was said ends in a window that is not whole yet
        ("so", 0.95, 0.28, False),  # nothing was said since
    ],
)
def test_an_update_waits_for_two_windows_where_that_gains_something(segment, shown, seconds, voiced, due):
    segment.hearing.log_probs, segment._shown = torch.zeros(15, 348), (shown, "")  # one window is heard
    segment.hearing.samples, segment.voiced_samples = round(seconds * 16_000), round(voiced * 16_000)
    assert bool(segment.due_frames(2)) == due


def test_a_client_may_end_a_segment_itself(engine, nano, spoken):
    samples = spoken[1].samples
    middle = len(samples) // 2
    stream = engine.open()
    first = stream.feed(samples[:middle])
    assert not of(Final, first)
    first += stream.finalize("here")
    assert first[-1] == Finalized("here")
    assert isinstance(first[-2], Final)
    assert first[-2].end == round(middle / 16_000, 3)
    rest = stream.feed(samples[middle:]) + stream.finish()
    assert_contract([event for event in first + rest if not isinstance(event, Finalized)])
    assert of(Final, rest)[0].start >= first[-2].end - 0.3


def test_finalize_without_speech_is_answered_at_once(engine):
    stream = engine.open()
    assert stream.finalize("a") == [Finalized("a")]
    stream.feed(torch.zeros(100))
    assert stream.finalize("b") == [Finalized("b")]
    assert stream.feed(torch.zeros(16_000)) == []
    assert stream.finish() == [Done(round(16_100 / 16_000, 3))]


def test_what_follows_a_finalize_that_came_where_all_was_heard_is_heard_too(engine):
    stream = engine.open()
    stream.feed(torch.zeros(20 * 512))
    stream.mark("here")
    stream.push(torch.zeros(20 * 512))
    assert stream.finish() == [Finalized("here"), Done(round(40 * 512 / 16_000, 3))]


def test_finalize_is_answered_behind_the_finals_that_lie_before_it(engine, spoken):
    stream = engine.open()
    for name, each in zip("abc", spoken, strict=False):
        stream.push(each.samples)
        stream.mark(name)
    stream.end()
    engine.run()
    kinds = [
        event.id if isinstance(event, Finalized) else "."
        for event in stream.events()
        if type(event) in (Final, Finalized)
    ]
    assert "".join(kinds).replace(".", "") == "abc"
    assert kinds[0] == "."
    assert kinds.index("b") > kinds.index("a") + 1


def noise(seconds):
    return torch.from_numpy(np.random.default_rng(1).normal(0, 0.05, seconds * 16_000)).float()


@pytest.mark.parametrize("samples", [torch.zeros(0), torch.zeros(1), torch.zeros(257), torch.zeros(160_000), noise(60)])
def test_no_speech_gives_no_words(engine, samples):
    assert play(engine, samples, (16_000,)) == [Done(round(len(samples) / 16_000, 3))]


@pytest.mark.parametrize("count", [0, 1, 100, 256, 257])
def test_a_few_samples_are_no_speech(engine, spoken, count):
    assert play(engine, spoken[0].samples[8000 : 8000 + count]) == [Done(round(count / 16_000, 3))]


def test_samples_that_are_no_numbers_are_silence(engine, spoken):
    samples = spoken[0].samples.clone()
    samples[100:200], samples[300], samples[301] = float("nan"), float("inf"), float("-inf")
    assert of(Final, play(engine, samples))


def test_samples_of_another_kind_are_refused(engine):
    stream = engine.open()
    with pytest.raises(ValueError, match=r"shape \[2, 8\]"):
        stream.feed(torch.zeros(2, 8))
    with pytest.raises(ValueError, match="int16"):
        stream.feed(np.zeros(8, np.int16))
    engine.close(stream)


def test_a_stream_that_has_ended_takes_no_more(engine):
    stream = engine.open()
    stream.finish()
    with pytest.raises(ValueError, match="ended"):
        stream.feed(torch.zeros(8))


@pytest.mark.parametrize("wrong", [{"step_ms": 0}, {"endpoint_ms": 10}, {"max_segment_seconds": 31.0}])
def test_options_that_make_no_sense_are_refused(wrong):
    ((name, value),) = wrong.items()
    with pytest.raises(ValueError, match=f"{name} is {value}"):
        Options(**wrong)


def test_words_of_a_final_lie_where_the_whole_segment_has_them_and_are_as_likely_as_their_own_tokens(
    nano, engine, spoken, monkeypatch
):
    ended, finish = [], Segment._finish
    monkeypatch.setattr(
        Segment,
        "_finish",
        lambda it: ended.append((it.hearing.log_probs, list(it.dictation.log_probs), it.words)) or finish(it),
    )
    for each in spoken[:6]:
        for final in of(Final, play(engine, each.samples, options=Options(step_ms=600))):
            frames, log_probs, written = ended.pop(0)
            spans = align([word.word for word in final.words], frames, nano.alphabet)
            times = [(final.start + 0.02 * span.start, final.start + 0.02 * span.end) for span in spans]
            assert [word.start for word in final.words] == pytest.approx([start for start, _ in times], abs=2e-3)
            assert [word.end for word in final.words] == pytest.approx([end for _, end in times], abs=0.021)
            firsts = [0, *(word.tokens for word in written)]
            own = [np.mean(log_probs[first : word.tokens]) for first, word in zip(firsts, written, strict=False)]
            sure = np.exp(nano.config.confidence_power * np.array(own))
            assert [word.confidence for word in final.words] == pytest.approx(list(sure), abs=2e-3)


def test_confidence_is_raised_to_the_power_that_was_measured_for_the_checkpoint(nano, engine, spoken, monkeypatch):
    words = []
    for power in (1.0, 2.0):
        monkeypatch.setattr(nano, "config", replace(nano.config, confidence_power=power))
        (final,) = of(Final, play(engine, spoken[0].samples, options=Options(partials=False)))
        words.append(final.words)
    plain, raised = words
    assert [word.word for word in raised] == [word.word for word in plain]
    assert [word.confidence for word in raised] == pytest.approx([word.confidence**2 for word in plain], abs=2e-3)


def test_words_that_cannot_be_aligned_stand_where_hearing_ended(nano, spoken, monkeypatch):
    monkeypatch.setattr("streamer.segment.align", lambda *_: None)
    segment = dictated(nano, spoken[0].samples, RASH)
    heard = segment.hearing.heard
    assert {(word.start, word.end) for word in segment.words} == {(heard, heard)}


def test_who_wants_finals_alone_is_not_behind_while_a_segment_is_open(engine, talk):
    stream = engine.open(Options(partials=False, endpoint_ms=3000))
    stream.feed(talk.samples[: 15 * 16_000])
    assert stream.waiting_samples < 16_000
    stream.drop()


def test_a_finalize_where_a_segment_is_just_full_is_answered_and_the_stream_goes_on(nano, monkeypatch):
    engine = Engine(nano)
    monkeypatch.setattr(engine.detector, "listen", lambda audio, _: [torch.ones(len(each) // 512) for each in audio])
    stream, full = engine.open(Options(max_segment_seconds=5.0)), 156 * 512  # as much as a segment may get
    stream.push(torch.zeros(full))
    stream.mark("here")
    events = stream.feed(torch.zeros(48_000)) + stream.finish()
    assert Finalized("here") in events
    assert events[-1] == Done(round((full + 48_000) / 16_000, 3))


@pytest.mark.parametrize("chunks", [3, 20])
def test_a_segment_knows_up_to_where_somebody_spoke(engine, monkeypatch, chunks):
    monkeypatch.setattr(engine.detector, "listen", lambda audio, _: [each.view(-1, 512).amax(1) for each in audio])
    stream = engine.open(Options(endpoint_ms=3000))
    stream.feed(torch.cat([torch.ones(chunks * 512), torch.zeros(20 * 512)]))
    assert stream._segments[0].voiced_samples == chunks * 512
    stream.drop()


def test_no_more_is_written_than_the_model_has_positions_for(nano, spoken, monkeypatch):
    samples = spoken[0].samples[:32_000]
    three, whole = (nano.transcribe(samples, max_tokens=tokens) for tokens in (3, 100))
    (heard,) = nano.encode([Span(nano.features(samples))])
    prompt = nano.processor.prompt(nano.processor.instruction(Wish()))
    read = len(prompt.prefix) + len(heard.embeddings) + len(prompt.suffix)
    narrow = replace(nano.config.text, max_position_embeddings=read + 3)
    monkeypatch.setattr(nano, "config", replace(nano.config, text=narrow))
    monkeypatch.setattr(nano.alphabet, "text", lambda _: "")  # a draft would need positions, too
    assert whole != three
    assert nano.transcribe(samples, max_tokens=100) == three
