"""Checkpoints come from the hub whole and only as far as they are needed; each failure is a line that says what to do.

The hub's own client runs, in a process of its own, against a server on this machine that answers as the hub does.
"""

from __future__ import annotations

import errno
import json
import os
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from safetensors.torch import load_file

from model import GraniteSpeech
from model.errors import CheckpointError
from model.files import INDEX, SINGLE
from model.hub import Repository
from model.lora import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from tests.checkpoints import VARIANTS, adapt, change, save
from tests.hub import COMMIT, Hub, serve

NAME = "granite/tiny"
FETCH = """
import sys
from model import GraniteSpeech
from model.errors import CheckpointError
from model.hub import Repository
try:
    print(Repository.parse(sys.argv[1]).fetch())
except CheckpointError as error:
    sys.exit(f"error: {error}")
"""
MEGABYTES = 10 << 20  # the client writes so much at once; what it has not written it takes up again
NOWHERE = "http://127.0.0.1:9"  # the discard port: nobody listens


@dataclass
class Client:
    """A machine with a cache of its own."""

    home: Path
    hub: Hub

    def run(self, model: str = NAME, **environment: str) -> subprocess.CompletedProcess[str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HUGGING"))}
        mine = {"HF_HOME": str(self.home), "HF_ENDPOINT": self.hub.url, "HF_HUB_ETAG_TIMEOUT": "2", **environment}
        command = [sys.executable, "-c", FETCH, model]
        return subprocess.run(command, env={**kept, **mine}, capture_output=True, text=True, timeout=60)

    def fetch(self, model: str = NAME, **environment: str) -> Path:
        result = self.run(model, **environment)
        assert result.returncode == 0, result.stderr
        return Path(result.stdout.strip())

    def refusal(self, model: str = NAME, **environment: str) -> str:
        """The line that a failure says."""
        result = self.run(model, **environment)
        assert result.returncode == 1, result.stdout
        lines = result.stderr.splitlines()
        line = lines[-1]
        assert line.startswith(f"error: cannot fetch {model} from the hub: "), result.stderr
        assert line.endswith("; or pass a directory")
        return line


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository as they come: shards, an orphan among them, and what nobody needs."""
    directory = save(VARIANTS[1], tmp_path_factory.mktemp("repository"), sharded=True)
    (directory / "README.md").write_text("# a card")
    (directory / "pytorch_model.bin").write_bytes(b"another format")
    return directory


@pytest.fixture
def client(saved: Path, tmp_path: Path) -> Iterator[Client]:
    with serve(Hub(NAME, shutil.copytree(saved, tmp_path / "repository"))) as hub:
        yield Client(tmp_path / "home", hub)


def test_a_name_is_owner_and_name_and_may_be_pinned() -> None:
    assert Repository.parse("a/b.c-1") == Repository("a/b.c-1")
    assert Repository.parse("a/b@v1.0") == Repository("a/b", "v1.0")
    assert str(Repository("a/b", "v1.0")) == "a/b@v1.0"
    for other in ("a", "a/b/c", "./a", "../b", "a/b@", "a b/c"):
        assert Repository.parse(other) is None


def test_only_what_is_needed_is_fetched(client: Client) -> None:
    directory = client.fetch()
    shards = set(json.loads((directory / INDEX).read_text())["weight_map"].values())
    small = {"config.json", "tokenizer.json", "tokenizer_config.json", INDEX}
    assert client.hub.fetched() == shards | small
    assert {path.name for path in directory.iterdir()} == shards | small
    assert (client.hub.directory / "model-99999-of-99999.safetensors").exists()
    for name in shards:
        assert load_file(directory / name).keys() == load_file(client.hub.directory / name).keys()


def test_an_adapter_is_fetched_too(client: Client) -> None:
    adapt(VARIANTS[1], client.hub.directory)
    assert {ADAPTER_CONFIG, ADAPTER_WEIGHTS} <= {path.name for path in client.fetch().iterdir()}


def test_what_is_in_the_cache_is_not_fetched_again(client: Client) -> None:
    first = client.fetch()
    client.hub.asked.clear()
    assert client.fetch() == first
    assert not client.hub.fetched()


@pytest.mark.parametrize(
    "environment", [{"HF_HUB_OFFLINE": "1"}, {"HF_ENDPOINT": NOWHERE}], ids=["offline", "no network"]
)
def test_what_is_in_the_cache_needs_no_network(client: Client, environment: dict[str, str]) -> None:
    first = client.fetch()
    assert client.fetch(**environment) == first


def test_a_pinned_commit_that_is_in_the_cache_is_asked_for_nowhere(client: Client) -> None:
    first = client.fetch(f"{NAME}@{COMMIT}")
    client.hub.asked.clear()
    assert client.fetch(f"{NAME}@{COMMIT}") == first
    assert not any(NAME in line for line in client.hub.asked)


def test_a_revision_is_that_of_the_hub(client: Client) -> None:
    assert client.fetch(f"{NAME}@v1").name == COMMIT
    assert any("/revision/v1" in line for line in client.hub.asked)
    assert "it has no revision v2" in client.refusal(f"{NAME}@v2")


def test_a_connection_that_breaks_is_taken_up_where_it_broke(client: Client) -> None:
    (client.hub.directory / INDEX).unlink()
    weights = client.hub.directory / SINGLE
    weights.write_bytes(random.Random(1).randbytes(3 * MEGABYTES))
    client.hub.breaks_after[SINGLE] = 2 * MEGABYTES
    assert (client.fetch() / SINGLE).read_bytes() == weights.read_bytes()
    assert any(f"{SINGLE} bytes=" in line for line in client.hub.asked), "it began again"


def test_files_that_are_whole_are_kept_when_another_fails(client: Client) -> None:
    (last,) = client.hub.directory.glob("model-00022-*")
    client.hub.forbidden.add(last.name)
    assert client.run().returncode == 1
    kept = {path.name for path in client.home.glob("hub/*/snapshots/*/model-*")}
    assert kept
    client.hub.forbidden.clear()
    client.hub.asked.clear()
    client.fetch()
    assert last.name in client.hub.fetched()
    assert not client.hub.fetched() & kept


def test_progress_is_shown_on_standard_error(client: Client) -> None:
    result = client.run()
    assert "config.json" not in result.stdout
    assert "%" in result.stderr


@pytest.mark.parametrize(
    ("environment", "message"),
    [({"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE is set"), ({"HF_ENDPOINT": NOWHERE}, "cannot be reached")],
    ids=["offline", "no network"],
)
def test_what_is_not_in_the_cache_needs_a_network(client: Client, environment: dict[str, str], message: str) -> None:
    assert message in client.refusal(**environment)


def test_half_a_model_without_a_network_is_named_as_that(client: Client) -> None:
    shard = next(client.fetch().glob("model-00002*"))
    shard.unlink()
    line = client.refusal(HF_HUB_OFFLINE="1")
    assert "it is not complete in" in line


@pytest.mark.parametrize(
    ("refusal", "token", "message"),
    [
        ((404, "RepoNotFound"), "", "the hub knows no such model"),
        ((401, "RepoNotFound"), "", "the hub knows no such model"),
        ((401, ""), "hf_revoked", "the hub refuses your token"),
        ((403, "GatedRepo"), "hf_other", "it is gated; ask for access at"),
        ((503, ""), "", "cannot be reached"),
    ],
    ids=["unknown", "private", "revoked token", "gated", "down"],
)
def test_a_refusal_of_the_hub_says_what_to_do(
    client: Client, refusal: tuple[int, str], token: str, message: str
) -> None:
    client.hub.refusal = refusal
    client.hub.error_message = "Invalid credentials in Authorization header" if token == "hf_revoked" else ""
    assert message in client.refusal(HF_TOKEN=token)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "llama"}, "describes a 'llama' model"),
        ({"model_type": "granite_speech_nar"}, "(non-autoregressive) and is not supported yet; granite-stream runs"),
        (
            {"quantization_config": {"quant_method": "fp8"}},
            "take the original checkpoint, with --quantize int8 or int4",
        ),
    ],
    ids=["another kind", "a relative", "quantised"],
)
def test_what_cannot_be_run_is_refused_before_its_weights_are_fetched(
    client: Client, changes: dict[str, object], message: str
) -> None:
    change(client.hub.directory / "config.json", **changes)
    assert message in client.run().stderr
    assert not any(".safetensors" in name for name in client.hub.fetched() if name != INDEX)


def test_weights_that_the_repository_lacks_are_named(client: Client) -> None:
    (shard,) = client.hub.directory.glob("model-00002-*")
    shard.unlink()
    assert f"lacks {shard.name} on the hub" in client.run().stderr


def test_a_disk_that_is_too_small_is_told_before_anything_is_fetched(client: Client) -> None:
    (shard,) = client.hub.directory.glob("model-00002-*")
    client.hub.claimed[shard.name] = 10**18
    error = client.run().stderr
    assert "needs 1000000000.0 GB on the disk of" in error
    assert "make room, or set HF_HOME to a larger disk" in error
    assert not any(name.startswith("model-") for name in client.hub.fetched())


@pytest.mark.parametrize("name", ["model-00002-*", "tokenizer.json", "config.json", INDEX])
def test_what_is_damaged_in_the_cache_is_named_as_the_file_to_remove(client: Client, name: str) -> None:
    (link,) = client.fetch().glob(name)
    content = link.read_bytes()
    link.write_bytes(content[: len(content) // 2])  # as a loss of power leaves it
    with pytest.raises(CheckpointError, match="then run this again") as damage:
        GraniteSpeech.load(str(link.parent))
    (named,) = re.findall(r"remove (\S+), then", str(damage.value))
    Path(named).unlink()
    assert (client.fetch() / link.name).read_bytes() == content


def test_a_commit_that_changes_no_weights_needs_no_room_for_them(client: Client) -> None:
    first = client.fetch()
    client.hub.commit, client.hub.asked = "e" * 40, []
    for shard in first.glob("model-*"):
        client.hub.claimed[shard.name] = 10**18  # as if the disk were full
    again = client.fetch()
    assert again.name == client.hub.commit
    assert not client.hub.fetched()
    assert client.fetch(HF_HUB_OFFLINE="1") == again


@pytest.mark.parametrize(
    ("name", "room"),
    [("model-00002-*", True), ("model-00002-*", False), ("tokenizer.json", True), ("config.json", True)],
)
def test_until_a_new_version_has_come_the_old_one_is_used(
    client: Client, name: str, room: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = client.fetch()
    (file,) = client.hub.directory.glob(name)
    client.hub.commit, client.hub.changed = "e" * 40, {file.name: 1}
    if room:
        client.hub.forbidden.add(file.name)
    else:
        client.hub.claimed[file.name] = 10**18
    result = client.run()
    assert result.stdout.strip() == str(first)
    assert result.stderr.splitlines()[-1].endswith(f"until then an older version of it is used, {first.name[:7]}")
    assert client.fetch(HF_HUB_OFFLINE="1") == first
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(client.home / "hub"))
    assert Repository(NAME).cached() == "yes"
    assert client.run(f"{NAME}@main").returncode == 1, "who pins a version gets it or none"
    client.hub.forbidden.clear()
    client.hub.claimed.clear()
    assert client.fetch().name == client.hub.commit


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "is full; make room or set HF_HOME"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "is full; make room or set HF_HOME"),
        (PermissionError(errno.EACCES, "Permission denied", "/cache"), "/cache cannot be written"),
        (ConnectionResetError("peer went away\nsecond line"), "peer went away; run this again"),
        (RuntimeError(), "RuntimeError; run this again"),
    ],
    ids=["disk full", "quota", "no right to write", "connection lost", "anything else"],
)
def test_a_fault_while_downloading_is_one_line(monkeypatch: pytest.MonkeyPatch, fault: Exception, message: str) -> None:
    def fail(*_: object, **__: object) -> None:
        raise fault

    monkeypatch.setattr("huggingface_hub.snapshot_download", fail)
    with pytest.raises(CheckpointError) as caught:
        Repository("owner/name").fetch()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("lose", "state"),
    [(lambda directory: None, "yes"), (lambda directory: next(directory.glob("model-00001*")).unlink(), "in part")],
    ids=["whole", "a shard lost"],
)
def test_the_cache_tells_what_it_holds(
    client: Client, monkeypatch: pytest.MonkeyPatch, lose: Callable[[Path], object], state: str
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(client.home / "hub"))
    assert Repository(NAME).cached() == "no"
    lose(client.fetch())
    assert Repository(NAME).cached() == state
