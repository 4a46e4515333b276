from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest

from streamer.sound.recordings import open_recording
from streamer.sound.saving import SavedSound
from tests.media import no_room_beyond, tone


def test_what_was_saved_can_be_played_at_any_moment(tmp_path: Path) -> None:
    path = tmp_path / "it.wav"
    with SavedSound(path) as sound:
        for seconds in (1, 2, 3):
            sound.write(tone(1.0))
            with wave.open(str(path)) as recording:
                assert recording.getparams()[:4] == (1, 2, 16_000, seconds * 16_000)
    with open_recording(str(path)) as recording:
        samples = np.concatenate(list(recording.chunks(16_000)))
    assert samples == pytest.approx(np.tile(tone(1.0), 3), abs=1 / 32768)


def test_what_is_too_loud_is_clipped_and_does_not_turn_over(tmp_path: Path) -> None:
    with SavedSound(tmp_path / "it.wav") as sound:
        sound.write(np.array([1.0, -1.0, 1.5, -1.5], np.float32))
    with wave.open(str(tmp_path / "it.wav")) as recording:
        assert np.frombuffer(recording.readframes(4), "<i2").tolist() == [32767, -32768, 32767, -32768]


def test_no_recording_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "it.wav").write_text("yesterday")
    with pytest.raises(FileExistsError):
        SavedSound(tmp_path / "it.wav")


def test_a_disk_without_room_is_an_error_and_no_noise(tmp_path: Path) -> None:
    with SavedSound(tmp_path / "it.wav") as sound:
        sound.write(tone(1.0))
        with no_room_beyond(44 + 32_000 + 1001), pytest.raises(OSError, match="large"):  # in the midst of a sample
            sound.write(tone(1.0))
        sound.write(tone(1.0))
    with open_recording(str(tmp_path / "it.wav")) as recording:
        samples = np.concatenate(list(recording.chunks(16_000)))
    assert samples == pytest.approx(np.tile(tone(1.0), 3)[: len(samples)], abs=1 / 32768), "no noise"
    assert len(samples) >= 32_000
