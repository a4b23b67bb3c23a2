"""Files that .gitignore and .dlmdignore of their folders leave out.

`.dlmdignore` is written as `.gitignore` is, and is read after it, so that it can take files
back in. Must not know documents, nor what is asked of whom.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

FILES = (".gitignore", ".dlmdignore")
# How long a verdict holds before the ignore files are looked at again.
FRESH_S = 2.0
_verdicts: dict[str, tuple[float, bool]] = {}


def is_ignored(path: str) -> bool:
    now = time.monotonic()
    known = _verdicts.get(path)
    if known is None or now - known[0] > FRESH_S:
        if len(_verdicts) > 4096:
            _verdicts.clear()
        known = _verdicts[path] = (now, _verdict(Path(path)))
    return known[1]


def _verdict(path: Path) -> bool:
    """Of all patterns that fit, the last word: deeper folders after the ones above them."""
    if not path.is_absolute():
        return False
    ignored = False
    for folder in _folders(path):
        inside = path.relative_to(folder).as_posix()
        for name in FILES:
            spec = _spec(folder / name)
            said = None if spec is None else spec.check_file(inside).include
            ignored = ignored if said is None else said
    return ignored


def _folders(path: Path) -> Iterator[Path]:
    """From the top of the repository down; without one, from the root of the disk."""
    above = list(path.parents)
    tops = [number for number, folder in enumerate(above) if (folder / ".git").exists()]
    return reversed(above[: tops[0] + 1] if tops else above)


def _spec(file: Path) -> Any | None:
    try:
        stamp = file.stat()
    except OSError:
        return None
    return _read(file, stamp.st_mtime_ns, stamp.st_size)


@lru_cache(maxsize=256)
def _read(file: Path, mtime: int, size: int) -> Any | None:
    from pathspec import GitIgnoreSpec

    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
        return GitIgnoreSpec.from_lines(lines)
    except (OSError, ValueError):
        return None  # a pattern that git too would not understand
