import pytest

from streamer.load import LONGEST_STEP_SECONDS, MEMORY_SECONDS, LoadMeter
from streamer.stream import Due

PARTIAL, FINAL = Due(60, 30, False, 0), Due(300, 0, True, 0)  # the partial brings 600 ms


def run(meter, seconds, streams, busy, updates):
    """So many seconds with so many streams, in each of which the thread worked so long for these updates."""
    start = meter._now
    for second in range(seconds):
        meter.pass_time(start + second + 1, streams)
        meter.add(busy, updates)


def test_before_anything_is_measured_the_guess_counts():
    meter = LoadMeter(guess=0.2, now=0.0)
    for streams in range(4):
        meter.pass_time(0.0, streams)
        assert meter.refusal() is None
    meter.pass_time(0.0, 4)
    assert "carries about 4" in meter.refusal()


def test_the_first_speaker_is_always_welcome():
    assert LoadMeter(guess=3.0, now=0.0).refusal() is None


def test_what_is_measured_takes_the_place_of_the_guess():
    meter = LoadMeter(guess=0.2, now=0.0)
    run(meter, 100, 10, 0.3, [FINAL] * 3)
    assert meter.refusal() is None
    assert meter.busy == pytest.approx(0.3, rel=0.1)
    assert meter.load(10, 0.0).needed < 0.52


def test_a_machine_that_is_busy_with_short_updates_can_carry_more():
    updates = [PARTIAL] * 10
    meter = LoadMeter(guess=0.05, now=0.0)
    run(meter, 100, 10, 1.0, updates)
    assert meter.busy == pytest.approx(1.0)
    assert meter.update_seconds == pytest.approx(0.6)
    assert meter.refusal() is None
    assert meter.load(10, 0.0).needed == pytest.approx(0.6 / LONGEST_STEP_SECONDS, rel=0.2)


def test_a_machine_that_is_busy_with_the_longest_updates_refuses():
    meter = LoadMeter(guess=0.01, now=0.0)
    run(meter, 100, 10, 1.0, [Due(90, 60, False, 0)] * 5)
    assert "has 10" in meter.refusal()


def test_a_recording_that_comes_faster_than_speech_is_as_many_speakers():
    meter = LoadMeter(guess=0.1, now=0.0)
    for second in range(100):
        meter.pass_time(second + 1.0, 1)
        meter.add(1.0, [FINAL] * 3, audio_seconds=20.0)
    assert meter.busy == pytest.approx(1.0)
    assert meter.load(1, 0.0).needed < 0.08
    assert meter.refusal() is None


def test_finals_cannot_be_made_fewer():
    meter = LoadMeter(guess=0.01, now=0.0)
    run(meter, 100, 10, 1.0, [FINAL] * 3)
    assert meter.refusal() is not None


def test_quiet_time_counts_the_same_however_often_it_is_looked_at():
    often, once = LoadMeter(guess=0.1, now=0.0), LoadMeter(guess=0.1, now=0.0)
    run(often, 300, 1, 0.0, [])
    once.pass_time(300.0, 1)
    for meter in (often, once):
        assert meter.load(1, 0.0).needed == pytest.approx(0.1 * 20 / (20 + MEMORY_SECONDS), rel=1e-6)


def test_the_past_fades():
    meter = LoadMeter(guess=0.01, now=0.0)
    run(meter, 60, 10, 1.0, [FINAL])
    assert meter.refusal() is not None
    meter.pass_time(meter._now + 10 * MEMORY_SECONDS, 0)
    assert meter.busy < 0.01


def test_updates_of_an_hour_ago_are_none_of_now():
    meter = LoadMeter(guess=0.2, now=0.0)
    run(meter, 30, 2, 0.3, [PARTIAL] * 4)
    assert meter.update_seconds > 0
    meter.pass_time(3600.0, 0)
    assert meter.update_seconds == 0


@pytest.mark.parametrize(
    ("before", "after", "audio_seconds"),
    [([PARTIAL] * 10, [FINAL] * 3, 0.0), ([FINAL] * 3, [PARTIAL] * 10, 0.0), ([FINAL], [FINAL], 600.0)],
    ids=["partials before", "finals before", "a recording before"],
)
def test_work_of_long_ago_does_not_colour_that_of_now(before, after, audio_seconds):
    then_quiet, new = LoadMeter(guess=0.01, now=0.0), LoadMeter(guess=0.01, now=0.0)
    run(then_quiet, 100, 10, 1.0, before)
    then_quiet.add(1.0, [], audio_seconds)
    for meter in (then_quiet, new):
        meter.pass_time(100 + 20 * MEMORY_SECONDS, 0)
        run(meter, 60, 10, 1.0, after)
    assert then_quiet.load(10, 0.0).needed == pytest.approx(new.load(10, 0.0).needed, rel=1e-4)


def test_updates_longer_than_the_longest_spare_nothing_and_cost_nothing_more():
    needed = []
    for new_frames in (round(LONGEST_STEP_SECONDS * 50), 300):
        meter = LoadMeter(guess=0.01, now=0.0)
        run(meter, 100, 10, 0.5, [Due(330, new_frames, False, 0)] * 2)
        needed.append(meter.load(10, 0.0).needed)
    assert needed[1] == pytest.approx(needed[0])


def test_a_clock_that_goes_back_takes_nothing_away():
    meter = LoadMeter(guess=0.1, now=0.0)
    run(meter, 30, 2, 0.3, [FINAL])
    busy = meter.busy
    meter.pass_time(meter._now - 20, 2)
    assert meter.busy == busy


def test_a_refusal_never_says_that_fewer_are_carried_than_there_are():
    meter = LoadMeter(guess=0.01, now=0.0)
    run(meter, 100, 10, 1.0, [FINAL] * 3)
    assert meter.carried < 10
    assert meter.refusal() == "this machine carries about 10 such streams with this model, and has 10"
