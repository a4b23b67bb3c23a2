"""The copy in which everything runs, and proof that a tree did not change.

The working tree is copied as it is, uncommitted changes included; version control,
environments and caches stay behind. Must not know tests or Python.
"""

import hashlib
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from dlmd_finetune.sandbox import prepare

LIMIT_MB = 2048
LIMIT_FILES = 100_000

Manifest = dict[str, tuple[int, int, str]]  # path: mode, size, digest


def walk(root: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Files and links below, as relative paths; not through links, not into what no room
    would copy."""
    stack = [""]
    while stack:
        folder = stack.pop()
        with os.scandir(root / folder) as entries:
            for entry in sorted(entries, key=lambda e: e.name):
                path = f"{folder}{entry.name}"
                facts = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(facts.st_mode):
                    if not prepare.skipped(entry):
                        stack.append(f"{path}/")
                elif stat.S_ISREG(facts.st_mode) or stat.S_ISLNK(facts.st_mode):
                    yield path, facts


def copy(source: Path, target: Path) -> Manifest:
    """A fresh copy, whatever stood there before; links are kept as links."""
    files = list(walk(source))
    total = sum(facts.st_size for _, facts in files)
    if total > LIMIT_MB << 20 or len(files) > LIMIT_FILES:
        raise ValueError(
            f"{source} holds {len(files):,} files and {total >> 20:,} MB; at most "
            f"{LIMIT_FILES:,} and {LIMIT_MB:,} MB are copied: name the folder of one "
            "package in it instead"
        )
    clear(target)
    target.mkdir(parents=True)
    for path, _ in files:
        place = target / path
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source / path, place, follow_symlinks=False)
    return manifest(target)


def clear(folder: Path) -> None:
    """Also what tests made unwritable."""

    def insist(function: object, path: str, _: object) -> None:
        os.chmod(os.path.dirname(path), 0o700)
        if not os.path.islink(path) and os.path.isdir(path):
            os.chmod(path, 0o700)
            shutil.rmtree(path, ignore_errors=True)
        else:
            Path(path).unlink(missing_ok=True)

    if folder.exists():
        shutil.rmtree(folder, onerror=insist)


def manifest(root: Path) -> Manifest:
    return {path: _entry(root / path, facts) for path, facts in walk(root)}


def _entry(path: Path, facts: os.stat_result) -> tuple[int, int, str]:
    if stat.S_ISLNK(facts.st_mode):
        content = os.readlink(path).encode(errors="surrogateescape")
    else:
        content = path.read_bytes()
    digest = hashlib.blake2b(content, digest_size=16).hexdigest()
    return stat.S_IMODE(facts.st_mode), facts.st_size, digest


def differences(before: Manifest, after: Manifest) -> list[str]:
    paths = sorted(before.keys() | after.keys())
    return [path for path in paths if before.get(path) != after.get(path)]


def restore(source: Path, target: Path, wanted: Manifest) -> list[str]:
    """Makes the copy what it was, also where a folder stands in a file's place, or may not
    be entered; the paths that had changed."""
    prepare.open_folders(target)
    changed = differences(wanted, manifest(target))
    for path in changed:
        place = target / path
        if place.is_dir() and not place.is_symlink():
            clear(place)
        elif os.path.lexists(place):
            place.unlink()
        if path in wanted:
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source / path, place, follow_symlinks=False)
    return changed
