"""How much like left to right a hole was filled: two numbers of one order.

An order is the positions of a hole, first committed first. Tokens of one step stand in
order of their confidence, the surest first. After DiffuCoder (arXiv 2506.20639, appendix
A.2), whose text leaves details open; these are ours:

local@k   the share of steps, from the (k+1)-th on, at which the last k+1 commits are k+1
          neighbours from left to right. `as_set`: the k before are the k left neighbours
          in whatever order.
global@k  the share of all steps that commit one of the k leftmost places still masked.

Left to right gives 1 in both for every k, right to left 0 in local@k. Must not know models,
canvases, text or how orders are summed up.
"""

from bisect import bisect_left
from collections.abc import Sequence


def local_arness(order: Sequence[int], k: int, *, as_set: bool = False) -> float:
    """local@k of one order; k from 1 to one less than there are commits."""
    refuse(order, k, len(order) - 1)
    hits = 0
    for t in range(k, len(order)):
        before = list(order[t - k : t])
        neighbours = [order[t] - k + j for j in range(k)]
        hits += (sorted(before) if as_set else before) == neighbours
    return hits / (len(order) - k)


def global_arness(order: Sequence[int], k: int) -> float:
    """global@k of one order; k from 1 to as many as there are commits."""
    refuse(order, k, len(order))
    masked = sorted(order)
    hits = 0
    for position in order:
        place = bisect_left(masked, position)
        hits += place < k
        del masked[place]
    return hits / len(order)


def refuse(order: Sequence[int], k: int, most: int) -> None:
    if len(set(order)) < len(order):
        raise ValueError("an order names a position twice; each is committed once")
    if not 1 <= k <= most:
        raise ValueError(
            f"k is {k} for {len(order)} commits; give 1 to {most}, or a longer hole"
        )
