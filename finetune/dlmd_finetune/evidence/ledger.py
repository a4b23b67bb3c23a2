"""Results that survive a kill: an append-only file of JSON lines, one per result.

Each row has a "key" that names everything it depends on, so a row is either the
answer to the very question or not found. A last line cut off by a kill is dropped.
Must not know what the results mean.
"""

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

HEADER = b'{"dlmd": "evaluation results", "version": 1}\n'
PATIENCE_S = 1.0
Row = dict[str, Any]


def key_of(*parts: object) -> str:
    text = json.dumps(parts, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    path: Path
    rows: dict[str, Row]
    file: BinaryIO

    def add(self, row: Row) -> None:
        # One write per row: a kill can cut the last line off, never mix two.
        self.file.write(json.dumps(row).encode() + b"\n")
        self.rows[row["key"]] = row


@contextmanager
def open_ledger(path: Path, *, wait: bool) -> Iterator[Ledger]:
    """Locked for its lifetime; `wait` for another run, or refuse."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+b", buffering=0)
    except OSError as error:
        raise ValueError(
            f"cannot write results to {path}: {error.strerror}; name a file with --out"
        ) from error
    with file:
        _lock(file, path, wait)
        file.seek(0)
        rows = _recover(file, path)
        yield Ledger(path=path, rows=rows, file=file)


def read_ledger(path: Path) -> dict[str, Row]:
    """What was kept so far, be its run over or not."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ValueError(
            f"cannot read {path}: {error.strerror}; name a file of evaluation results"
        ) from error
    if not content.startswith(HEADER):
        raise ValueError(
            f"{path} is not a file of evaluation results; `dlmd eval` says where it "
            "keeps them"
        )
    return _rows(content, path)


def _lock(file: BinaryIO, path: Path, wait: bool) -> None:
    # A process that a run was just starting when it was killed holds the lock for a
    # moment longer than the run itself.
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            if time.monotonic() > deadline:
                raise ValueError(
                    f"another evaluation is writing to {path}; "
                    "wait for it, or name another file with --out"
                ) from error
        time.sleep(0.05)


def _recover(file: BinaryIO, path: Path) -> dict[str, Row]:
    content = file.read()
    if not content.startswith(HEADER):
        if not HEADER.startswith(content):
            raise ValueError(
                f"{path} is not a file of evaluation results; "
                "name another file with --out"
            )
        os.ftruncate(file.fileno(), 0)
        file.write(HEADER)
        return {}
    os.ftruncate(file.fileno(), content.rfind(b"\n") + 1)
    return _rows(content, path)


def _rows(content: bytes, path: Path) -> dict[str, Row]:
    """Of its whole lines; one cut off by a kill, or still being written, is none."""
    lines = content[len(HEADER) : content.rfind(b"\n") + 1].splitlines()
    return dict(_row(line, number, path) for number, line in enumerate(lines, 2))


def _row(line: bytes, number: int, path: Path) -> tuple[str, Row]:
    try:
        row = json.loads(line)
        return row["key"], row
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"line {number} of {path} is not a result; "
            "delete that line, or name another file with --out"
        ) from error
