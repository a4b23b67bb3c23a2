"""Holes cut from real Python files, as many of each length as asked for.

A hole is the end of a line, a whole line, or a run of whole lines, and keeps the text that
was there. Files come from a folder of source or of wheels, which stay unopened. The same
folder, seed and numbers give the same holes. Must not know models or decoding.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from dlmd.decode import Tokenizer
from dlmd_finetune.corpus import worth_keeping
from dlmd_finetune.sources import read_sources

BUCKETS = ((1, 8), (9, 32), (33, 128))
MOST_LINES = 14
PER_FILE = 4  # holes of one length bucket
TRIES = 400  # cuts for each hole that is wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """A place in a file: what was there, and all that stands around it."""

    path: str
    before: str
    text: str
    after: str
    tokens: int

    @property
    def lines(self) -> int:
        return self.text.count("\n") + 1


def bucket_of(tokens: int) -> int:
    """Index of the length bucket, -1 outside all."""
    for index, (least, most) in enumerate(BUCKETS):
        if least <= tokens <= most:
            return index
    return -1


def files_of(folder: Path) -> list[tuple[str, str]]:
    """Names and texts of the sources that are worth cutting."""
    files = [
        (f"{source.package}/{source.path}", source.text)
        for source in read_sources([folder])
        if worth_keeping(source.text)
    ]
    if not files:
        raise ValueError(f"no Python source in {folder}; name a folder of .py or .whl")
    return files


def cut_holes(
    folder: Path, tokenizer: Tokenizer, wanted: Sequence[int], seed: int
) -> list[Cut]:
    """`wanted[i]` holes of bucket i; ValueError when the folder has too few."""
    files = files_of(folder)
    rng = np.random.default_rng(seed)
    found: list[list[Cut]] = [[] for _ in BUCKETS]
    taken: dict[tuple[str, int], int] = {}
    for _ in range(TRIES * sum(wanted)):
        if all(len(cuts) >= most for cuts, most in zip(found, wanted, strict=True)):
            break
        path, text = files[int(rng.integers(len(files)))]
        cut = cut_one(path, text, tokenizer, rng)
        bucket = -1 if cut is None else bucket_of(cut.tokens)
        full = bucket < 0 or len(found[bucket]) >= wanted[bucket]
        if cut is None or full or taken.get((path, bucket), 0) >= PER_FILE:
            continue
        taken[path, bucket] = taken.get((path, bucket), 0) + 1
        found[bucket].append(cut)
    if any(len(cuts) < most for cuts, most in zip(found, wanted, strict=True)):
        raise ValueError(
            f"{[len(cuts) for cuts in found]} holes of {list(wanted)} in {folder}; "
            "name a folder with more files, or ask for fewer holes"
        )
    cuts = [cut for cuts in found for cut in cuts]
    # Mixed, so that the first few are a small sample of all.
    return [cuts[int(index)] for index in rng.permutation(len(cuts))]


def cut_one(
    path: str, text: str, tokenizer: Tokenizer, rng: np.random.Generator
) -> Cut | None:
    """One hole somewhere in the file, or None where it fell on nothing."""
    lines = text.split("\n")
    first = int(rng.integers(len(lines)))
    if not lines[first].strip():
        return None
    last = first
    start = 0
    kind = rng.random()
    if kind < 0.35:  # from somewhere in a line to its end, as while typing
        indent = len(lines[first]) - len(lines[first].lstrip())
        start = int(rng.integers(indent, len(lines[first])))
    elif kind > 0.55:  # several lines
        last = min(first + int(rng.integers(1, MOST_LINES)), len(lines) - 1)
    hidden = "\n".join(lines[first : last + 1])[start:]
    if not hidden.strip() or not lines[last].strip():
        return None
    before = "\n".join([*lines[:first], lines[first][:start]])
    after = "\n".join(["", *lines[last + 1 :]]) if last + 1 < len(lines) else ""
    return Cut(
        path=path,
        before=before,
        text=hidden,
        after=after,
        tokens=len(tokenizer.encode(hidden)),
    )
