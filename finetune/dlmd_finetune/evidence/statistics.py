"""How sure a score is: unbiased pass@k, and bootstrap intervals over clusters.

Tasks cut from one problem share its tests and most of its text, so they are not
independent draws: whole problems are resampled, never single tasks.
Must not know models, files or tasks.
"""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DRAWS = 10_000
TAIL = 0.025  # on each side: 95 % intervals


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    value: float
    low: float
    high: float


def pass_at_k(n: int, correct: int, k: int) -> float:
    """The chance that k of n answers, drawn without replacement, hold a correct one.

    Unbiased for k fresh answers (Chen et al. 2021, equation 1).
    """
    if not (0 <= correct <= n and 1 <= k <= n):
        raise ValueError(
            f"pass@k got n={n}, correct={correct}, k={k}; "
            "expected 0 <= correct <= n and 1 <= k <= n"
        )
    return 1 - math.comb(n - correct, k) / math.comb(n, k)


def mean_interval(
    values: Sequence[float], clusters: Sequence[Hashable], *, seed: int
) -> Interval:
    """The mean over tasks, with a percentile bootstrap over whole clusters."""
    sums_K, counts_K = by_cluster(values, clusters)
    means = resampled_means(sums_K, counts_K, seed)
    low, high = np.quantile(means, [TAIL, 1 - TAIL])
    value = float(sums_K.sum() / counts_K.sum())
    return Interval(value=value, low=float(low), high=float(high))


def rate_interval(
    hits: Sequence[bool], clusters: Sequence[Hashable], *, seed: int
) -> Interval:
    """The share of hits. When all tasks agree, resampling sees no spread at all;
    then the exact binomial bound over clusters stands in."""
    if len(set(hits)) > 1:
        return mean_interval([float(hit) for hit in hits], clusters, seed=seed)
    assert hits, "a rate of no tasks"
    reach = TAIL ** (1 / len(set(clusters)))
    if hits[0]:
        return Interval(value=1.0, low=reach, high=1.0)
    return Interval(value=0.0, low=0.0, high=1 - reach)


def share_interval(
    values: Sequence[float], clusters: Sequence[Hashable], *, seed: int
) -> Interval:
    """The mean of shares of right answers; a rate where every share is none or all."""
    if set(values) <= {0.0, 1.0}:
        return rate_interval([value == 1 for value in values], clusters, seed=seed)
    return mean_interval(values, clusters, seed=seed)


def paired_difference(
    ours: Sequence[float],
    theirs: Sequence[float],
    clusters: Sequence[Hashable],
    *,
    seed: int,
) -> Interval:
    """Ours minus theirs on the same tasks, resampled together."""
    differences = [float(a) - float(b) for a, b in zip(ours, theirs, strict=True)]
    return mean_interval(differences, clusters, seed=seed)


def by_cluster(
    values: Sequence[float], clusters: Sequence[Hashable]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    assert values and len(values) == len(clusters)
    index = {cluster: i for i, cluster in enumerate(dict.fromkeys(clusters))}
    where = [index[cluster] for cluster in clusters]
    sums_K = np.zeros(len(index))
    np.add.at(sums_K, where, values)
    return sums_K, np.bincount(where).astype(np.float64)


def resampled_means(
    sums_K: NDArray[np.float64], counts_K: NDArray[np.float64], seed: int
) -> NDArray[np.float64]:
    generator = np.random.default_rng(seed)
    n = len(sums_K)
    times_DK = generator.multinomial(n, np.full(n, 1 / n), size=DRAWS)
    means: NDArray[np.float64] = (times_DK @ sums_K) / (times_DK @ counts_K)
    return means
