"""Are complementary views less noisy on a real model, too?

    .venv/bin/python bench/estimators_embedded.py --fills 24 --draws 64

Lines of the standard library as fills of the embedded model, weights fixed: what varies is
the choice of masks alone. Prints, with bootstrap intervals over fills, the variance of log p and of its
gradient (projected to 256 random directions) by two coupled views against two independent
ones, and of the log-ratio to a slightly changed model when both models share their masks
and when each draws its own. Minutes on one core.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from dlmd import profiles
from dlmd.decode import Hole
from dlmd.decode.canvas import lay_out
from dlmd.model import adapting
from dlmd_finetune.rl.general import foreign
from dlmd_finetune.rl.loss import draw_views, token_scores
from dlmd_finetune.rl.policy import open_policy
from torch import Tensor

DIRECTIONS = 256
CONTEXT = 96


def canvases(policy: Any, count: int) -> list[tuple[Tensor, Tensor]]:
    """Tokens and targets, a row each."""
    found = []
    for hole in foreign(count, seed=1):
        truth = policy.writer.tokenizer.encode(hole.line)
        parts: list[str | Hole] = [hole.before, Hole(length=len(truth)), hole.after]
        layout = lay_out(parts, policy.writer.tokenizer, policy.writer.profile, CONTEXT)
        tokens_T, target_T = (
            torch.tensor(layout.tokens),
            torch.zeros(len(layout.tokens)),
        )
        span = layout.holes[0]
        tokens_T[span.start : span.stop] = torch.tensor(truth)
        target_T[span.start : span.stop] = 1
        found.append((tokens_T, target_T.bool()))
    return found


def estimate(
    model: Any, tokens_T: Tensor, target_T: Tensor, kind: str, seeds: Sequence[int]
) -> Tensor:
    """log p of the fill, once for each seed; independent views as if each token once."""
    B = len(seeds)
    tokens_BT, target_BT = tokens_T.repeat(B, 1), target_T.repeat(B, 1)
    views = draw_views(kind, target_BT, seeds)
    sums = []
    for view_BT in views:
        scores_B = token_scores(model, tokens_BT, view_BT, view_BT).sum(-1)
        share_B = view_BT.sum(-1) / target_BT.sum(-1)
        sums.append(scores_B if kind == "coupled" else scores_B / share_B / 2)
    return sums[0] + sums[1]


def gradient_noise(
    model: Any, tokens_T: Tensor, target_T: Tensor, kind: str, seeds: Sequence[int]
) -> float:
    """Variance over draws, summed over random directions, by the mean's square."""
    rows = []
    for seed in seeds:
        model.zero_grad()
        estimate(model, tokens_T, target_T, kind, [seed]).sum().backward()
        generator, sums = torch.Generator().manual_seed(0), torch.zeros(DIRECTIONS)
        for half in adapting.learning(model):
            assert half.grad is not None
            place = torch.randint(DIRECTIONS, (half.numel(),), generator=generator)
            sign = torch.randint(2, (half.numel(),), generator=generator) * 2.0 - 1
            sums.index_add_(0, place, half.grad.flatten() * sign)
        rows.append(sums)
    all_RD = torch.stack(rows)
    return float(all_RD.var(0).sum() / all_RD.mean(0).square().sum())


def interval(values: Sequence[float]) -> str:
    rng = np.random.default_rng(0)
    table = np.array(values)
    means = table[rng.integers(len(table), size=(4000, len(table)))].mean(1)
    low, high = np.quantile(means, [0.025, 0.975])
    return f"{table.mean():.3f} [{low:.3f}, {high:.3f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fills", type=int, default=24)
    parser.add_argument("--draws", type=int, default=64)
    parser.add_argument("--model", type=Path, default=profiles.EMBEDDED_FOLDER)
    given = parser.parse_args()
    policy = open_policy(given.model)
    model = policy.trained
    with torch.no_grad():  # a little away from the base
        generator = torch.Generator().manual_seed(0)
        for half in adapting.learning(model)[1::2]:
            half.add_(0.002 * torch.randn(half.shape, generator=generator))
    rows: dict[str, list[float]] = {}

    def note(name: str, value: float) -> None:
        rows.setdefault(name, []).append(value)

    seeds = [7919 * n for n in range(given.draws)]
    others = [7919 * n + 13 for n in range(given.draws)]
    for tokens_T, target_T in canvases(policy, given.fills):
        about = tokens_T, target_T
        with torch.no_grad():
            new = {k: estimate(model, *about, k, seeds) for k in ("coupled", "indep")}
            with adapting.without(model):
                old = {k: estimate(model, *about, k, seeds) for k in new}
                fresh = estimate(model, *about, "coupled", others)
        for kind in new:
            note(f"log p, {kind}", float(new[kind].var()))
            note(
                f"log-ratio, shared masks, {kind}", float((new[kind] - old[kind]).var())
            )
            noise = gradient_noise(
                model, *about, kind, seeds[: max(4, given.draws // 4)]
            )
            note(f"gradient, {kind}", noise)
        note("log-ratio, own masks, coupled", float((new["coupled"] - fresh).var()))
        note("log p, coupled / indep", float(new["coupled"].var() / new["indep"].var()))
    print(f"{given.fills} fills, {given.draws} draws of masks, {given.model.name}\n")
    print("| variance of | mean over fills, 95 % |\n| --- | --- |")
    for name in sorted(rows):
        print(f"| {name} | {interval(rows[name])} |")
    less = sum(ratio < 1 for ratio in rows["log p, coupled / indep"])
    print(f"\ncoupled below independent: {less} of {given.fills} fills")


if __name__ == "__main__":
    main()
