"""What a corpus has in common with the sets that a model is measured by.

Counted in runs of words: of the tasks of each set, the share of distinct runs that also
stand in the corpus. Runs of RUN words leave a file out; shorter ones are only reported,
because much of what is idiomatic is common to all programs. Must not know models.
"""

import gzip
import json
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

RUN = 20  # words in common that leave a file out
SHORT_RUN = 10  # words in common that are only counted
WORD = re.compile(r"\w+|[^\w\s]")
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
Hashes = NDArray[np.uint64]


def words(text: str) -> Hashes:
    """One number for each word. The same within one process only."""
    found = [hash(word) & 0xFFFF_FFFF_FFFF_FFFF for word in WORD.findall(text)]
    return np.array(found, dtype=np.uint64)


def runs(words_N: Hashes, length: int) -> Hashes:
    """One number for each run of `length` words: a polynomial in theirs, modulo 2^64."""
    count = len(words_N) - length + 1
    if count < 1:
        return np.empty(0, dtype=np.uint64)
    total = np.zeros(count, dtype=np.uint64)
    for offset in range(length):
        total = total * MULTIPLIER + words_N[offset : offset + count]
    return total


@dataclass(slots=True)
class EvaluationSet:
    """The runs of one set, and which of them were met."""

    name: str
    tasks: int
    runs: dict[int, Hashes]  # by their length, each run once, sorted
    met: dict[int, NDArray[np.bool_]] = field(default_factory=dict)
    files: int = 0  # left out for it

    def __post_init__(self) -> None:
        self.met = {n: np.zeros(len(each), dtype=bool) for n, each in self.runs.items()}

    def look(self, runs_N: Hashes, length: int) -> NDArray[np.intp]:
        """Which runs of this set are among these."""
        known = self.runs[length]
        if not len(known) or not len(runs_N):
            return np.empty(0, dtype=np.intp)
        at = np.searchsorted(known, runs_N).clip(max=len(known) - 1)
        return np.unique(at[known[at] == runs_N])

    def report(self) -> dict[str, Any]:
        return {
            "tasks": self.tasks,
            "files_left_out": self.files,
            f"runs_of_{RUN}": len(self.runs[RUN]),
            f"share_of_runs_of_{RUN}_before": share(self.met[RUN]),
            f"runs_of_{SHORT_RUN}": len(self.runs[SHORT_RUN]),
            f"share_of_runs_of_{SHORT_RUN}_kept": share(self.met[SHORT_RUN]),
        }


def share(met_N: NDArray[np.bool_]) -> float:
    return round(float(met_N.mean()), 5) if len(met_N) else 0.0


def overlaps(sets: Sequence[EvaluationSet], text: str) -> bool:
    """Whether a file holds a long run of any set; what it shares is noted."""
    if not sets:
        return False
    words_N = words(text)
    long_N, found = runs(words_N, RUN), False
    for each in sets:
        seen = each.look(long_N, RUN)
        each.met[RUN][seen] = True
        each.files += bool(len(seen))
        found = found or bool(len(seen))
    if not found:
        short_N = runs(words_N, SHORT_RUN)
        for each in sets:
            each.met[SHORT_RUN][each.look(short_N, SHORT_RUN)] = True
    return found


def evaluation_set(path: Path) -> EvaluationSet:
    """HumanEval, HumanEval-Infilling or MBPP, as published: JSON lines, gzip or plain."""
    try:
        opener = gzip.open if path.suffix == ".gz" else open
        with opener(path, "rt", encoding="utf-8") as lines:
            tasks = [whole_text(json.loads(line)) for line in lines if line.strip()]
    except (OSError, EOFError, ValueError, KeyError, TypeError, zlib.error) as error:
        raise ValueError(
            f"cannot read {path} as an evaluation set: {error}; give the JSON lines of "
            "HumanEval, HumanEval-Infilling or MBPP as they were published"
        ) from error
    numbers = [words(text) for text in tasks]
    return EvaluationSet(
        name=path.name,
        tasks=len(tasks),
        runs={
            length: np.unique(np.concatenate([runs(each, length) for each in numbers]))
            if numbers
            else np.empty(0, dtype=np.uint64)
            for length in (RUN, SHORT_RUN)
        },
    )


def whole_text(task: dict[str, str]) -> str:
    """All that a model must not have seen: what is asked, and the right answer to it."""
    if "code" in task:  # MBPP
        return f"{task.get('text') or task.get('prompt') or ''}\n{task['code']}"
    return task["prompt"] + task["canonical_solution"] + task.get("suffix", "")
