"""What a run has done so far, so that a kill costs next to nothing.

A journal takes lines and never changes one; a line that a kill cut off is dropped. A
checkpoint appears by one rename, whole or not at all. Must not know what they hold.
"""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import torch


class Journal:
    """One JSON object a line, on disk when `add` comes back."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.file: BinaryIO = path.open("a+b", buffering=0)
        self.file.seek(0)
        known = self.file.read()
        self.file.truncate(known.rfind(b"\n") + 1)

    def add(self, row: dict[str, Any]) -> None:
        # One write: a kill can cut the last line off, never mix two.
        self.file.write(json.dumps(row).encode() + b"\n")

    def rows(self) -> Iterator[dict[str, Any]]:
        with self.path.open("rb") as file:
            for line in file:
                if line.endswith(b"\n"):
                    yield json.loads(line)

    def close(self) -> None:
        self.file.close()


def read(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a journal that nobody may write to any more."""
    if not path.exists():
        return []
    lines = path.read_bytes()
    return [json.loads(line) for line in lines[: lines.rfind(b"\n") + 1].splitlines()]


def rollouts(folder: Path) -> Iterator[dict[str, Any]]:
    """Of every process that has a journal there, each one's in the order they came."""
    for path in sorted(folder.glob("rollouts-*.jsonl")):
        yield from read(path)


def cut(path: Path, stays: Callable[[dict[str, Any]], bool]) -> None:
    """Drop the rows that are about to be written again."""
    rows = read(path)
    kept = [row for row in rows if stays(row)]
    if len(kept) < len(rows):
        write(path, "".join(json.dumps(row) + "\n" for row in kept))


def keep(state: dict[str, Any], path: Path) -> None:
    """Write a checkpoint; the one before it stays until this one is whole."""
    fresh = path.with_name(path.name + ".part")
    with fresh.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def kept(path: Path) -> dict[str, Any] | None:
    with suppress(FileNotFoundError):
        state: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
        return state
    return None


def write(path: Path, text: str) -> None:
    fresh = path.with_name(path.name + ".part")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)
