"""Does masking a fill in complementary views make its log-probability less noisy?

    .venv/bin/python bench/estimators.py --seeds 20

A toy whose probabilities are known exactly: 8 tokens of 3 symbols with random potentials
between every two, conditionals by enumeration. For each sample, views are drawn as tuning
draws them and scored by the true conditionals; what varies is the choice of masks alone.
Prints, over seeds, the variance of the estimate by coupled and by independent pairs at equal
cost, and how the variance falls with the number of pairs. Seconds on one core.
"""

import argparse
from itertools import product
from statistics import fmean

import numpy as np
import torch
from dlmd_finetune.rl.loss import draw_views
from numpy.typing import NDArray

TOKENS, SYMBOLS = 8, 3
SAMPLES, DRAWS = 24, 400
STRENGTH = 0.8  # of the potentials between two tokens
PAIRS = (1, 2, 4, 8)
Table = NDArray[np.float64]  # log p of each token where masked, by mask and token


def joint(rng: np.random.Generator) -> Table:
    """The probability of every text, one axis for each token."""
    shape = (SYMBOLS,) * TOKENS
    single = rng.normal(size=(TOKENS, SYMBOLS))
    double = STRENGTH * rng.normal(size=(TOKENS, TOKENS, SYMBOLS, SYMBOLS))
    energy = np.zeros(shape)
    for text in product(range(SYMBOLS), repeat=TOKENS):
        energy[text] = sum(single[i, text[i]] for i in range(TOKENS)) + sum(
            double[i, j, text[i], text[j]] for i in range(TOKENS) for j in range(i)
        )
    weights = np.exp(energy - energy.max())
    return weights / weights.sum()


def table_of(joint_: Table, text: tuple[int, ...]) -> Table:
    """For every set of masked places the score of each, given the others; 0 elsewhere."""
    scores = np.zeros((2**TOKENS, TOKENS))
    for mask in range(1, 2**TOKENS):
        hidden = [i for i in range(TOKENS) if mask >> i & 1]
        seen = tuple(slice(None) if mask >> i & 1 else text[i] for i in range(TOKENS))
        rest = joint_[seen]
        for axis, i in enumerate(hidden):
            others = tuple(a for a in range(len(hidden)) if a != axis)
            marginal = rest.sum(axis=others)
            scores[mask, i] = np.log(marginal[text[i]] / marginal.sum())
    return scores


def estimates(estimator: str, table: Table, pairs: int, seed: int) -> Table:
    """log p of one text by DRAWS draws of masks."""
    scored = torch.ones(DRAWS, TOKENS, dtype=torch.bool)
    powers = 2 ** np.arange(TOKENS)
    found = []
    for n in range(pairs):
        first = seed * 1_000_003 + n * DRAWS * 7919
        seeds = [first + 7919 * draw for draw in range(DRAWS)]
        pair = torch.stack(draw_views(estimator, scored, seeds)).numpy()
        counts = pair.sum(axis=-1)
        sums = table[(pair * powers).sum(axis=-1)].sum(axis=-1)
        if estimator == "coupled":
            found.append(sums.sum(axis=0))  # every token once
        else:
            found.append(
                (sums * TOKENS / counts).mean(axis=0)
            )  # as if every token once
    return np.mean(found, axis=0)


def variance(estimator: str, tables: list[Table], pairs: int, seed: int) -> float:
    return fmean(
        float(estimates(estimator, table, pairs, seed * 1000 + n).var())
        for n, table in enumerate(tables)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    given = parser.parse_args()
    rows = []
    for seed in range(given.seeds):
        rng = np.random.default_rng(seed)
        whole = joint(rng)
        drawn = rng.choice(whole.size, size=SAMPLES, p=whole.ravel())
        texts = [tuple(map(int, np.unravel_index(n, whole.shape))) for n in drawn]
        tables = [table_of(whole, text) for text in texts]
        rows.append(
            [variance("indep", tables, 1, seed)]
            + [variance("coupled", tables, pairs, seed) for pairs in PAIRS]
        )
    means = np.array(rows).mean(axis=0)
    less = sum(row[1] < row[0] for row in rows)
    slope = np.polyfit(np.log(PAIRS), np.log(means[1:]), 1)[0]
    print(f"{given.seeds} seeds, {SAMPLES} texts each, {DRAWS} draws of masks\n")
    print("| views | forwards | variance of log p |\n| --- | --- | --- |")
    print(f"| 2 independent | 2 | {means[0]:.2f} |")
    for pairs, value in zip(PAIRS, means[1:], strict=True):
        print(
            f"| {pairs} coupled pair{'s' if pairs > 1 else ''} | {2 * pairs} | {value:.2f} |"
        )
    print(f"\ncoupled below independent at 2 forwards: {less} of {given.seeds} seeds")
    print(f"slope of log variance against log pairs: {slope:.2f}")


if __name__ == "__main__":
    main()
