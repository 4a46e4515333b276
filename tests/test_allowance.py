import math

from streamer.allowance import FIRST_SECONDS, PACE, SAVED_SECONDS, SILENT_SECONDS, Allowance, pace


def test_who_speaks_never_waits_and_is_live():
    allowance = Allowance(0.0)
    for tenth in range(1, 600):
        allowance.spend(0.1, tenth / 10)
        assert allowance.is_live(tenth / 10)
        assert not allowance.owed_seconds(tenth / 10)


def test_who_hurries_gets_so_much_more_than_a_speaker_and_is_not_live():
    allowance, now, sent = Allowance(0.0), 0.0, 0.0
    while now < 60:
        now += allowance.owed_seconds(now) / PACE
        allowance.spend(1.0, now)
        sent += 1.0
        assert not allowance.is_live(now) or sent < FIRST_SECONDS
    assert 60 * PACE <= sent <= 60 * PACE + FIRST_SECONDS + 2


def test_who_was_cut_off_for_a_while_may_send_what_was_said_meanwhile_at_once():
    allowance = Allowance(0.0)
    for tenth in range(1, 100):
        allowance.spend(0.1, tenth / 10)
    allowance.spend(SAVED_SECONDS, 20.0)
    assert not allowance.owed_seconds(20.0)
    assert allowance.is_live(21.0)


def test_what_hindered_nobody_is_forgiven():
    allowance = Allowance(0.0)
    allowance.spend(600.0, 1.0)
    assert allowance.owed_seconds(1.0) > 300
    allowance.forgive(1.0)
    assert not allowance.owed_seconds(1.0)
    assert not allowance.is_live(1.0)


def test_a_stream_that_says_nothing_holds_up_nobody():
    allowance = Allowance(0.0)
    assert allowance.is_live(SILENT_SECONDS - 0.1)
    assert not allowance.is_live(SILENT_SECONDS)


def test_those_who_hurry_share_what_leaves_half_of_the_machine_to_who_speaks():
    assert pace(carried=20, live=1, hurrying=1) == 9
    assert pace(carried=20, live=4, hurrying=3) == 2
    assert pace(carried=20, live=9, hurrying=1) == PACE
    assert pace(carried=1.5, live=1, hurrying=2) == PACE
    assert pace(carried=1.5, live=0, hurrying=2) == math.inf


def test_what_was_forgiven_is_not_earned_once_more():
    allowance = Allowance(0.0)
    allowance.spend(10.0, 0.0)
    allowance.forgive(5.0)
    allowance.spend(PACE, 6.0)
    assert not allowance.owed_seconds(6.0)
    allowance.spend(1.0, 6.0)
    assert allowance.owed_seconds(6.0) > 0.99


def test_who_only_waits_for_room_is_nobody_to_be_careful_of():
    allowance = Allowance(0.0)
    allowance.forgive(SILENT_SECONDS)
    assert not allowance.is_live(SILENT_SECONDS)
