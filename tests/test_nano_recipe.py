"""The recipe of the embedded model, end to end and small: a few clips, a few steps, few weights."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jiwer
import numpy as np
import pytest
import soundfile
import torch

from model import GraniteSpeech
from model.alignment import BLANK, Alphabet
from model.config import SpeechConfig
from model.features import FFT_SIZE, LogMel
from model.nano import align, average, batches, evaluate, export, grow, mishearing, synthesize, texts, train
from model.nano.augment import Distortion, Ear
from model.nano.batches import Corpus, Lessons
from model.nano.language_stage import Copying
from model.nano.mishearing import Mishearing
from model.nano.network import ALPHABET, PAD, hub_config, network_of, new_network
from model.nano.optimizer import Optimizer, orthogonal
from model.nano.shards import Shard, ShardWriter
from model.nano.templates import TEMPLATES, cardinal, ordinal, year
from model.nano.texts import clean, is_held_out
from model.nano.voices import KOKORO_HELD_OUT, Flite

AUDIO = Path(__file__).parent / "audio"
SMALL = ["--width", "64", "--layers", "2", "--batch-seconds", "4", "--evaluate-every", "0", "--workers", "2"]


@pytest.fixture(autouse=True)
def _own_threads() -> Iterator[None]:
    """Training sets how many threads torch uses and how it rounds; other tests should not notice."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    torch.set_flush_denormal(False)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A work folder with the recordings of the tests as its only speech."""
    folder = tmp_path_factory.mktemp("nano")
    entries = [json.loads(line) for line in (AUDIO / "manifest.jsonl").read_text().splitlines()]
    for kind, source in (("train", "pico"), ("train", "kokoro"), ("eval", "pico")):
        with ShardWriter(folder / kind / source / f"{source}-000") as shard:
            for entry in entries[:4]:
                samples, rate = soundfile.read(AUDIO / entry["file"], dtype="float32")
                assert rate == 16_000
                shard.append(samples, entry["text"], entry["voice"])
    sentences = [text for text in (f"{cardinal(n)} birds are on the roof" for n in range(300)) if not is_held_out(text)]
    (folder / "sentences.txt").write_text("\n".join(sentences))
    return folder


def run(work: Path, stage: str, *more: str) -> dict[str, torch.Tensor]:
    train.main(train.parse([stage, "--work", str(work), *SMALL, *more]))
    name = "cooled.pt" if "--cooldown" in more else "last.pt"
    saved = torch.load(work / stage / name, weights_only=True)
    return {name: value.clone() for name, value in saved["network"].items()}


def test_every_stage_trains_and_the_export_loads(work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(work, "encoder", "--steps", "2", "--easy-steps", "1")
    run(work, "encoder", "--cooldown", "2", "--easy-steps", "1")
    cooled = work / "encoder" / "cooled.pt"
    align.align_shards(work, cooled)
    assert (work / "train/pico/pico-000.ends").read_text().count("\n") == 4
    mishearing.main(mishearing.parse(["--work", str(work), "--checkpoint", str(cooled), "--hours", "0.001"]))
    misheard = (work / "misheard.jsonl").rename(tmp_path / "misheard.jsonl").read_text().splitlines()
    assert json.loads(misheard[0])["said"], "an encoder of two steps hears nothing that can be learned from"
    run(work, "language", "--steps", "2", "--easy-steps", "1")
    parts = [f"encoder={cooled}", f"language_model={work / 'language/last.pt'}"]
    run(work, "speech", "--steps", "2", "--init", *parts)
    heard = work / "speech/last.pt"
    run(work, "joint", "--steps", "1", "--init", *(f"{part}={heard}" for part in train.PARTS))
    size = export.export(work, work / "joint/last.pt", tmp_path)
    assert size < export.MOST_BYTES
    network = GraniteSpeech.load(tmp_path)
    assert isinstance(network.transcribe(np.zeros(16_000, np.float32)), str)
    figures = evaluate.evaluate(evaluate.parse(["--work", str(work), "--model", str(tmp_path), "--clips", "1"]))
    assert {"pico/words", "pico/streamed", "pico/ctc"} <= set(figures)
    again = new_network(hub_config(64, 2))
    for part in train.PARTS:
        train.load_parts(again, Path(f"{part}={tmp_path}"))
    exported = GraniteSpeech.load(tmp_path, torch.float32).state_dict()
    for name, value in again.state_dict().items():
        torch.testing.assert_close(value, exported[name], rtol=0, atol=0, msg=name)
    together = average.average({heard: 3.0, tmp_path: 1.0})
    for name, value in network_of(heard).state_dict().items():
        expected = torch.lerp(value, exported[name], 0.25) if value.is_floating_point() else value
        torch.testing.assert_close(together[name], expected, rtol=1e-5, atol=1e-7, msg=name)
    monkeypatch.setattr("sys.argv", ["average", f"{heard}=3", f"{tmp_path}=1", "--to", str(tmp_path / "average.pt")])
    average.main()
    export.export(work, tmp_path / "average.pt", averaged := tmp_path / "averaged")
    for name, value in GraniteSpeech.load(averaged, torch.float32).state_dict().items():
        torch.testing.assert_close(value.half(), together[name].to(value.dtype).half(), rtol=1e-3, atol=1e-6, msg=name)


@pytest.mark.parametrize("layers", [4, 8])
def test_a_larger_encoder_hears_what_the_smaller_one_heard(
    layers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(3)
    small = new_network(hub_config(64, 4)).eval()
    for parameter in small.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    for name, buffer in small.named_buffers():
        if "running" in name:
            buffer.copy_(torch.rand_like(buffer) + 0.5)
    torch.save({"mean": small.state_dict(), "config": hub_config(64, 4)}, tmp_path / "small.pt")
    command = ["grow", str(tmp_path / "small.pt"), "--layers", str(layers), "--to", str(tmp_path / "large.pt")]
    monkeypatch.setattr("sys.argv", command)
    grow.main()
    large = network_of(tmp_path / "large.pt")
    assert len(large.encoder.layers) == layers
    frames = torch.randn(250, 160)  # a block and a part of one
    heard, again = (each.encoder(frames, each.encoder.layout([250])) for each in (small, large))
    for part in ("hidden", "logits", "middle_logits"):
        # only the order of sums differs, and the epsilon of one more normalisation
        torch.testing.assert_close(getattr(again, part), getattr(heard, part), rtol=1e-3, atol=1e-3, msg=part)
    again.logits.square().sum().backward()
    assert all(layer.ff2.down_proj.weight.grad.any() for layer in large.encoder.layers), "and every layer can learn"
    for name, value in small.state_dict().items():
        if not name.startswith("encoder.layers."):
            assert torch.equal(large.state_dict()[name], value), name


def test_halves_of_an_encoder_grow_alike(tmp_path: Path) -> None:
    torch.save({"mean": new_network(hub_config(64, 4)).state_dict(), "config": hub_config(64, 4)}, tmp_path / "four.pt")
    for layers in (2, 5):
        with pytest.raises(ValueError, match="4 layers can become 6, 8"):
            grow.grown(tmp_path / "four.pt", layers)


def test_a_step_is_equally_large_in_all_directions_of_a_matrix() -> None:
    network = new_network(hub_config(64, 2)).encoder
    rate, named = 1e-3, list(network.named_parameters())
    optimizer = Optimizer(named, rate, workers=2)
    before = {name: parameter.detach().clone() for name, parameter in named}
    for _, parameter in named:
        parameter.grad = torch.randn_like(parameter) * torch.arange(1.0, 1 + len(parameter)).view(
            -1, *[1] * (parameter.ndim - 1)
        )
    with ThreadPoolExecutor(2) as pool:
        optimizer.step(rate, pool)
    moved = {name: parameter.detach() - before[name] for name, parameter in named}
    assert all(step.any() for step in moved.values()), "everything learns"
    for name in ("layers.0.ff1.up_proj.weight", "layers.1.conv.down_conv.weight"):
        sizes = torch.linalg.svdvals(moved[name].flatten(1)) / (0.2 * max(moved[name].shape) ** 0.5 * rate)
        assert 0.5 < sizes.min() < sizes.max() < 1.5, "what Muon's iteration leaves of one"
    for name in ("layers.0.attn.rel_pos_emb.weight", "out.weight", "layers.0.ff1.up_proj.bias"):
        assert moved[name].abs().max() < 1.1 * rate, "AdamW's first step, and some decay"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(3, 40, 96), (2, 96, 40)])
def test_orthogonal_keeps_directions_and_levels_sizes(shape: tuple[int, int, int], dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(1)
    matrices = torch.randn(shape, generator=generator)
    left, _, right = torch.linalg.svd(matrices, full_matrices=False)
    sizes = torch.diagonal(left.mT @ orthogonal(matrices, dtype) @ right.mT, dim1=1, dim2=2)
    assert 0.5 < sizes.min() < sizes.max() < 1.5, "the quintic leaves 0.7 to 1.2, bfloat16 rounds"


def test_letters_are_misheard_by_what_stands_around_them() -> None:
    rng = random.Random(1)
    heard = Mishearing([("the ghost", "the gost")] * 80)
    assert heard.hear("the ghost", rng) == "the gost"
    assert heard.hear("", rng) == ""
    assert heard.hear("zzz", rng) == "zzz", "what was never said is heard as it is"
    heard = Mishearing([("urban slums", "erban slumbs"), ("urban slums", "erban slums")] * 80)
    assert {heard.hear("slums", rng) for _ in range(200)} == {"slums", "slumbs"}


def test_levels_of_hearing_do_not_mix() -> None:
    pairs = [("cat", "cat")] * 40 + [("cat", "kat")] * 120
    heard, rng = Mishearing(pairs), random.Random(1)
    words = heard.hear(" ".join(["cat"] * 50), rng).split()
    assert len(set(words)) == 1, "a clip is heard well or badly, all of it"


def test_speech_that_nobody_could_understand_teaches_no_mishearing() -> None:
    with pytest.raises(AssertionError, match="no clip was heard well enough"):
        Mishearing([("hello there", "zzz")])


def test_what_is_to_be_copied_is_the_audio_without_its_blanks(work: Path) -> None:
    copying, rng = Copying(work), random.Random(2)
    copies = [copying.draw(rng, learned=False) for _ in range(200)]
    assert all([token for token in copy.audio if token != PAD] == copy.answer for copy in copies)
    shares = sorted(1 - len(copy.answer) / len(copy.audio) for copy in copies)
    assert shares[20] < 0.3 < 0.5 < shares[-20], "rows with few and with many blanks, from the first step"
    assert all(len(copy.audio) % 3 == 0 for copy in copies), "whole windows"


def test_learned_copying_meets_silence_and_wrong_tokens(work: Path) -> None:
    copying, rng = Copying(work), random.Random(2)
    copies = [copying.draw(rng, learned=True) for _ in range(200)]
    heard = [[token for token in copy.audio if token != PAD] for copy in copies]
    assert any(not copy.answer and copy.audio for copy in copies)
    assert 0.01 < sum(tokens != copy.answer for tokens, copy in zip(heard, copies, strict=True)) / 200 < 0.9


def test_natural_text_is_set_right_once_an_encoder_has_been_listened_to(work: Path, tmp_path: Path) -> None:
    shutil.copy(work / "sentences.txt", tmp_path)
    pair = {"said": "five birds are on the roof", "heard": "five burds are on the roof"}
    (tmp_path / "misheard.jsonl").write_text(f"{json.dumps(pair)}\n" * 80)
    copying, rng = Copying(tmp_path), random.Random(2)
    rows = [copying.draw(rng, learned=True) for _ in range(100)]
    heard = [copying.processor.decode([token for token in row.audio if token != PAD]) for row in rows]
    said = [copying.processor.decode(row.answer) for row in rows]
    assert sum("burds" in text for text in heard) > 40
    assert not any("burds" in text for text in said)


def test_a_clip_without_text_has_no_words_to_align(work: Path) -> None:
    network = new_network(hub_config(64, 2)).eval()
    clips = [(torch.zeros(8_000), ""), (torch.zeros(16_000), "one two"), (torch.zeros(3_200), "far too many words")]
    nothing, two, too_many = align.word_ends(network, clips)
    assert (nothing, too_many) == ([], [])
    assert len(two) == 2


def test_a_killed_run_goes_on_as_if_it_had_not_been(work: Path, tmp_path: Path) -> None:
    for name in ("whole", "killed"):
        shutil.copytree(work / "train", tmp_path / name / "train")
    whole = run(tmp_path / "whole", "encoder", "--steps", "4", "--easy-steps", "2")
    run(tmp_path / "killed", "encoder", "--steps", "2", "--easy-steps", "2")
    killed = run(tmp_path / "killed", "encoder", "--steps", "4", "--easy-steps", "2")
    for name, value in whole.items():
        # Muon turns noise in the last bits of a gradient into directions of its own: two whole runs differ by 3e-5
        assert (killed[name] - value).abs().max() < 1e-4, name
    one, two = (torch.load(tmp_path / name / "encoder/last.pt", weights_only=True) for name in ("whole", "killed"))
    assert (one["step"], one["heard_seconds"]) == (two["step"], two["heard_seconds"])
    for first, second in zip(one["optimizer"], two["optimizer"], strict=True):
        for number, values in first["state"].items():
            for name, value in values.items():
                change = (second["state"][number][name] - value).abs().max()
                # the same noise makes up to 0.07 of it; begun anew it is another state altogether
                assert change <= 0.2 * value.abs().max(), f"{name} of {number} was not gone on with"


def test_cooling_down_leaves_the_trunk_alone(work: Path, tmp_path: Path) -> None:
    shutil.copytree(work / "train", tmp_path / "train")
    trunk = run(tmp_path, "encoder", "--steps", "1")
    run(tmp_path, "encoder", "--cooldown", "1")
    after = torch.load(tmp_path / "encoder/last.pt", weights_only=True)["network"]
    assert all(torch.equal(trunk[name], after[name]) for name in trunk)


def test_undistorted_features_are_those_of_the_network() -> None:
    samples = torch.randn(20_000, generator=torch.Generator().manual_seed(0)) * 0.1
    torch.testing.assert_close(Ear().features(samples, Distortion()), LogMel()(samples), atol=1e-4, rtol=0)


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
def test_every_distortion_gives_finite_features(strength: float) -> None:
    ear, rng = Ear(), random.Random(3)
    samples = torch.sin(torch.arange(24_000) / 20)
    for audio in (samples, torch.zeros(8_000)):
        for _ in range(12):
            features = ear.features(audio, Distortion.draw(rng, strength, masks=2))
            assert features.isfinite().all()
            assert features.shape[1] == 160


def test_a_batch_depends_on_seed_step_and_worker_alone(work: Path) -> None:
    lessons = Lessons(Corpus(work / "train"), seed=1, batch_seconds=8, easy_steps=5, ramp_steps=2, cut=0.5)
    for step in (0, 7):
        first, again, other = lessons.batch(step, 0), lessons.batch(step, 0), lessons.batch(step, 1)
        assert [item.text for item in first] == [item.text for item in again]
        assert torch.equal(first[0].features, again[0].features)
        assert not torch.equal(first[0].features, other[0].features)


def test_a_source_has_its_share_of_time_however_long_its_clips_are(tmp_path: Path) -> None:
    for source, seconds in (("pico", 1), ("human_native", 6)):
        with ShardWriter(tmp_path / source / "one") as shard:
            for _ in range(4):
                shard.append(np.ones(seconds * 16_000, np.float32), "oh", "nobody")
    corpus, rng = Corpus(tmp_path, {"pico": 0.3, "human_native": 0.1}), random.Random(1)
    heard = {"pico": 0, "human_native": 0}
    for _ in range(8000):
        source = corpus.choose(rng)
        heard[source] += corpus.draw(rng, source)[1].samples
    # of half an hour there are 24 s of the one and 4 s of the other, and both shares are smaller by so much
    assert heard["human_native"] / heard["pico"] == pytest.approx(6 * 0.1 / 0.3, rel=0.15)


def test_what_is_heard_again_and_again_never_sounds_the_same(tmp_path: Path) -> None:
    with ShardWriter(tmp_path / "pico/one") as shard:
        shard.append(np.ones(16_000, np.float32), "oh", "nobody")
    lessons = Lessons(Corpus(tmp_path), seed=1, batch_seconds=300, easy_steps=0, ramp_steps=0)
    assert lessons.corpus.alike == {"pico"}
    masked = {}
    for name, alike in (("alike", {"pico"}), ("manifold", set())):
        lessons.corpus.alike = alike
        heard = []
        lessons._ear.features = lambda samples, distortion, heard=heard: (  # type: ignore[method-assign]
            heard.append(distortion) or Ear().features(samples, Distortion())
        )
        lessons.batch(1, 0)
        masked[name] = sum(it.masks > 0 for it in heard) / len(heard)
    assert masked["alike"] > 0.4 > 0.3 > masked["manifold"]


def test_a_source_is_made_unlike_itself_while_it_has_few_hours_or_few_voices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "SCARCE_HOURS", 2 / 3600)
    for source, clips, voices in (("pico", 40, 2), ("espeak", 40, 40), ("kokoro", 1, 40)):
        with ShardWriter(tmp_path / source / "one") as shard:
            for number in range(clips):
                shard.append(np.ones(16_000, np.float32), "oh", f"voice {number % voices}")
    assert Corpus(tmp_path).alike == {"pico", "kokoro"}


def test_some_audio_begins_and_ends_with_a_word(tmp_path: Path) -> None:
    with ShardWriter(tmp_path / "pico/one") as shard:
        shard.append(np.ones(16_000, np.float32), "oh", "nobody")
    lessons = Lessons(Corpus(tmp_path), seed=1, batch_seconds=1, easy_steps=0, ramp_steps=0)
    drawn = [lessons.joined(random.Random(seed), "pico")[0] for seed in range(200)]
    before = [int(samples.nonzero()[0]) / 16_000 for samples in drawn]
    behind = [int(samples.flip(0).nonzero()[0]) / 16_000 for samples in drawn]
    for silence in (before, behind):
        assert 30 < sum(each < 0.06 for each in silence) < 100
        assert max(silence) > 1.0


def test_a_cut_clip_keeps_the_words_wholly_heard(tmp_path: Path) -> None:
    with ShardWriter(tmp_path / "pico/one") as shard:
        shard.append(np.ones(16_000, np.float32), "early late", "nobody")
    (tmp_path / "pico/one.ends").write_text("[4000, 15000]\n")
    lessons = Lessons(Corpus(tmp_path), seed=1, batch_seconds=1, easy_steps=0, ramp_steps=0, cut=1.0)
    drawn = [lessons.joined(random.Random(seed), "pico") for seed in range(60)]
    assert {"", "early", "early late"} <= {text for _, text, _ in drawn}
    for samples, text, told in drawn:
        if text == "early":  # 40 ms after its end nothing is known of what is heard; the silence before it varies
            assert (samples != 0).sum() - 4640 == round((1 - told) * len(samples))


def test_a_clip_cut_at_its_start_is_long_enough_to_have_a_spectrum(tmp_path: Path) -> None:
    with ShardWriter(tmp_path / "pico/one") as shard:
        shard.append(np.ones(600, np.float32), "oh", "nobody")
    (tmp_path / "pico/one.ends").write_text("[500]\n")
    lessons = Lessons(Corpus(tmp_path), seed=1, batch_seconds=1, easy_steps=0, ramp_steps=0, cut=1.0)
    assert all(len(lessons.joined(random.Random(seed), "pico")[0]) >= FFT_SIZE for seed in range(300))


def test_a_shard_forgets_the_clip_it_was_writing_when_it_was_killed(tmp_path: Path) -> None:
    with ShardWriter(tmp_path / "one") as shard:
        shard.append(np.full(100, 0.5, np.float32), "whole", "somebody")
    with (tmp_path / "one.pcm").open("ab") as audio, (tmp_path / "one.jsonl").open("a") as index:
        audio.write(b"\0" * 33)
        index.write('{"start": 100, "sam')
    with ShardWriter(tmp_path / "one") as shard:
        assert shard.clips == 1
        shard.append(np.zeros(50, np.float32), "next", "somebody")
    read = Shard(tmp_path / "one.jsonl")
    assert [clip.text for clip in read.clips] == ["whole", "next"]
    assert read.samples(read.clips[0]) == pytest.approx(np.full(100, 0.5), abs=1e-4)
    assert not read.samples(read.clips[1]).any()


@pytest.mark.skipif(not shutil.which("espeak-ng"), reason="espeak-ng is not installed")
def test_synthesis_is_the_same_twice_and_keeps_sentences_apart(tmp_path: Path) -> None:
    sentences = [f"{cardinal(n)} birds are on the roof" for n in range(200)]
    for name in ("first", "second"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "sentences.txt").write_text("\n".join(sentences))
        clips = '{"espeak": 3}'
        synthesize.main(
            synthesize.parse(["--work", str(folder), "--engines", "espeak", "--clips", clips, "--eval-clips", "2"])
        )
    for path in ("train/espeak/espeak-000", "eval/espeak/espeak-000"):
        one, two = (tmp_path / name / path for name in ("first", "second"))
        assert one.with_suffix(".pcm").read_bytes() == two.with_suffix(".pcm").read_bytes()
        shard = Shard(one.with_suffix(".jsonl"))
        natural = [clip.text for clip in shard.clips if clip.text in sentences]
        assert all(is_held_out(text) == path.startswith("eval") for text in natural)


def test_training_is_given_uncommon_words_and_evaluation_what_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [onset + rime for onset in ("b", "g", "m", "st") for rime in ("at", "ed", "in", "on", "up")]
    common = [f"please {one} {other}" for one in words for other in words]
    uncommon = ["please bat gently", "please bed gently", "once is enough"]
    assert texts.with_uncommon_words(common + uncommon) == uncommon[:2]
    (tmp_path / "sentences.txt").write_text("\n".join([*common, *uncommon]))
    monkeypatch.setattr(synthesize, "engine", lambda *_: Mute())
    clips = json.dumps({"pico": 200})
    synthesize.main(
        synthesize.parse(["--work", str(tmp_path), "--engines", "pico", "--clips", clips, "--eval-clips", "100"])
    )
    for kind, least, most in (("train", 0.4, 0.6), ("eval", 0.0, 0.2)):
        said = [clip.text for clip in Shard(tmp_path / kind / "pico/pico-000.jsonl").clips]
        assert least <= sum("gently" in text for text in said) / len(said) <= most


class Mute:
    """An engine that is quick, as it says nothing."""

    def speak(self, text: str, rng: random.Random) -> tuple[np.ndarray, str]:
        return np.ones(1600, np.float32) * rng.random(), "nobody"


def test_held_out_voices_are_not_among_those_for_training() -> None:
    assert "slt" not in Flite(held_out=False).voices
    assert set(KOKORO_HELD_OUT) == {"af_sarah", "am_eric", "bf_lily", "bm_lewis"}


def test_what_nano_writes_is_letters_apostrophes_and_spaces() -> None:
    assert clean("It’s a well-known fact, Mr. Smith!") == "it's a well known fact mister smith"
    assert clean("42 is the answer") is None
    assert clean("xkcd") is None
    alphabet, rng = Alphabet(SpeechConfig.parse(hub_config())), random.Random(5)
    for template, _ in TEMPLATES:
        for _ in range(50):
            text, _spoken = template(rng)
            path = torch.tensor([label for each in alphabet.labels(text) for label in (each, BLANK)])
            assert alphabet.text(torch.eye(len(ALPHABET) + 1)[path]) == text


def test_excluded_sentences_are_never_trained_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "games/fortunes").mkdir(parents=True)
    (tmp_path / "games/fortunes/wisdom").write_text("You will be heard.\n%\nSpeak up, please.\n\t\t-- Anon\n")
    monkeypatch.setattr(texts, "SHARE", tmp_path)
    listed = tmp_path / "manifest.jsonl"
    listed.write_text('{"text": "you will be heard"}\n{"text": null}\n')
    assert set(texts.natural_sentences()) == {"you will be heard", "speak up please"}
    assert texts.natural_sentences(texts.evaluation_sentences([listed])) == ["speak up please"]


@pytest.mark.parametrize(
    ("number", "words"), [(0, "zero"), (40, "forty"), (101, "one hundred and one"), (2015, "two thousand fifteen")]
)
def test_numbers_are_written_in_words(number: int, words: str) -> None:
    assert cardinal(number) == words


def test_ordinals_and_years_are_written_in_words() -> None:
    assert [ordinal(n) for n in (1, 12, 20, 33)] == ["first", "twelfth", "twentieth", "thirty third"]
    assert [year(n) for n in (1900, 1905, 1984, 2006)] == [
        "nineteen hundred",
        "nineteen oh five",
        "nineteen eighty four",
        "two thousand and six",
    ]


def test_an_interval_holds_the_rate_it_is_about() -> None:
    spoken = [evaluate.Spoken(torch.zeros(1), "one two three four", f"speaker {n % 5}") for n in range(20)]
    heard = ["one two three" if n % 3 else "one two three four" for n in range(20)]
    low, high = evaluate.interval(spoken, heard)
    assert low <= 100 * jiwer.wer([clip.text for clip in spoken], heard) <= high
