"""The Hugging Face cache of this user: which of a model's files it already holds.

Reads its folders and links only, so that it also answers offline. Nothing is ever written
there. Must not know the network, nor what becomes of the files.
"""

import os
import re
from pathlib import Path

from dlmd.store.files import is_read
from dlmd.store.hub import Offer, Wanted

_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def cache_dir() -> Path:
    """Where huggingface_hub would put it, by the same variables."""
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if chosen := os.environ.get(name):
            return Path(os.path.expandvars(chosen)).expanduser().absolute()
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = os.environ.get("HF_HOME") or os.path.join(cache, "huggingface")
    return Path(os.path.expandvars(home)).expanduser().absolute() / "hub"


def held(repository: str, revision: str, name: str) -> Path | None:
    """A file of a commit in the cache; what it holds is still to be checked."""
    path = _repository(repository) / "snapshots" / revision / name
    return path if path.is_file() else None


def offer(repository: str, revision: str) -> Offer | None:
    """What the cache has of a repository, in place of the hub's answer.

    A cached file is named by its hash, as the hub once stated it.
    """
    commit = _commit(repository, revision)
    if commit is None:
        return None
    folder = _repository(repository) / "snapshots" / commit
    if not folder.is_dir():
        return None
    files = tuple(
        _wanted(path) for path in sorted(folder.iterdir()) if is_read(path.name)
    )
    return Offer(repository=repository, revision=commit, licence=None, files=files)


def _commit(repository: str, revision: str) -> str | None:
    if _COMMIT.fullmatch(revision):
        return revision
    refs = _repository(repository) / "refs"
    path = refs / revision
    # A branch may hold slashes, but must not lead out of the cache.
    if refs.resolve() not in path.resolve().parents or not path.is_file():
        return None
    commit = path.read_text(encoding="utf-8").strip()
    return commit if _COMMIT.fullmatch(commit) else None


def _wanted(path: Path) -> Wanted:
    blob = Path(os.readlink(path)).name if path.is_symlink() else ""
    return Wanted(
        name=path.name,
        size=path.stat().st_size,
        sha256=blob if _SHA256.fullmatch(blob) else None,
        git_sha1=blob if _COMMIT.fullmatch(blob) else None,
    )


def _repository(repository: str) -> Path:
    return cache_dir() / f"models--{repository.replace('/', '--')}"
