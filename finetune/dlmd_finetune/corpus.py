"""Python source, filtered and deduplicated, as one packed corpus with its tally.

Knows files and licences; must not know tokens, masks or models.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dlmd_finetune.overlap import evaluation_set, overlaps
from dlmd_finetune.sources import Source

MIN_CHARS, MAX_CHARS = 200, 150_000
MAX_LINE, MAX_MEAN_LINE = 300, 60
MIN_ASCII = 0.97
GENERATED = re.compile(
    r"@generated|do not edit|auto-?generated|this file was generated", re.I
)
KEEP_ONE_TEST_IN = 6


def worth_keeping(text: str) -> bool:
    """Hand-written, readable, of a sensible size."""
    if not MIN_CHARS <= len(text) <= MAX_CHARS or GENERATED.search(text[:2000]):
        return False
    lines = text.split("\n")
    if max(map(len, lines)) > MAX_LINE or len(text) / len(lines) > MAX_MEAN_LINE:
        return False
    return sum(map(str.isascii, text)) / len(text) >= MIN_ASCII


def too_many_tests(path: str, digest: bytes) -> bool:
    """Test files repeat themselves: one in KEEP_ONE_TEST_IN is plenty."""
    name = path.replace("\\", "/")
    is_test = "/test" in name or name.startswith("test") or "_test.py" in name
    return is_test and digest[2] % KEEP_ONE_TEST_IN != 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """All documents as one UTF-8 blob with offsets; `texts(i)` gives document i."""

    blob: np.ndarray
    offsets: np.ndarray
    held_out: np.ndarray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def text(self, index: int) -> str:
        return bytes(self.blob[self.offsets[index] : self.offsets[index + 1]]).decode()


def build(
    sources: Iterable[Source], out: Path, exclude: Sequence[Path] = ()
) -> dict[str, Any]:
    """Filter, deduplicate and pack the sources into `out`; returns (and writes) the tally.

    ValueError when fewer than two files remain.

    One file in 512, by hash (at least one), is held out whole, so that held-out loss is honest.
    """
    sets = [evaluation_set(path) for path in exclude]
    seen: set[bytes] = set()
    tally = {"files": 0, "kept": 0, "duplicates": 0, "filtered": 0, "overlapping": 0}
    packages: dict[str, dict[str, Any]] = {}
    out.mkdir(parents=True, exist_ok=True)
    offsets, held_out = [0], []
    with open(out / "blob.bin", "wb") as blob:
        for source in sources:
            tally["files"] += 1
            fate, digest = judged(source, seen)
            if fate == "kept" and overlaps(sets, source.text):
                fate = "overlapping"
            tally[fate] += 1
            if fate == "kept":
                seen.add(digest)
                data = source.text.encode()
                count(packages, source, len(data))
                blob.write(data)
                offsets.append(offsets[-1] + len(data))
                held_out.append(digest[0] == 0 and digest[1] < 128)
    if len(held_out) < 2:
        raise ValueError(
            f"{len(held_out)} file(s) of the corpus are worth training on, at least 2 are needed; "
            "name a folder with more hand-written Python source"
        )
    held_out[-1] |= not any(held_out)
    np.save(out / "offsets.npy", np.array(offsets, dtype=np.int64))
    np.save(out / "held_out.npy", np.array(held_out, dtype=bool))
    summary = {
        **tally,
        "bytes": offsets[-1],
        "overlap": {each.name: each.report() for each in sets},
        "packages": packages,
    }
    (out / "tally.json").write_text(
        json.dumps(summary, indent=1, sort_keys=True) + "\n"
    )
    return summary


def judged(source: Source, seen: set[bytes]) -> tuple[str, bytes]:
    """What becomes of a file as such, and its digest: layout aside, so that two files that
    differ in nothing else are one."""
    digest = hashlib.sha256("".join(source.text.split()).encode()).digest()
    if not worth_keeping(source.text) or too_many_tests(source.path, digest):
        return "filtered", digest
    return ("duplicates" if digest in seen else "kept"), digest


def count(packages: dict[str, dict[str, Any]], source: Source, size: int) -> None:
    about = packages.setdefault(
        source.package,
        {
            "version": source.version,
            "licence": source.licence,
            "files": 0,
            "bytes": 0,
        },
    )
    about["files"] += 1
    about["bytes"] += size


def open_corpus(folder: Path) -> Corpus:
    """The packed corpus in `folder`, mapped, not read."""
    if not (folder / "offsets.npy").exists():
        raise ValueError(
            f"no packed corpus in {folder}; give a folder of Python source instead"
        )
    return Corpus(
        blob=np.memmap(folder / "blob.bin", dtype=np.uint8, mode="r"),
        offsets=np.load(folder / "offsets.npy"),
        held_out=np.load(folder / "held_out.npy"),
    )
