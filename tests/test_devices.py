from __future__ import annotations

import builtins
import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from streamer.sound import devices
from streamer.sound.devices import LOOPBACKS, Device, again, as_it_is, default_input, find, inputs
from streamer.sound.portaudio import MicrophoneError, sounddevice

DESK = Device(0, "USB Desk Microphone", 48_000, 1, True, False, 3, "alsa_input.usb-desk")
LAMP = Device(1, "USB Lamp", 44_100, 2, False, False, 3, "alsa_input.usb-lamp")
MONITOR = Device(2, "Monitor of Speakers", 48_000, 2, False, True, 3, "speakers.monitor")
SPEAKERS = Device(3, "Monitor of Speakers (HDMI)", 48_000, 2, False, True, 3, "hdmi.monitor")
ALL = [DESK, LAMP, MONITOR, SPEAKERS]


def test_a_device_is_found_by_number_name_or_part_of_it() -> None:
    assert find("1", ALL) is LAMP
    assert find("usb lamp", ALL) is LAMP
    assert find("lamp", ALL) is LAMP
    assert find("speakers.monitor", ALL) is MONITOR
    assert find("Monitor of Speakers", ALL) is MONITOR, "the whole name comes before a part of another"


@pytest.mark.parametrize(
    ("wanted", "cure"),
    [
        ("7", "no such microphone; granite-stream devices lists them"),
        ("piano", "no such microphone"),
        ("usb", "could be 0 USB Desk Microphone, 1 USB Lamp; say its number"),
    ],
)
def test_a_name_that_is_none_or_two_is_refused(wanted: str, cure: str) -> None:
    with pytest.raises(MicrophoneError, match=cure):
        find(wanted, ALL)


def test_two_of_one_name_are_told_apart_by_their_number() -> None:
    twins = [DESK, Device(1, DESK.name, 48_000, 1, False, False, 3, "another")]
    with pytest.raises(MicrophoneError, match="say its number"):
        find(DESK.name, twins)
    assert find("another", twins) is twins[1]


def test_the_default_is_left_to_the_sound_server() -> None:
    assert default_input(ALL).name == DESK.name
    assert default_input(ALL).source is None
    assert default_input(ALL).followed == DESK.source


def test_after_a_restart_a_device_is_known_by_its_name() -> None:
    moved = Device(5, LAMP.name, 44_100, 2, False, False, 9, LAMP.source)
    assert again(LAMP, [DESK, moved]) is moved
    with pytest.raises(MicrophoneError):
        again(LAMP, [DESK])


def test_without_any_device_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "_pactl", lambda *_: None)
    for look in (lambda: default_input([]), lambda: find("x", [])):
        with pytest.raises(MicrophoneError, match="no microphone was found; plug one in"):
            look()
    monkeypatch.setattr(devices, "_pactl", lambda *_: [{"name": "desk"}])
    with pytest.raises(MicrophoneError, match="apt install libasound2-plugins"):
        default_input([])


@pytest.mark.parametrize(
    "name", ["Monitor of Built-in Audio", "BlackHole 2ch", "Stereo Mix (Realtek)", "CABLE Output", "Loopback Audio"]
)
def test_what_plays_here_is_known_by_its_name(name: str) -> None:
    assert LOOPBACKS.search(name)


@pytest.mark.parametrize("name", ["Built-in Microphone", "USB Audio: - (hw:1,0)", "Studio Display Microphone"])
def test_a_microphone_is_not_taken_for_a_loopback(name: str) -> None:
    assert not LOOPBACKS.search(name)


def system(monkeypatch: pytest.MonkeyPatch, *names: tuple[str, int, int]) -> None:
    """A system where PortAudio sees these: name, input channels, rate; the last is the default."""
    found = [
        {"name": name, "max_input_channels": most, "default_samplerate": float(rate)} for name, most, rate in names
    ]
    portaudio = SimpleNamespace(query_devices=lambda: found, default=SimpleNamespace(device=[len(names) - 1, -1]))
    monkeypatch.setattr(devices, "sounddevice", lambda: portaudio)


def test_without_a_sound_server_portaudio_says_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    system(monkeypatch, ("Speakers", 0, 48_000), ("BlackHole 2ch", 2, 48_000), ("MacBook Microphone", 1, 44_100))
    blackhole, macbook = inputs()
    assert (blackhole.is_loopback, blackhole.is_default, blackhole.channels) == (True, False, 2)
    assert (macbook.is_loopback, macbook.is_default, macbook.rate) == (False, True, 44_100)
    assert macbook.portaudio == 2


def test_a_sound_server_tells_its_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    system(monkeypatch, ("pulse", 32, 44_100), ("default", 32, 44_100))
    source = {
        "name": "desk",
        "description": "Desk",
        "monitor_source": "n/a",
        "sample_specification": "s16le 1ch 48000Hz",
    }
    monitor = {**source, "name": "out.monitor", "description": "Monitor of Out", "monitor_source": "out"}
    answers = {"info": {"default_source_name": "desk"}, "list": [monitor, source]}
    monkeypatch.setattr(devices, "_pactl", lambda command, *_: answers[command])
    assert [(each.name, each.is_default, each.is_loopback, each.source) for each in inputs()] == [
        ("Monitor of Out", False, True, "out.monitor"),
        ("Desk", True, False, "desk"),
        ("pulse", False, False, None),
        ("default", False, False, None),
    ]
    assert inputs()[2].channels == 1, "32 channels are a mixer's"


def test_a_sound_server_that_is_too_busy_has_not_said_that_a_source_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[list[dict[str, str]] | None] = [None, [{"name": DESK.source or "", "description": "Desk"}], []]
    monkeypatch.setattr(devices, "_pactl", lambda *_: answers.pop(0))
    assert [as_it_is(DESK) for _ in range(3)] == [DESK, DESK, None]


def test_a_default_that_is_another_one_now_has_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: dict[str, Any] = {"info": None, "list": [{"name": "headset", "description": "Headset"}]}
    monkeypatch.setattr(devices, "_pactl", lambda command, *_: answers[command])
    default = default_input(ALL)
    assert as_it_is(default) == default
    answers["info"] = {"default_source_name": DESK.source}
    assert as_it_is(default) == default
    answers["info"] = {"default_source_name": "headset"}
    assert as_it_is(default) == replace(default, name="Headset", followed="headset")
    answers["list"] = None
    assert as_it_is(default) == default


def test_names_that_pactl_cannot_put_into_json_are_those_it_tells_people(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    system(monkeypatch, ("pulse", 32, 44_100))
    source = {"name": "uml.monitor", "description": "(null)", "sample_specification": "s16le 2ch 44100Hz"}
    answers = {"--format=json list sources": json.dumps([source]), "list sources": "Source #1\n\tState: IDLE\n"}
    answers["list sources"] += "\tName: uml.monitor\n\tDescription: Monitor of Kopfhörer\n\tDriver: x\n"
    pactl = tmp_path / "pactl"
    cases = "".join(f"'{words}') echo '{answer}';;\n" for words, answer in answers.items())
    pactl.write_text(f'#!/bin/sh\ncase "$*" in\n{cases}*) exit 1;;\nesac\n')
    pactl.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert [each.name for each in inputs()] == ["Monitor of Kopfhörer", "pulse"]


@pytest.mark.parametrize(
    ("error", "cure"),
    [
        (ImportError("sounddevice"), "pip install 'granite-stream\\[mic\\]'"),
        (OSError("PortAudio library not found"), "apt install libportaudio2"),
        (RuntimeError("Error initializing PortAudio"), "check the sound settings"),
    ],
)
def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch, error: Exception, cure: str) -> None:
    load = builtins.__import__

    def fail(name: str, *rest: object) -> object:
        if name == "sounddevice":
            raise error
        return load(name, *rest)

    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    monkeypatch.setattr(builtins, "__import__", fail)
    with pytest.raises(MicrophoneError, match=cure):
        sounddevice()


@pytest.mark.parametrize(("typed", "code"), [("--help", 0), ("Desk", 2)])
def test_what_is_typed_is_looked_at_before_any_device(capsys, typed, code):
    said = []
    with pytest.raises(SystemExit) as ended:
        devices.main([typed], said.append)
    assert ended.value.code == code
    assert "granite-stream devices" in "".join(said) + capsys.readouterr().out
