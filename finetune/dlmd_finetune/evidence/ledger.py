"""Results that survive a kill: an append-only file of JSON lines, one per result.

Each row has a "key" that names everything it depends on, so a row is either the
answer to the very question or not found. A last line cut off by a kill is dropped.
Must not know what the results mean.
"""

import fcntl
import hashlib
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

HEADER = b'{"dlmd": "evaluation results", "version": 1}\n'
PATIENCE_S = 1.0
OUT = "name another file with --out"
TEXTS = ("task", "kind", "text")
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
def open_ledger(path: Path, *, wait: bool, instead: str = OUT) -> Iterator[Ledger]:
    """Locked for its lifetime; `wait` for another run, or refuse. `instead` is what to do
    where it cannot be used."""
    if path.exists() and not path.is_file():
        raise ValueError(f"{path} is no plain file to keep results in; {instead}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+b", buffering=0)
    except OSError as error:
        raise ValueError(
            f"cannot write results to {path}: {error.strerror}; {instead}"
        ) from error
    with file:
        _lock(file, path, wait)
        file.seek(0)
        rows = _recover(file, path, instead)
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
    return _rows(content, path, OUT)


def whole(row: Row, path: Path) -> Row:
    """A row that says what became of an answer, or ValueError."""
    wrong = [name for name in TEXTS if not isinstance(row.get(name), str)]
    if wrong:
        raise ValueError(
            f"the result {row['key']!r} in {path} has no {wrong[0]}; delete that line, "
            f"or {OUT}"
        )
    return row


def _lock(file: BinaryIO, path: Path, wait: bool) -> None:
    # A process that a run was just starting when it was killed holds the lock for a
    # moment longer than the run itself.
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() > deadline:
                told = f"another evaluation is writing to {path}"
                if not wait:
                    raise ValueError(f"{told}; wait for it, or {OUT}") from error
                print(f"{told}; waiting for it", file=sys.stderr)
                return fcntl.flock(file, fcntl.LOCK_EX)
        time.sleep(0.05)


def _recover(file: BinaryIO, path: Path, instead: str) -> dict[str, Row]:
    content = file.read(len(HEADER))
    if content != HEADER:
        cut_off = content.startswith(HEADER[:8]) and HEADER.startswith(content)
        if content and not cut_off:
            raise ValueError(f"{path} is not a file of evaluation results; {instead}")
        os.ftruncate(file.fileno(), 0)
        file.write(HEADER)
        return {}
    content += file.read()
    os.ftruncate(file.fileno(), content.rfind(b"\n") + 1)
    return _rows(content, path, instead)


def _rows(content: bytes, path: Path, instead: str) -> dict[str, Row]:
    """Of its whole lines; one cut off by a kill, or still being written, is none."""
    lines = content[len(HEADER) : content.rfind(b"\n") + 1].splitlines()
    return dict(
        _row(line, f"line {number} of {path}", instead)
        for number, line in enumerate(lines, 2)
    )


def _row(line: bytes, where: str, instead: str) -> tuple[str, Row]:
    try:
        row = json.loads(line)
        return str(row["key"]), row
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(
            f"{where} is not a result; delete that line, or {instead}"
        ) from error
