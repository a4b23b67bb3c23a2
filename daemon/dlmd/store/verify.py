"""Do the files of a model still hold what was pulled? Their sha256 says.

Every file is hashed in full the first time a process asks. A process remembers what it
hashed under the file's device, inode, size and both times, and hashes again when any of
them changed: nobody but the kernel sets the time of change. Nothing of that is kept on
disk, so a new daemon always reads everything. Must not know where files come from.
"""

import hashlib
import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from dlmd.store import shelf
from dlmd.store.files import is_read

Stamp = tuple[int, int, int, int, int]
# A file written to twice within one tick of its clock has the same times: younger ones
# are not remembered.
SETTLED_NS = 2_000_000_000
BLOCK = 1 << 20

_hashed: dict[Stamp, str] = {}


def check(folder: Path, progress: Callable[[int, int], None] | None = None) -> None:
    """Refuse a pulled model whose files are not those that were pulled.

    `progress` hears (bytes hashed, bytes in all). A folder that was never pulled has no
    hashes to hold it against, and passes.
    """
    record = shelf.of_folder(folder)
    if record is None:
        return
    strangers = {path.name for path in folder.iterdir() if is_read(path.name)}
    for name in sorted(strangers - record.files.keys()):
        raise ValueError(
            f"{folder / name} was not pulled with {record.name}; delete that file"
        )
    for name, expected in record.files.items():
        seen = _size(folder / name)
        if seen != expected.size:
            what = "is missing" if seen is None else f"has {seen} bytes"
            raise _other(record, folder / name, f"{what}, expected {expected.size}")
    found = hashes(folder, record.files, progress)
    for name, expected in record.files.items():
        if found[name] != expected.sha256:
            said = f"has sha256 {found[name][:12]}…, expected {expected.sha256[:12]}…"
            raise _other(record, folder / name, said)


def _other(record: shelf.Record, path: Path, said: str) -> ValueError:
    return ValueError(
        f"{path} {said}: it is not what was pulled; type `{shelf.again(record)}` to "
        "bring it again"
    )


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None


def hashes(
    folder: Path,
    names: Mapping[str, object],
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, str]:
    """sha256 of each file, a few at a time: hashing lets other threads run."""
    total = sum((folder / name).stat().st_size for name in names)
    done = 0

    def count(read: int) -> None:
        nonlocal done
        done += read  # a torn sum would only draw a wrong bar
        if progress is not None:
            progress(min(done, total), total)

    workers = min(4, os.cpu_count() or 1)
    with ThreadPoolExecutor(workers, "sha256") as pool:
        found = pool.map(lambda name: sha256(folder / name, count), names)
        return dict(zip(names, found, strict=True))


def sha256(path: Path, count: Callable[[int], None] = lambda _: None) -> str:
    """The file's hash; read in full unless this process did so, and nothing touched it since."""
    with path.open("rb") as file:
        began, before = time.time_ns(), _stamp(file.fileno())
        if before in _hashed:
            count(before[2])
            return _hashed[before]
        running = hashlib.sha256()
        while block := file.read(BLOCK):
            running.update(block)
            count(len(block))
        found = running.hexdigest()
        settled = max(before[3], before[4]) < began - SETTLED_NS
        if settled and before == _stamp(file.fileno()):
            _hashed[before] = found
        return found


def git_sha1(path: Path) -> str:
    """What git calls the file: the hash that a hub states for small ones."""
    running = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            running.update(block)
    return running.hexdigest()


def _stamp(descriptor: int) -> Stamp:
    seen = os.fstat(descriptor)
    return (
        seen.st_dev,
        seen.st_ino,
        seen.st_size,
        seen.st_mtime_ns,
        seen.st_ctime_ns,
    )
