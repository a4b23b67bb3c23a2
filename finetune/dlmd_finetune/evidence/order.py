"""What many orders say together: AR-ness with intervals, diversity, and where a hole is
filled when.

An order is the positions of a hole, first committed first (`arness.py` says what its
numbers mean). Must not know models, canvases or text.
"""

from collections.abc import Sequence

from dlmd_finetune.evidence.arness import global_arness, local_arness
from dlmd_finetune.evidence.statistics import Interval, mean_interval


def arness(
    orders: Sequence[Sequence[int]],
    clusters: Sequence[str],
    k: int,
    *,
    scope: str,
    seed: int,
    as_set: bool = False,
) -> Interval | None:
    """The mean over all orders long enough for k, by bootstrap over clusters; None where
    none is."""
    least = k + 1 if scope == "local" else k
    kept = [(o, c) for o, c in zip(orders, clusters, strict=True) if len(o) >= least]
    if not kept:
        return None
    values = [
        local_arness(o, k, as_set=as_set) if scope == "local" else global_arness(o, k)
        for o, _ in kept
    ]
    return mean_interval(values, [c for _, c in kept], seed=seed)


def diversity(drawn: Sequence[object]) -> float:
    """How many of several draws for one task differ, as a share: 1 / n where all are
    alike, 1 where none are."""
    assert drawn, "the diversity of no draws"
    return len(set(drawn)) / len(drawn)


def heat_map(
    orders: Sequence[Sequence[int]], width: int
) -> tuple[tuple[float, ...], ...]:
    """How often a place is committed when: rows are shares of the run, from its start,
    columns shares of the hole, from its left; each column sums to 1 where anything fell."""
    counts = [[0] * width for _ in range(width)]
    for order in orders:
        places = sorted(order)
        column = {place: i * width // len(order) for i, place in enumerate(places)}
        for t, place in enumerate(order):
            counts[t * width // len(order)][column[place]] += 1
    totals = [sum(row[x] for row in counts) or 1 for x in range(width)]
    return tuple(tuple(row[x] / totals[x] for x in range(width)) for row in counts)
