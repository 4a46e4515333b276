"""A repository of the Hugging Face hub as a directory: fetched once, then found in the cache.

What is small comes first: it says whether the model can be run, and which files its weights are. Nothing else is read,
however much lies in the repository. A connection that breaks is taken up where it broke; a process that ends keeps the
files that are whole.
"""

from __future__ import annotations

import errno
import logging
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from model.config import SpeechConfig
from model.errors import CheckpointError
from model.files import SMALL, weight_names
from model.lora import ADAPTER_CONFIG, ADAPTER_WEIGHTS

log = logging.getLogger("granite_stream")

NAME = re.compile(r"(\w[\w.-]*/\w[\w.-]*)(?:@(\w[\w./-]*))?")
FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True, slots=True)
class Repository:
    """A model on the hub, perhaps pinned to a branch, tag or commit."""

    name: str  # owner/name
    revision: str | None = None

    @classmethod
    def parse(cls, model: str) -> Self | None:
        """Takes `owner/name` or `owner/name@revision`; None if it is neither."""
        found = NAME.fullmatch(model)
        return cls(found[1], found[2]) if found else None

    def __str__(self) -> str:
        return self.name if self.revision is None else f"{self.name}@{self.revision}"

    def fetch(self) -> Path:
        """The directory in the cache that holds the checkpoint, complete.

        Raises:
            CheckpointError: it cannot be fetched, or is no Granite Speech checkpoint; one line says what to do.
        """
        try:
            directory = self._snapshot(self.revision, SMALL)
            if missing := lacking(directory):
                self._check_disk(directory, missing)
                self._snapshot(directory.name, missing)  # the cache names directories by their commit
        except CheckpointError as error:
            older = None if self.revision else newest_whole(self._versions)
            if older is None:
                raise
            log.warning("%s; until then an older version of it is used, %s", error, older.name[:7])
            return older
        return directory

    def cached(self) -> str:
        """`yes`, `in part` or `no`: what of it lies in the cache. Asks nobody."""
        from huggingface_hub import try_to_load_from_cache

        if self.revision is None and newest_whole(self._versions):
            return "yes"
        found = try_to_load_from_cache(self.name, "config.json", revision=self.revision)
        if not isinstance(found, str):
            return "no"
        return "yes" if is_whole(Path(found).parent) else "in part"

    @property
    def _versions(self) -> Path:
        """Where the cache keeps a directory for each commit."""
        from huggingface_hub import constants
        from huggingface_hub.file_download import repo_folder_name

        return Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=self.name, repo_type="model") / "snapshots"

    def _snapshot(self, revision: str | None, names: Sequence[str]) -> Path:
        from huggingface_hub import snapshot_download  # late: it takes longer to load than nano

        try:
            return Path(snapshot_download(self.name, revision=revision, allow_patterns=list(names)))
        except Exception as error:  # of the hub's client, of whatever sends its requests, or of the file system
            raise CheckpointError(self._explain(error)) from error

    def _check_disk(self, directory: Path, names: Sequence[str]) -> None:
        """Better before gigabytes are fetched than when they no longer fit."""
        from huggingface_hub import HfApi, constants

        try:
            there = HfApi().model_info(self.name, revision=directory.name, files_metadata=True).siblings or []
        except Exception:  # no sizes, no check: the download itself will tell what is wrong
            return
        files = {file.rfilename: file for file in there}
        if absent := [name for name in names if name not in files]:
            raise CheckpointError(f"{self} lacks {', '.join(absent)} on the hub: it is not a complete checkpoint")
        cache = Path(constants.HF_HUB_CACHE)
        blobs = directory.parent.parent / "blobs"  # the content of all versions, by its checksum
        needed = 0
        for file in map(files.__getitem__, names):
            checksum = file.lfs.sha256 if file.lfs else file.blob_id
            needed += 0 if checksum and (blobs / checksum).exists() else file.size or 0
        free = shutil.disk_usage(cache).free
        if needed > free:
            raise CheckpointError(
                f"{self} needs {needed / 1e9:.1f} GB on the disk of {cache} and {free / 1e9:.1f} GB are free: "
                "make room, or set HF_HOME to a larger disk"
            )

    def _explain(self, error: BaseException) -> str:
        """One line that says what went wrong and what to do."""
        from huggingface_hub import constants, errors, get_token

        cache, hub = constants.HF_HUB_CACHE, constants.ENDPOINT
        # some versions of the library make errors of this kind where there was no answer at all
        status = getattr(getattr(error, "response", None), "status_code", None)
        match error:
            case errors.LocalEntryNotFoundError() if constants.HF_HUB_OFFLINE:
                reason = f"it is not complete in {cache} and HF_HUB_OFFLINE is set; unset it once to fetch the model"
            case errors.LocalEntryNotFoundError():
                reason = f"{hub} cannot be reached and it is not complete in {cache}; check the network"
            case errors.GatedRepoError():
                reason = f"it is gated; ask for access at {hub}/{self.name}, then run hf auth login or set HF_TOKEN"
            case errors.RevisionNotFoundError():
                reason = f"it has no revision {self.revision}; leave out what follows the @, or correct it"
            case _ if status == 401 and get_token():
                reason = "the hub refuses your token; run hf auth login again, or unset HF_TOKEN for public models"
            case errors.RepositoryNotFoundError():
                reason = "the hub knows no such model; check the name, or run hf auth login if it is private"
            case OSError(errno=number) if number in FULL:
                reason = f"the disk of {cache} is full; make room or set HF_HOME to a larger one, then run this again"
            case PermissionError():
                reason = f"{error.filename or cache} cannot be written; set HF_HOME to a directory of yours"
            case _:
                told = (str(error).strip() or type(error).__name__).splitlines()[0]
                reason = f"{told}; run this again: files that are whole are kept"
        return f"cannot fetch {self} from the hub: {reason}; or pass a directory"


def lacking(directory: Path) -> list[str]:
    """The files of weights that are not there yet, where everything small is.

    Raises:
        CheckpointError: it is no Granite Speech checkpoint.
    """
    has_adapter = SpeechConfig.read_alone(directory).has_lora_adapter or (directory / ADAPTER_CONFIG).exists()
    names = [*weight_names(directory), *([ADAPTER_WEIGHTS] if has_adapter else [])]
    return [name for name in names if not (directory / name).exists()]


def is_whole(directory: Path) -> bool:
    """Whether a checkpoint is there with all its weights."""
    try:
        return (directory / "tokenizer.json").exists() and not lacking(directory)
    except (CheckpointError, OSError):  # the latter: somebody else's, who lets nobody in
        return False


def newest_whole(versions: Path) -> Path | None:
    """Of the directories in this one, the whole one that came last."""
    try:
        there = list(versions.iterdir()) if versions.is_dir() else []
    except OSError:  # somebody else's, who lets nobody in
        return None
    return max(filter(is_whole, there), key=lambda version: version.stat().st_mtime, default=None)
