"""What can be listened to: PortAudio's inputs, and the sources of a sound server, which PortAudio hides.

Knows nothing of streams or captions. PulseAudio and PipeWire tell their sources, monitors of what plays among them, by
`pactl`; PortAudio reaches them through ALSA's one device `pulse`, which obeys the environment variable PULSE_SOURCE.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TextIO

from clients.arguments import DONE, Complain, Parser
from streamer.sound.portaudio import MicrophoneError, quiet_libraries, sounddevice

SERVER_DEVICE = "pulse"  # what PortAudio calls the sound server
SERVER_SECONDS = 5.0  # its answer may take, before it counts as absent
MOST_CHANNELS = 16  # a device that offers more is a mixer that takes any number, not a microphone
NO_ASCII = "(null)"  # what the JSON of pactl 16 has in place of a name with other letters
NAMED = re.compile(r"^\s*Name: (.*)\n\s*Description: (.*)$", re.MULTILINE)  # in its answer for people
LOOPBACKS = re.compile(r"\bmonitor\b|loopback|stereo mix|what u hear|blackhole|soundflower|cable output", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Device:
    """Something that gives sound."""

    index: int  # in the list that the user sees
    name: str  # for people
    rate: int  # samples a second, its own
    channels: int
    is_default: bool
    is_loopback: bool  # what plays on this machine, not a microphone
    portaudio: int  # PortAudio's number for it, until PortAudio is started again
    source: str | None = None  # the sound server's name for it
    followed: str | None = None  # the same of a default that is listened to wherever the sound server moves it


def inputs() -> list[Device]:
    """All that can be listened to: the sound server's sources first, since they have names that people know."""
    portaudio = sounddevice()
    found = [dict(values) for values in portaudio.query_devices()]
    default = portaudio.default.device[0]
    server = next((number for number, values in enumerate(found) if values["name"] == SERVER_DEVICE), None)
    devices: list[Device] = []
    if server is not None:
        preferred = (_pactl("info") or {}).get("default_source_name")
        for values in _sources() or []:
            name, (rate, channels) = values["description"], _shape(values["sample_specification"])
            loopback = values.get("monitor_source") not in (None, "", "n/a")
            chosen = values["name"] == preferred
            devices.append(Device(len(devices), name, rate, channels, chosen, loopback, server, values["name"]))
    known = any(device.is_default for device in devices)
    for number, values in enumerate(found):
        if channels := values["max_input_channels"]:
            name, rate = values["name"], round(values["default_samplerate"])
            channels = channels if channels <= MOST_CHANNELS else 1
            chosen = number == default and not known
            devices.append(Device(len(devices), name, rate, channels, chosen, bool(LOOPBACKS.search(name)), number))
    return devices


def default_input(devices: Sequence[Device]) -> Device:
    """What the system prefers. Its source is left open: the sound server knows best, and moves along if that changes.

    Raises:
        MicrophoneError: nothing can be listened to.
    """
    if not devices:
        raise MicrophoneError(f"no microphone was found; {_cure()}")
    device = next((device for device in devices if device.is_default), devices[0])
    return replace(device, is_default=True, source=None, followed=device.source)


def find(wanted: str, devices: Sequence[Device]) -> Device:
    """The device with this number or name; a part of the name will do if no other has it.

    Raises:
        MicrophoneError: there is none, or more than one.
    """
    if not devices:
        raise MicrophoneError(f"no microphone was found; {_cure()}")
    if wanted.isdecimal() and int(wanted) < len(devices):
        return devices[int(wanted)]
    sought = wanted.casefold()
    exact = [device for device in devices if sought in (device.name.casefold(), (device.source or "").casefold())]
    partly = [device for device in devices if sought in f"{device.name}\n{device.source or ''}".casefold()]
    chosen = exact or partly
    if not chosen:
        raise MicrophoneError(f"--device {wanted}: there is no such microphone; granite-stream devices lists them")
    if len(chosen) > 1:
        names = ", ".join(f"{device.index} {device.name}" for device in chosen)
        raise MicrophoneError(f"--device {wanted}: could be {names}; say its number")
    return chosen[0]


def again(device: Device, devices: Sequence[Device]) -> Device:
    """The same device in a newer list, where its number may be another.

    Raises:
        MicrophoneError: it is not there.
    """
    for each in devices:
        if (each.name, each.source) == (device.name, device.source):
            return each
    raise MicrophoneError(f"{device.name} is not there")


def as_it_is(device: Device) -> Device | None:
    """The device as the sound server has it now: the default may be another one, and listeners are moved to it.

    None: its source is gone; its listeners get another without a word. A server that does not answer has said nothing
    against it: if it is gone, there will be no sound either.
    """
    if device.followed is not None:
        default = (_pactl("info") or {}).get("default_source_name")
        if default in (None, device.followed):
            return device
        now = [values["description"] for values in _sources() or [] if values["name"] == default]
        return replace(device, name=now[0], followed=default) if now else device
    if device.source is None or (sources := _sources()) is None:
        return device
    return device if any(values["name"] == device.source for values in sources) else None


def show_devices(out: TextIO) -> None:
    """A table for people.

    Raises:
        MicrophoneError: PortAudio is missing, or there is nothing to show.
    """
    devices = inputs()
    if not devices:
        raise MicrophoneError(f"no microphone was found; {_cure()}")
    width = max(len(device.name) for device in devices)
    for device in devices:
        mark = "*" if device.is_default else " "
        channels = {1: "mono", 2: "stereo"}.get(device.channels, f"{device.channels} channels")
        loopback = "   what plays here (loopback)" if device.is_loopback else ""
        line = f"{mark} {device.index:>2}  {device.name:<{width}}  {device.rate:>6} Hz  {channels}{loopback}"
        out.write(f"{line.rstrip()}\n")
    out.write("* is the default. Choose another by number or name: granite-stream --mic --device NAME\n")


def main(arguments: Sequence[str], complain: Complain) -> int:
    """`granite-stream devices`.

    Raises:
        SystemExit: help was asked for (0), or it makes no sense (2).
        MicrophoneError: sound cannot be had.
    """
    parser = Parser(complain, prog="granite-stream devices", description="Lists what can be listened to.")
    parser.parse_args(arguments)
    with quiet_libraries():
        show_devices(sys.stdout)
    return DONE


def _sources() -> list[dict[str, Any]] | None:
    sources = _pactl("list", "sources")
    if not isinstance(sources, list):
        return None
    if any(values.get("description") == NO_ASCII for values in sources):
        told = dict(NAMED.findall(_answer("list", "sources") or ""))
        sources = [{**values, "description": told.get(values["name"], values["name"])} for values in sources]
    return sources


def _pactl(*command: str) -> Any:
    """The sound server's answer; None if there is no server, or it is too busy, or no `pactl` that speaks JSON."""
    try:
        return json.loads(_answer("--format=json", *command) or "null")
    except ValueError:
        return None


def _answer(*words: str) -> str | None:
    # In some languages its numbers have a comma, and are no JSON.
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    try:
        asked = subprocess.run(
            ["pactl", *words], capture_output=True, timeout=SERVER_SECONDS, env=environment, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return asked.stdout.decode(errors="replace")


def _shape(specification: str) -> tuple[int, int]:
    """Rate and channels of `s16le 2ch 44100Hz`."""
    shape = re.search(r"(\d+)ch (\d+)Hz", specification)
    assert shape, specification
    return int(shape[2]), int(shape[1])


def _cure() -> str:
    if _sources():
        return "the sound server has some, but PortAudio does not see them: apt install libasound2-plugins"
    return "plug one in, or start the sound server of your desktop"
