"""Which tokens to commit at a step: how many by the schedule, and which by rank or chance.

Small functions over the masked positions of all rows; each row keeps a count of its own.
All chance comes from generators on the CPU, in the published order of draws. Must not
know logits, settings or models.

Shapes: B rows, T positions, N masked positions of all rows, row-major; row_N is the row
that each belongs to.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import TypeAlias

import torch
from torch import Generator, Tensor

SCHEDULES = ("published", "even")

# One generator for the batch, or one for each row.
Generators: TypeAlias = Generator | Sequence[Generator]


# ---- how many ----


def schedule(
    n_masks: int, steps: int, eps: float = 1e-3, kind: str = "published"
) -> list[int]:
    """Tokens committed at each step by a row of `n_masks`."""
    if kind not in SCHEDULES:
        raise ValueError(f"schedule is {kind!r}; give {' or '.join(SCHEDULES)}")
    if n_masks < 0 or steps < 1:
        raise ValueError(
            f"{n_masks} masks in {steps} steps; give at least 0 masks and 1 step"
        )
    counts: list[int] = []
    for i in range(steps if kind == "published" else min(steps, n_masks)):
        counts.append(quota(n_masks - sum(counts), i, steps, eps, kind))
    return counts


def quota(n_left: int, i: int, steps: int, eps: float, kind: str) -> int:
    """How many of a row's `n_left` masks step `i` of `steps` commits."""
    if kind == "even":
        # What does not divide waits for the end, where more context is known.
        return n_left // max(1, min(n_left, steps - i))
    # Published: int(n * (1 - s/t)), all in float32; float64 gives other counts.
    return int(torch.tensor(float(n_left), device="cpu") * released(i, steps, eps))


def released(i: int, steps: int, eps: float) -> Tensor:
    """1 - s/t: the share of masks that step `i` releases, as a float32 scalar."""
    if i >= steps - 1:
        return torch.tensor(1.0, device="cpu")
    times = timesteps(steps, eps)
    return 1 - times[i + 1] / times[i]


@lru_cache(maxsize=256)
def timesteps(steps: int, eps: float) -> Tensor:
    # On the CPU on purpose: a GPU's linspace rounds elsewhere, which moves empty steps.
    return torch.linspace(1, eps, steps + 1, dtype=torch.float32, device="cpu")


# ---- which ----


def best_of_each_row(row_N: Tensor, rank_N: Tensor, count_B: Sequence[int]) -> Tensor:
    """True at the highest ranks of each row; of equals the leftmost."""
    chosen_N = torch.zeros_like(row_N, dtype=torch.bool)
    for row, count in enumerate(count_B):
        at = (row_N == row).nonzero()[:, 0]
        order = rank_N[at].sort(descending=True, stable=True).indices
        chosen_N[at[order[:count]]] = True
    return chosen_N


def by_chance(row_N: Tensor, draws_N: Tensor, share_B: Sequence[Tensor]) -> Tensor:
    """True where the uniform draw lies below the share of its row."""
    return draws_N < torch.stack(list(share_B)).to(draws_N.device)[row_N]


# ---- chance ----


def each_generator(
    generator: Generators | None, row_N: Tensor
) -> list[tuple[Generator, Tensor]]:
    """Who draws for which of the N positions: one for all, or one for each row."""
    if generator is None:
        generator = torch.default_generator
    if isinstance(generator, Generator):
        return [(generator, torch.arange(len(row_N), device=row_N.device))]
    return [(g, (row_N == b).nonzero()[:, 0]) for b, g in enumerate(generator)]


def uniform(row_N: Tensor, generator: Generators | None) -> Tensor:
    """One uniform number for each masked position."""
    draws = [
        torch.rand(len(at), generator=g, device="cpu")
        for g, at in each_generator(generator, row_N)
    ]
    return torch.cat(draws).to(row_N.device)


def shaken(rank_N: Tensor, masked_BT: Tensor, generator: Generators | None) -> Tensor:
    """Ranks whose highest k are k draws without replacement from softmax(rank_N).

    The exponential race of `torch.multinomial` on whole rows, number for number, but in
    logarithms: no probability underflows.
    """
    B, T = masked_BT.shape
    if generator is None or isinstance(generator, Generator):
        race_BT = torch.empty(B, T, device="cpu").exponential_(generator=generator)
    else:
        rows = [
            torch.empty(T, device="cpu").exponential_(generator=g) for g in generator
        ]
        race_BT = torch.stack(rows)
    return rank_N - race_BT.to(rank_N.device).log()[masked_BT]
