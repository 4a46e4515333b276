import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.speech import Span
from streamer.hearing import OVERLAP_FRAMES, Hearing

SECOND = 16_000


def hearing_of(model):
    return Hearing(model.features, model.config.window_embeddings)


def hear(model, hearing):
    span = hearing.span()
    (heard,) = model.encode([span])
    return span, hearing.take(span, heard)


def offline(model, samples):
    (heard,) = model.encode([Span(model.features(samples))])
    return heard


@pytest.fixture(scope="module")
def speech(talk):
    return talk.samples[: 14 * SECOND]


@settings(max_examples=12)
@given(
    seconds=st.sampled_from([0.01, 0.1, 0.31, 1.0, 3.99, 4.0, 4.02, 7.7, 8.3, 13.0]),
    cuts=st.lists(st.sampled_from([1, 159, 160, 161, 1600, 7919, 16_000, 70_000]), min_size=1, max_size=6),
)
def test_a_segment_heard_in_pieces_ends_like_one_heard_at_once(nano, speech, seconds, cuts):
    samples = speech[: int(seconds * SECOND)]
    hearing, at, turn = hearing_of(nano), 0, 0
    while at < len(samples):
        size = cuts[turn % len(cuts)]
        piece = samples[at : at + (size if size > 1 or at < 2000 else 4000)]  # a minute of single samples is no news
        hearing.feed(piece)
        at, turn = at + len(piece), turn + 1
        if hearing.windows > hearing.windows_heard and turn % 3 == 0:
            hear(nano, hearing)
    hearing.ended = True
    hear(nano, hearing)
    whole = offline(nano, samples)
    # the same encoding of features that differ by float32 rounding at most
    torch.testing.assert_close(hearing.embeddings, whole.embeddings, rtol=0, atol=1e-4)
    torch.testing.assert_close(hearing.log_probs.exp(), whole.log_probs.exp(), rtol=0, atol=1e-4)


@settings(max_examples=10)
@given(windows=st.lists(st.integers(1, 6), min_size=2, max_size=8))
def test_a_draft_has_all_its_frames_and_embeddings(nano, speech, windows):
    hearing, fed = hearing_of(nano), 0
    for count in windows:
        piece = speech[fed : fed + count * 4800 + (256 if not fed else 0)]
        fed += len(piece)
        hearing.feed(piece)
        hear(nano, hearing)
        assert hearing.heard == 15 * hearing.windows
        assert len(hearing.log_probs) == hearing.heard
        assert len(hearing.embeddings) == 3 * hearing.windows
        assert hearing.embeddings.isfinite().all()


def test_until_it_goes_on_from_an_edge_a_draft_is_exact(nano, speech):
    hearing = hearing_of(nano)
    hearing.feed(speech[: 5 * SECOND])
    hear(nano, hearing)
    samples = speech[: 5 * SECOND]
    (whole,) = nano.encode([Span(nano.features(samples)[: hearing.heard])])
    torch.testing.assert_close(hearing.embeddings, whole.embeddings, rtol=0, atol=1e-4)


def test_an_update_costs_the_same_however_long_the_segment(nano, speech):
    hearing, frames = hearing_of(nano), []
    for at in range(0, len(speech), 9600):
        hearing.feed(speech[at : at + 9600])
        span, _ = hear(nano, hearing)
        frames.append(len(span.features))
    assert max(frames[2:]) <= 30 + OVERLAP_FRAMES + 15


def test_only_embeddings_from_the_first_changed_one_on_change(nano, speech):
    hearing, before = hearing_of(nano), torch.empty(0, nano.config.text.hidden_size)
    for at in range(0, len(speech), 9600):
        hearing.feed(speech[at : at + 9600])
        _, first = hear(nano, hearing)
        assert torch.equal(hearing.embeddings[:first], before[:first])
        before = hearing.embeddings
    assert first > 0.7 * len(before)


def test_a_peak_that_comes_late_lifts_the_floor_of_the_whole_final(nano):
    quiet = torch.zeros(9 * SECOND)
    quiet[::160] = 1e-4
    loud = torch.sin(torch.arange(SECOND) * 0.3)
    hearing = hearing_of(nano)
    for piece in (*quiet.split(9600), loud):
        hearing.feed(piece)
        hear(nano, hearing)
    hearing.ended = True
    hear(nano, hearing)
    whole = offline(nano, torch.cat([quiet, loud]))
    torch.testing.assert_close(hearing.embeddings, whole.embeddings, rtol=0, atol=1e-4)


def test_what_is_not_encoded_again_has_seen_600_ms_of_what_follows(nano, speech):
    hearing, heard = hearing_of(nano), 0
    for at in range(0, 4 * SECOND, 4800):
        hearing.feed(speech[at : at + 4800])
        span, _ = hear(nano, hearing)
        assert heard - span.start >= 30 or span.start == 0
        heard = hearing.heard
    assert span.start == heard - 15 - 30, "and no more of it is encoded again"


def test_new_frames_lie_over_the_floor_of_all_that_was_heard(nano):
    samples = torch.sin(torch.arange(4 * SECOND) * 0.3)
    samples[SECOND:] *= 1e-6
    hearing = hearing_of(nano)
    for piece in samples.split(9600):
        hearing.feed(piece)
        span, _ = hear(nano, hearing)
    end = span.start + len(span.features)
    assert span.start * 320 > SECOND, "nothing loud is in it"
    torch.testing.assert_close(span.features, nano.features(samples)[span.start : end], rtol=0, atol=1e-5)


def test_a_final_that_is_asked_for_again_is_of_the_same_frames(nano, speech):
    hearing = hearing_of(nano)
    hearing.feed(speech[:SECOND])
    hearing.ended = True
    assert torch.equal(hearing.span().features, hearing.span().features)


@pytest.mark.parametrize("samples", [0, 1, 256, 257, 319, 320])
def test_a_final_is_due_however_short_its_segment(nano, speech, samples):
    hearing = hearing_of(nano)
    hearing.feed(speech[:samples])
    hearing.ended = True
    assert hearing.due_frames == 1
    hear(nano, hearing)
    assert hearing.heard <= 1


@pytest.mark.parametrize("piece", [4800, 12_345])
def test_frames_that_are_due_are_those_that_are_then_encoded_and_the_new_ones_are_counted(nano, speech, piece):
    hearing = hearing_of(nano)
    for at in range(0, 4 * SECOND, piece):
        hearing.feed(speech[at : at + piece])
        if hearing.windows > hearing.windows_heard:
            due, new, before = hearing.due_frames, hearing.new_frames, hearing.heard
            span, _ = hear(nano, hearing)
            assert (due, new) == (len(span.features), hearing.heard - before)
            assert hearing.windows == hearing.windows_heard
    hearing.ended = True
    due, new, before = hearing.due_frames, hearing.new_frames, hearing.heard
    span, _ = hear(nano, hearing)
    assert due == pytest.approx(len(span.features), abs=1)
    assert new == pytest.approx(hearing.heard - before, abs=1)
