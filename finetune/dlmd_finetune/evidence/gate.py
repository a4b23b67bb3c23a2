"""Whether a tuned model is really better: the verdict that lets an adapter go live, or not.

Both models answer the same held-out tasks, several samples each. "better" takes both of two
tests at a one-sided 2.5 %: a bootstrap over whole clusters (tasks of one file are not
independent) whose lower bound is above zero, and a permutation test that flips the sign of
whole clusters' differences. Looking at the same tasks again costs: the level is divided by
the number of looks. Too few tasks give no verdict at all. Must not know models or files.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from dlmd_finetune.evidence.statistics import (
    DRAWS,
    TAIL,
    Interval,
    by_cluster,
    resampled_means,
)

Word = Literal["better", "not better", "not enough evidence"]
FEWEST = 20  # tasks


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    word: Word
    tasks: int
    difference: Interval  # of pass@1, after less before
    p: float  # one-sided, that such a gain comes by chance
    level: float  # that p has to stay below


def verdict(
    before: Sequence[float],
    after: Sequence[float],
    clusters: Sequence[Hashable],
    *,
    seed: int,
    looks: int = 1,
) -> Verdict:
    """Shares of right samples, task by task, of the base and of the tuned model."""
    if not len(before) == len(after) == len(clusters):
        raise ValueError(
            f"{len(before)} scores before, {len(after)} after and {len(clusters)} "
            "clusters; give one of each for every task"
        )
    if looks < 1:
        raise ValueError(f"looks is {looks}; the first look at the tasks is 1")
    level = TAIL / looks
    gains = [b - a for a, b in zip(before, after, strict=True)]
    if not gains:
        nothing = Interval(value=0.0, low=0.0, high=0.0)
        return Verdict(word="not enough evidence", tasks=0, difference=nothing, p=1.0, level=level)  # fmt: skip
    sums_K, counts_K = by_cluster(gains, clusters)
    means_D = resampled_means(sums_K, counts_K, seed)
    low, high = np.quantile(means_D, [level, 1 - level])
    value = float(sums_K.sum() / counts_K.sum())
    p = flipped(sums_K, seed)
    word: Word = "better" if low > 0 and p < level else "not better"
    if len(gains) < FEWEST:
        word = "not enough evidence"
    return Verdict(
        word=word,
        tasks=len(gains),
        difference=Interval(value=value, low=float(low), high=float(high)),
        p=p,
        level=level,
    )


def flipped(
    sums_K: np.ndarray[tuple[int, ...], np.dtype[np.float64]], seed: int
) -> float:
    """How often clusters with random signs gain at least as much; the one seen counts."""
    generator = np.random.default_rng(seed + 1)
    signs_DK = generator.choice([-1.0, 1.0], size=(DRAWS, len(sums_K)))
    reached = (signs_DK @ sums_K) >= sums_K.sum() - 1e-12
    return float((1 + reached.sum()) / (1 + DRAWS))
