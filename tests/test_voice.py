from pathlib import Path

import numpy as np
import pytest
import silero_vad
import torch
from hypothesis import given
from hypothesis import strategies as st

from streamer.voice import CHUNK, CHUNK_MS, LAG_MS, Endpointer, VoiceDetector, VoiceState


@pytest.fixture(scope="module")
def detector():
    return VoiceDetector.load()


def chunks_of(samples, count=None):
    return samples[: (count or len(samples) // CHUNK) * CHUNK]


def test_speech_is_heard_in_every_recording(detector, spoken):
    for each in spoken:
        (probabilities,) = detector.listen([chunks_of(each.samples)], [VoiceState()])
        assert (probabilities > 0.5).float().mean() > 0.7, each.name


def test_it_hears_what_the_package_hears(detector, spoken):
    with pytest.warns(FutureWarning, match="jit"):
        packaged = torch.jit.load(Path(silero_vad.__file__).parent / "data" / "silero_vad.jit")
    samples = chunks_of(spoken[0].samples)
    expected = torch.tensor([packaged(chunk, 16_000).item() for chunk in samples.split(CHUNK)])
    # float32 sums in another order: 4e-6 were seen over 36 s of speech
    torch.testing.assert_close(detector.listen([samples], [VoiceState()])[0], expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize("sound", ["silence", "white noise", "hum", "chord"])
def test_nothing_that_is_not_speech_sounds_like_speech(detector, sound):
    seconds = torch.arange(16_000 * 20) / 16_000
    samples = {
        "silence": torch.zeros_like(seconds),
        "white noise": torch.from_numpy(np.random.default_rng(0).normal(0, 0.1, len(seconds))).float(),
        "hum": 0.2 * torch.sin(2 * torch.pi * 50 * seconds),
        "chord": 0.1 * sum(torch.sin(2 * torch.pi * pitch * seconds) for pitch in (220, 277, 330)),
    }[sound]
    (probabilities,) = detector.listen([chunks_of(samples)], [VoiceState()])
    assert probabilities.max() < 0.35


@given(cuts=st.lists(st.integers(1, 30), min_size=1, max_size=8))
def test_hearing_in_pieces_is_hearing_at_once(detector, spoken, cuts):
    samples = chunks_of(spoken[0].samples, 60)
    (whole,) = detector.listen([samples], [VoiceState()])
    state, heard, at = VoiceState(), [], 0
    for count in [*cuts, 60]:
        piece = samples[at * CHUNK : min(60, at + count) * CHUNK]
        at += count
        if len(piece):
            heard += detector.listen([piece], [state])
    # an LSTM over a sequence multiplies matrices of another shape than step by step: float32 rounding differs
    torch.testing.assert_close(torch.cat(heard), whole, rtol=0, atol=1e-5)


def test_streams_that_are_heard_together_hear_what_each_hears_alone(detector, spoken):
    pieces = [chunks_of(each.samples, count) for each, count in zip(spoken, (50, 3, 21), strict=False)]
    together = detector.listen(pieces, [VoiceState() for _ in pieces])
    for piece, probabilities in zip(pieces, together, strict=True):
        (alone,) = detector.listen([piece], [VoiceState()])
        torch.testing.assert_close(probabilities, alone, rtol=0, atol=1e-5)


def test_a_call_that_fails_changes_no_state(detector, spoken, monkeypatch):
    piece, state = chunks_of(spoken[0].samples, 6), VoiceState()
    (expected,) = detector.listen([piece], [VoiceState()])

    def fail(_):
        raise RuntimeError("no memory")

    with monkeypatch.context() as broken:
        broken.setattr(detector, "_encode", fail)
        with pytest.raises(RuntimeError):
            detector.listen([piece], [state])
    assert torch.equal(detector.listen([piece], [state])[0], expected)


def turns(endpointer, probabilities):
    return [at for at, probability in enumerate(probabilities) if endpointer.notice(probability)]


def test_a_click_is_no_speech():
    assert turns(Endpointer(600, 30), [0.9, 0.9, 0, 0.9, 0] * 5) == []


def test_speech_begins_with_its_third_chunk_and_ends_after_the_endpoint():
    pause = int((600 - LAG_MS) / CHUNK_MS) + 1
    assert turns(Endpointer(600, 30), [0] * 5 + [0.9] * 20 + [0.1] * 40) == [7, 24 + pause]


def test_a_doubtful_chunk_neither_begins_nor_ends_speech():
    assert turns(Endpointer(600, 30), [0.4] * 50) == []
    assert turns(Endpointer(600, 30), [0.9] * 3 + [0.4] * 50) == [2]


def test_a_short_pause_ends_only_a_long_segment():
    pause = [0.1] * 10  # 320 ms
    early = [0.9] * 100 + pause + [0.9] * 100
    late = [0.9] * 700 + pause + [0.9] * 10
    assert len(turns(Endpointer(600, 30), early)) == 1
    assert len(turns(Endpointer(600, 30), late)) == 3  # begins, ends in the pause, begins again


def test_the_pause_asked_for_never_grows_with_the_segment():
    endpointer = Endpointer(600, 30)
    asked = []
    for length_seconds in range(31):
        endpointer.begin(length_seconds)
        asked.append(endpointer.pause_needed_ms())
    assert asked == sorted(asked, reverse=True)
    assert asked[0] == 600 - LAG_MS
    assert asked[-1] == 2 * CHUNK_MS


def test_a_doubtful_chunk_within_a_pause_counts_as_pause():
    pause = int((600 - LAG_MS) / CHUNK_MS) + 1
    assert turns(Endpointer(600, 30), [0.9] * 3 + [0.1] + [0.4] * 50) == [2, 2 + pause]


def test_behind_an_end_that_was_wished_a_click_is_no_speech_either():
    endpointer = Endpointer(600, 30)
    turns(endpointer, [0.9] * 5)
    endpointer.stop()
    assert turns(endpointer, [0.9, 0.9, 0.0]) == []
