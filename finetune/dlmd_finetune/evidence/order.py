"""In which order a hole was filled, and how much like left to right that is.

An order is the positions of a hole, first committed first. Tokens of one step stand in
order of their confidence, the surest first. AR-ness after DiffuCoder (arXiv 2506.20639,
appendix A.2), whose text leaves details open; these are ours:

local@k   the share of steps, from the (k+1)-th on, at which the last k+1 commits are k+1
          neighbours from left to right. `as_set`: the k before are the k left neighbours
          in whatever order.
global@k  the share of steps that commit one of the k leftmost places still masked.

Left to right gives 1 in both for every k, right to left 0 in local@k. Must not know models,
canvases or text.
"""

from collections.abc import Sequence
from statistics import mean

from dlmd_finetune.evidence.statistics import Interval, mean_interval


def refuse(order: Sequence[int], k: int, most: int) -> None:
    if len(set(order)) < len(order):
        raise ValueError("an order names a position twice; each is committed once")
    if not 1 <= k <= most:
        raise ValueError(
            f"k is {k} for {len(order)} commits; give 1 to {most}, or a longer hole"
        )


def local_arness(order: Sequence[int], k: int, *, as_set: bool = False) -> float:
    """local@k of one order; k from 1 to one less than there are commits."""
    refuse(order, k, len(order) - 1)
    hits = []
    for t in range(k, len(order)):
        before = list(order[t - k : t])
        neighbours = [order[t] - k + j for j in range(k)]
        hits.append((sorted(before) if as_set else before) == neighbours)
    return mean(hits)


def global_arness(order: Sequence[int], k: int) -> float:
    """global@k of one order; k from 1 to as many as there are commits."""
    refuse(order, k, len(order))
    masked = sorted(order)
    hits = []
    for position in order:
        hits.append(position in masked[:k])
        masked.remove(position)
    return mean(hits)


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
