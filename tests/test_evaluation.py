"""The parts of `make eval`: what it counts, what it calls a goal and a regression, how it shows them."""

import random

import pytest
import torch

from model.nano.synthesize import EVAL_CLIPS
from streamer.engine import Engine
from streamer.events import Final, Partial, Word
from streamer.options import Options
from tests.benchmarks.delays import Delays, add
from tests.benchmarks.evaluation.bars import BARS, Bar, rows
from tests.benchmarks.evaluation.comparing import regressions
from tests.benchmarks.evaluation.confidence import Judged, best_power, calibration_error, report
from tests.benchmarks.evaluation.corpus import Composer, Speech, with_noise
from tests.benchmarks.evaluation.edges import kept, seams
from tests.benchmarks.evaluation.frontier import STEPS_MS, settings
from tests.benchmarks.evaluation.measures import drafting
from tests.benchmarks.evaluation.playing import Performance, Player, Said, no_ctc_drafts
from tests.benchmarks.evaluation.tables import markdown
from tests.benchmarks.evaluation.voices import Clip, MissingPartError, prepare
from tests.benchmarks.words import Spoken, matches

SAID = [Spoken("the", 0.1, 0.3), Spoken("cat", 0.3, 0.6), Spoken("sat", 0.6, 1.0)]


def partial(committed, draft):
    return Partial(0, 0.0, 1.0, committed, draft)


def test_a_word_in_the_middle_that_is_wrong_does_not_shift_those_behind_it():
    assert matches(["The", "cap", "cap", "sat."], ["the", "cat", "sat"]) == [(0, 0), (3, 2)]
    assert matches([], ["the"]) == []


def test_delays_are_counted_from_the_end_of_each_word():
    final = Final(0, 0.0, 1.6, "the cat sat", tuple(Word(word.text, word.start, word.end, 1.0) for word in SAID))
    delays = Delays()
    add(
        delays,
        [(0.5, partial("", "the")), (0.9, partial("the", " cap")), (1.2, partial("the", " cat")), (1.7, final)],
        SAID,
    )
    assert delays.first_partial == pytest.approx([0.4])
    assert delays.commit == pytest.approx([0.6, 1.1, 0.7])
    assert delays.display == pytest.approx([0.2, 0.6, 0.7])
    assert delays.final == pytest.approx([0.7])
    assert (delays.early, delays.words) == (1, 3)
    assert (sum(delays.erased), sum(delays.shown)) == (1, len("the cat sat")), "the p of cap"


def performance(words, *finals):
    said = [Said(Final(at, start, end, text, ()), end, 0.0) for at, (start, end, text) in enumerate(finals)]
    return Performance(Speech(torch.zeros(16_000), words), said, 0, 0.0, 0, 0, [], 0.0)


def test_a_seam_that_loses_a_word_and_one_that_doubles_one_are_seen():
    words = [Spoken(text, at, at + 0.8) for at, text in enumerate(["one", "two", "three", "four", "five", "six"])]
    lost = seams([performance(words, (0, 2.9, "one two"), (2.9, 6, "four five six"))])
    assert (lost["seams"], lost["words near seams"], lost["doubled"]) == (1, 2, 0)
    assert (lost["found at seams"], lost["found elsewhere"]) == (0.5, 1.0), "three is lost, and four is near"
    doubled = seams([performance(words, (0, 2.9, "one two three"), (2.9, 6, "three four five six"))])
    assert (doubled["found at seams"], doubled["doubled"]) == (1.0, 1)
    assert seams([performance(words, (0, 2.5, "one two three"), (2.9, 6, "three"))])["seams"] == 0, "there was a pause"


def test_a_word_twice_at_a_seam_that_was_said_twice_is_not_doubled():
    words = [Spoken("very", 1.0, 1.4), Spoken("very", 1.5, 2.0), Spoken("good", 2.0, 2.4)]
    assert seams([performance(words, (0, 1.45, "very"), (1.45, 3, "very good"))])["doubled"] == 0


def test_a_first_word_counts_as_lost_only_if_offline_hears_it():
    words = [Spoken("the", 0.0, 0.2), Spoken("cat", 0.2, 0.6)]
    played = [performance(words, (0, 1, "a cat")), performance(words, (0, 1, "a cat"))]
    figures = kept(played, ["the cat", "a cap"])
    assert (figures["first words that offline finds"], figures["first words kept"]) == (1, 0.0)
    assert (figures["last words that offline finds"], figures["last words kept"]) == (1, 1.0)


def test_without_ctc_drafts_the_same_is_written_in_more_forwards(nano, spoken):
    player, speech = Player(Engine(nano)), Speech(spoken[0].samples, [])
    with_drafts = player.play(speech, Options())
    with no_ctc_drafts():
        without = player.play(speech, Options())
    figures = drafting([with_drafts], [without])
    assert figures["texts that differ"] == 0
    assert figures["without drafts"] > figures["forwards per final word"]


def test_a_figure_that_is_missing_meets_no_goal():
    for bar in BARS:
        assert not bar.met(float("nan"))
        assert bar.met(bar.goal)


def test_a_missed_goal_is_bold():
    figures = {bar.measure: bar.goal for bar in BARS}
    assert not any("**" in cell for row in rows({"balanced": figures}) for cell in row)
    worse = figures | {"finals equal to offline": 0.975, "tax": 2.4}
    assert [row[-1] for row in rows({"low": worse}) if "**" in row[-1]] == ["**97.5 %**", "**2.40**"]
    assert Bar("", "", 1.2, "s").shown(float("nan")) == "nan s"


def test_every_kind_of_evidence_is_tried_at_every_step():
    tried = settings(STEPS_MS)
    assert {options.step_ms for options in tried.values()} == set(STEPS_MS)
    policies = [(options.step_ms, options.policy) for options in tried.values()]
    assert all(policies.count(each) <= 2 for each in policies), "the default is tried as evidence and as display"


def test_a_table_is_markdown():
    assert markdown(("", "a"), [("x", 0.12345), ("y", 3)]) == "|  | a |\n| --- | --- |\n| x | 0.123 |\n| y | 3 |"


def results(**figures):
    return {"corpus": {"recordings": {"digest": "a"}}, "parts": {"recordings": figures}}


def test_only_what_is_worse_by_more_than_it_wanders_is_a_regression():
    before = results(**{"WER stream": 0.1, "commit p50": 1.0, "finals equal to offline": 0.9, "retractions": 0})
    well = results(**{"WER stream": 0.05, "commit p50": 1.05, "finals equal to offline": 0.89, "retractions": 0})
    assert regressions(before, well) == []
    bad = results(**{"WER stream": 0.11, "commit p50": 1.2, "finals equal to offline": 0.8, "retractions": 1})
    assert len(regressions(before, bad)) == 4


def test_figures_of_other_audio_are_not_compared():
    bad = results(**{"WER stream": 0.9}) | {"corpus": {"recordings": {"digest": "b"}}}
    assert regressions(results(**{"WER stream": 0.1}), bad) == []


def test_confidence_that_is_too_high_has_an_error_which_a_power_mends():
    chance = random.Random(0)
    values = [chance.random() for _ in range(4000)]
    honest = [Judged(value, chance.random() < value) for value in values]
    assert calibration_error(honest) < 0.03
    assert 0.8 < best_power(honest) < 1.25
    boastful = [Judged(word.confidence**0.5, word.right) for word in honest]
    found = report(boastful[::2], boastful[1::2])
    assert found["error"] > 0.1
    assert found["error with power"] < 0.04


def test_noise_is_as_far_below_the_speech_as_was_asked_whatever_the_pauses():
    speech = torch.cat([0.1 * torch.randn(16_000), torch.zeros(48_000)])
    noise = with_noise(speech, 10) - speech
    assert noise.square().mean().sqrt().item() == pytest.approx(0.1 * 10**-0.5, rel=0.05)


def test_words_of_a_speech_lie_where_their_clips_do(nano, spoken):
    clips = [Clip(each.samples, each.text, each.name) for each in spoken[:2]]
    speech = Composer(nano).speech([[clips[0]], [clips[1]]], 6.0, (1.0, 1.0), seed=0)
    first = clips[0].text.split() + clips[1].text.split()
    assert [word.text for word in speech.words][: len(first)] == first
    second = speech.words[len(clips[0].text.split())]
    assert second.start >= 1.0 + len(clips[0].samples) / 16_000 + 1.0
    assert all(before.start <= after.start for before, after in zip(speech.words, speech.words[1:], strict=False))


def test_voices_that_are_there_are_not_made_again_and_what_is_missing_is_named(tmp_path):
    for name in ("flite", "heldout_slt"):
        (tmp_path / "eval" / name).mkdir(parents=True)
        (tmp_path / "eval" / name / "flite-000.jsonl").write_text("{}\n" * EVAL_CLIPS)
    (tmp_path / "sentences.txt").write_text("nothing to say")
    prepare(tmp_path, ["flite"], None, None)
    with pytest.raises(MissingPartError, match="kokoro cannot speak"):
        prepare(tmp_path, ["kokoro"], None, None)
