"""What is shipped for operators fits the service."""

import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from streamer.commands.serving import parse

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "streamer" / "deploy"
UNIT = (DEPLOY / "granite-stream.service").read_text()
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()


@pytest.fixture
def tokens(tmp_path):
    path = tmp_path / "tokens"
    path.write_text("a-token-of-many-letters\n")
    return str(path)


def setting(name):
    return re.search(rf"^{name}=(.*)$", UNIT, re.MULTILINE)[1]


def test_the_unit_starts_what_the_command_understands(tokens):
    lines = re.findall(r"^#?ExecStart=\S+/granite-stream serve (.*)$", UNIT, re.MULTILINE)
    assert len(lines) == 2
    for line in lines:
        parse(line.replace("%d/tokens", tokens).split(), pytest.fail)


def test_the_unit_waits_for_ready_and_for_the_drain():
    assert setting("Type") == "notify"
    assert float(setting("TimeoutStopSec")) > parse([], pytest.fail).drain_seconds
    assert setting("Restart") == "on-failure"


def test_the_unit_gives_no_rights_that_are_not_needed():
    for name in ("DynamicUser", "NoNewPrivileges", "PrivateTmp", "PrivateDevices", "ProtectHome", "LockPersonality"):
        assert setting(name) == "yes"
    assert setting("ProtectSystem") == "strict"
    assert setting("CapabilityBoundingSet") == ""


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="not installed: systemd")
def test_systemd_understands_every_line_of_the_unit(tmp_path):
    unit = tmp_path / "granite-stream.service"
    unit.write_text(UNIT.replace("/opt/granite-stream/bin/granite-stream", sys.executable))  # it must be there
    verified = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, timeout=60)
    assert [line for line in verified.stderr.splitlines() if unit.name in line] == []  # it looks at others too
    assert verified.returncode == 0


def test_the_container_starts_what_the_command_understands(tokens):
    command, *arguments = json.loads(re.search(r"^CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)[1])
    assert command == "serve"
    serving = parse([tokens if each == "/run/secrets/tokens" else each for each in arguments], pytest.fail)
    assert re.search(rf"^EXPOSE {serving.port}$", DOCKERFILE, re.MULTILINE)
    assert f"127.0.0.1:{serving.port}/health" in DOCKERFILE


def test_the_container_is_made_of_what_is_installed_and_of_nothing_else():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = {name.rstrip("*") for name in project["tool"]["setuptools"]["packages"]["find"]["include"]}
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert lines[1] == "*"
    assert {line[1:] for line in lines if line[0] == "!"} == packages | {"LICENSE", "README.md", "pyproject.toml"}


def test_the_container_is_nobody():
    user = re.findall(r"^USER (\d+)$", DOCKERFILE, re.MULTILINE)
    assert [int(each) > 0 for each in user] == [True]
