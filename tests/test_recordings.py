from __future__ import annotations

import os
import threading
import wave
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition

from model.errors import AudioError
from model.features import SAMPLE_RATE
from streamer.sound.recordings import open_recording
from tests.media import tone, write
from tests.sound import wait_until

KINDS = [
    ("s16.wav", "pcm_s16le", 16_000),
    ("u8.wav", "pcm_u8", 16_000),
    ("s24.wav", "pcm_s24le", 16_000),
    ("s32.wav", "pcm_s32le", 16_000),
    ("f32.wav", "pcm_f32le", 16_000),
    ("f64.wav", "pcm_f64le", 16_000),
    ("telephone.wav", "pcm_mulaw", 8_000),
    ("8k.wav", "pcm_s16le", 8_000),
    ("44k1.wav", "pcm_s16le", 44_100),
    ("96k.wav", "pcm_s16le", 96_000),
    ("a.flac", "flac", 48_000),
    ("a.mp3", "libmp3lame", 44_100),
    ("a.m4a", "aac", 44_100),
    ("a.ogg", "libopus", 48_000),
    ("a.opus", "libopus", 48_000),
    ("a.webm", "libopus", 48_000),
    ("a.mkv", "aac", 48_000),
    ("a.mp4", "aac", 48_000),
]


def read(path: Path | str, chunk_samples: int = 16_000) -> np.ndarray:
    with open_recording(str(path)) as recording:
        return np.concatenate([np.zeros(0, np.float32), *recording.chunks(chunk_samples)])


def loudness(samples: np.ndarray) -> float:
    """Root mean square, without the ends, which codecs fade."""
    return float(np.sqrt(np.mean(samples[2000:-2000] ** 2)))


@pytest.mark.parametrize(("name", "codec", "rate"), KINDS)
def test_every_kind_becomes_16_khz_mono(tmp_path: Path, name: str, codec: str, rate: int) -> None:
    samples = read(write(tmp_path / name, tone(1.0, rate), rate=rate, codec=codec))
    assert samples.dtype == np.float32
    assert samples.ndim == 1
    assert len(samples) == pytest.approx(SAMPLE_RATE, abs=0.15 * SAMPLE_RATE)  # some codecs fill their last frame
    assert loudness(samples) == pytest.approx(0.5 / np.sqrt(2), rel=0.05)
    spectrum = np.abs(np.fft.rfft(samples[:16_000] * np.hanning(len(samples[:16_000]))))
    assert np.argmax(spectrum) * SAMPLE_RATE / len(samples[:16_000]) == pytest.approx(440, abs=2)


@pytest.mark.parametrize(("name", "codec", "rate"), [KINDS[0], KINDS[8], KINDS[11], KINDS[15]])
@pytest.mark.parametrize("chunk_samples", [1, 159, 160, 161, 1600, 7919])
def test_however_it_is_cut_the_samples_are_the_same(
    tmp_path: Path, name: str, codec: str, rate: int, chunk_samples: int
) -> None:
    path = write(tmp_path / name, tone(0.5, rate), rate=rate, codec=codec)
    whole = read(path)
    with open_recording(str(path)) as recording:
        chunks = list(recording.chunks(chunk_samples))
    assert {len(chunk) for chunk in chunks[:-1]} <= {chunk_samples}
    assert 0 < len(chunks[-1]) <= chunk_samples
    np.testing.assert_array_equal(np.concatenate(chunks), whole)


def test_a_recording_without_samples_is_a_recording(tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "nothing.wav"), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
    assert len(read(tmp_path / "nothing.wav")) == 0


@pytest.mark.parametrize("length", [1, 100, 256, 257])
def test_recordings_may_be_as_short_as_they_like(tmp_path: Path, length: int) -> None:
    expected = tone(0.1)[:length]
    samples = read(write(tmp_path / "short.wav", expected, codec="pcm_f32le"))
    np.testing.assert_array_equal(samples, expected)


def test_stereo_is_averaged(tmp_path: Path) -> None:
    left, right = tone(0.5), np.zeros(8000, np.float32)
    samples = read(write(tmp_path / "stereo.wav", np.stack([left, right]), layout="stereo", codec="pcm_f32le"))
    np.testing.assert_allclose(samples, left / 2, atol=1e-6)


def test_in_5_1_the_centre_is_heard_most_and_the_subwoofer_not_at_all(tmp_path: Path) -> None:
    heard = {}
    for index, speaker in enumerate(["FL", "FR", "FC", "LFE", "BL", "BR"]):
        channels = np.zeros((6, 8000), np.float32)
        channels[index] = tone(0.5)
        heard[speaker] = loudness(read(write(tmp_path / f"{speaker}.wav", channels, layout="5.1", codec="pcm_f32le")))
    assert heard["LFE"] == 0
    assert heard["FC"] > heard["FL"] == heard["FR"] > heard["BL"] == heard["BR"] > 0


def test_what_is_no_number_or_too_loud_is_made_safe(tmp_path: Path) -> None:
    samples = tone(0.1)
    samples[:6] = [np.nan, np.inf, -np.inf, 3.0, -3.0, 1e30]
    read_back = read(write(tmp_path / "wild.wav", samples, codec="pcm_f32le"))
    np.testing.assert_array_equal(read_back[:6], np.array([0, 1, -1, 1, -1, 1], np.float32))
    np.testing.assert_array_equal(read_back[6:], samples[6:])


def test_of_a_video_the_first_audio_stream_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "film.mkv", tone(1.0), np.zeros(16_000, np.float32), codec="pcm_s16le", video=True)
    assert loudness(read(path)) > 0.3


def test_of_several_audio_streams_the_default_one_is_read(tmp_path: Path) -> None:
    path = tmp_path / "film.mkv"
    with av.open(str(path), "w") as container:
        streams = [container.add_stream("pcm_s16le", rate=16_000, layout="mono") for _ in range(2)]
        streams[1].disposition = Disposition.default
        for stream, samples in zip(streams, (np.zeros(16_000), tone(1.0)), strict=True):
            frame = av.AudioFrame.from_ndarray((samples * 32767).astype(np.int16)[None], format="s16", layout="mono")
            frame.rate = 16_000
            container.mux(stream.encode(frame))
    assert loudness(read(path)) > 0.3


@pytest.mark.parametrize("name", ["film.wmv", "film.mkv"])
def test_a_picture_that_lasts_longer_than_its_sound_is_no_damage(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, tone(0.2, 44_100), rate=44_100, codec="libmp3lame", video=True)
    with open_recording(str(path)) as recording:
        list(recording.chunks(16_000))
    assert recording.warning is None


def test_sound_that_begins_after_the_picture_keeps_its_time(tmp_path: Path) -> None:
    samples = read(write(tmp_path / "film.mkv", tone(1.0), codec="pcm_s16le", video=True, late_seconds=2.5))
    assert len(samples) == pytest.approx(3.5 * SAMPLE_RATE, abs=20)
    assert not samples[: 2 * SAMPLE_RATE].any()
    assert np.abs(samples[-16_000:]).max() > 0.4


def test_the_duration_is_known_beforehand(tmp_path: Path) -> None:
    with open_recording(str(write(tmp_path / "a.mp3", tone(2.0), codec="libmp3lame"))) as recording:
        assert recording.duration_seconds == pytest.approx(2.0, abs=0.1)


@pytest.mark.parametrize(("name", "codec"), [("a.wav", "pcm_s16le"), ("a.flac", "flac"), ("a.mp3", "libmp3lame")])
def test_a_pipe_is_read_while_it_is_written(tmp_path: Path, name: str, codec: str) -> None:
    content = write(tmp_path / name, tone(20.0), codec=codec).read_bytes()
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    first_chunk_read = threading.Event()

    def play() -> None:
        with pipe.open("wb", buffering=0) as out:
            out.write(content[: len(content) // 2])
            assert first_chunk_read.wait(60)
            out.write(content[len(content) // 2 :])

    player = threading.Thread(target=play)
    player.start()
    length, held_back = 0, []
    with open_recording(str(pipe)) as recording:
        for chunk in recording.chunks(1600):
            if not first_chunk_read.is_set():
                if name != "a.mp3":  # the pipe was emptied meanwhile, and who fills it comes in its own time
                    wait_until(lambda: recording.more_has_come, "more")
                held_back.append(recording.more_has_come)
                first_chunk_read.set()
            length += len(chunk)
        assert recording.more_has_come, "the end has"
    player.join()
    assert length == pytest.approx(20 * SAMPLE_RATE, abs=2000)
    assert held_back == [name != "a.mp3"], "of which FFmpeg reads so much to know what it is"


def test_what_no_pipe_can_carry_is_not_called_damaged(tmp_path: Path) -> None:
    noise, pipe = np.random.default_rng(0).uniform(-0.5, 0.5, 60 * SAMPLE_RATE).astype(np.float32), tmp_path / "pipe"
    path = write(tmp_path / "a.m4a", noise, codec="aac")  # its index comes last, and behind what FFmpeg keeps
    os.mkfifo(pipe)
    player = threading.Thread(target=lambda: pipe.write_bytes(path.read_bytes()))
    player.start()
    with (
        pytest.raises(AudioError, match="mp4 and m4a often must be passed as a file"),
        open_recording(str(pipe)) as recording,
    ):
        list(recording.chunks(16_000))
    player.join()


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.mp3", "libmp3lame"),
        ("a.flac", "flac"),
        ("a.wav", "pcm_s16le"),
        ("a.webm", "libopus"),
        ("a.wav", "pcm_f32le"),
    ],
)
def test_of_a_truncated_recording_what_is_there_is_read(tmp_path: Path, name: str, codec: str) -> None:
    path = write(tmp_path / name, tone(10.0), codec=codec)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with open_recording(str(path)) as recording:
        samples = np.concatenate(list(recording.chunks(16_000)))
    assert 3 * SAMPLE_RATE < len(samples) < 7 * SAMPLE_RATE
    assert recording.warning is not None
    assert f"{name}: damaged or cut short" in recording.warning
    assert "of 10.0 seconds could be read" in recording.warning


def test_what_was_interrupted_is_not_called_damaged(tmp_path: Path) -> None:
    with open_recording(str(write(tmp_path / "a.wav", tone(60.0)))) as recording:
        chunks = recording.chunks(16_000)
        next(chunks)
        recording.interrupt()
        assert len(list(chunks)) < 40
    assert recording.warning is None


@pytest.mark.parametrize("name", [name for name, _, _ in KINDS])
def test_a_whole_recording_brings_no_warning(tmp_path: Path, name: str) -> None:
    _, codec, rate = next(kind for kind in KINDS if kind[0] == name)
    with open_recording(str(write(tmp_path / name, tone(3.0, rate), rate=rate, codec=codec))) as recording:
        list(recording.chunks(16_000))
    assert recording.warning is None


@pytest.mark.parametrize(("index", "seconds"), [("1", 40), ("0", 61)])
def test_an_mp3_that_does_not_say_how_long_it_is_is_not_cut_short(tmp_path: Path, index: str, seconds: int) -> None:
    path = tmp_path / "quiet at first.mp3"
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 20 * SAMPLE_RATE).astype(np.float32)
    with av.open(str(path), "w", options={"write_xing": index}) as container:
        stream = container.add_stream("libmp3lame", rate=SAMPLE_RATE, layout="mono")
        stream.codec_context.qscale, stream.codec_context.global_quality = True, 4 * 118  # a bitrate that changes
        samples = np.concatenate([np.zeros_like(noise), noise])[None]
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
        frame.rate = SAMPLE_RATE
        for piece in av.AudioResampler("fltp", "mono", SAMPLE_RATE, 576).resample(frame):
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))
    with open_recording(str(path)) as recording:
        list(recording.chunks(16_000))
    assert recording.warning is None
    assert recording.duration_seconds == pytest.approx(seconds, abs=1), "FFmpeg's guess"


def test_damage_in_the_middle_costs_only_what_is_damaged(tmp_path: Path) -> None:
    path = write(tmp_path / "a.flac", tone(10.0), codec="flac")
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 3000] = bytes(3000)
    path.write_bytes(content)
    assert len(read(path)) == pytest.approx(10 * SAMPLE_RATE, abs=SAMPLE_RATE)


def text_named_wav(path: Path) -> str:
    (path / "notes.wav").write_text("buy milk\n" * 100)
    return str(path / "notes.wav")


def text_named_mp3(path: Path) -> str:
    (path / "notes.mp3").write_text("buy milk\n" * 100)
    return str(path / "notes.mp3")


def empty_file(path: Path) -> str:
    (path / "empty.wav").touch()
    return str(path / "empty.wav")


def half_a_header(path: Path) -> str:
    (path / "header.wav").write_bytes(write(path / "a.wav", tone()).read_bytes()[:20])
    return str(path / "header.wav")


def samples_named_raw(path: Path) -> str:
    (path / "mic.raw").write_bytes((tone() * 32767).astype("<i2").tobytes())
    return str(path / "mic.raw")


def silent_film(path: Path) -> str:
    return str(write(path / "film.mp4", video=True))


def subtitles(path: Path) -> str:
    (path / "talk.srt").write_text("1\n00:00:01,000 --> 00:00:02,000\nhello\n\n" * 10)
    return str(path / "talk.srt")


def playlist(path: Path) -> str:
    recording = write(path / "a.wav", tone())
    (path / "list.m3u8").write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{recording}\n#EXT-X-ENDLIST\n")
    return str(path / "list.m3u8")


def list_of_files(path: Path) -> str:
    write(path / "a.wav", tone())
    (path / "list.ffconcat").write_text("ffconcat version 1.0\nfile a.wav\n")
    return str(path / "list.ffconcat")


@pytest.mark.parametrize(
    ("make", "cure"),
    [
        (lambda path: str(path / "nothing.wav"), "no such file; check the path"),
        (lambda path: str(path), "is a directory; name the recordings in it"),
        (lambda path: f"{path}/nul\0.wav", "cannot be opened"),
        (empty_file, "the file is empty; record or copy it again"),
        (text_named_wav, "not a recording"),
        (text_named_mp3, "not a recording"),
        (half_a_header, "not a recording"),
        (samples_named_raw, "raw samples do not say their rate; make it a WAV: sox -t raw"),
        (silent_film, "has no audio stream; pass a recording with sound"),
        (subtitles, "has no audio stream"),
        (playlist, "not a recording"),
        (list_of_files, "not a recording"),
    ],
)
def test_what_is_no_recording_is_one_line_that_says_so(tmp_path: Path, make, cure: str) -> None:
    path = make(tmp_path)
    with pytest.raises(AudioError) as caught:
        read(path)
    message = str(caught.value)
    assert cure in message
    assert Path(path.replace("\0", "")).stem[:3] in message
    assert "\n" not in message


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_says_so(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", tone())
    path.chmod(0)
    with pytest.raises(AudioError, match="may not be read; check its permissions"):
        read(path)


def test_more_channels_than_eight_are_mixed_like_any(tmp_path: Path) -> None:
    path, layout = tmp_path / "a.mka", "hexadecagonal"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libopus", rate=48_000, options={"mapping_family": "255", "b": "512000"})
        stream.layout = layout
        samples = (tone(1.0, 48_000) * 32767).astype(np.int16)
        for start in range(0, len(samples), 960):
            packed = np.repeat(samples[start : start + 960], 16).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(packed, format="s16", layout=layout)
            frame.rate, frame.pts = 48_000, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    heard = read(path)
    assert len(heard) == pytest.approx(SAMPLE_RATE, abs=0.15 * SAMPLE_RATE)
    assert loudness(heard) == pytest.approx(0.5 / np.sqrt(2), rel=0.05)


def test_a_file_that_points_before_its_beginning_is_damaged(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "a.caf", tone())
    whole = path.read_bytes()
    header = whole.index(b"info")
    path.write_bytes(whole[:header] + b"free" + (-(10**9)).to_bytes(8, "big", signed=True) + whole[header:])
    with pytest.raises(AudioError, match="damaged at its start"):
        read(path)
    assert capfd.readouterr().err == ""
