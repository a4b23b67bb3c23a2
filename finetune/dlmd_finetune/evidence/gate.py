"""Whether a tuned model is really better: the verdict that lets an adapter go live, or not.

Both models answer the same held-out tasks, several samples each. "better" takes both of two
tests at a one-sided 2.5 %: a bootstrap over whole clusters (tasks of one file are not
independent) whose lower bound is above zero, and a permutation test that flips the sign of
whole clusters' differences. Looking at the same tasks again costs: the level is divided by
the number of looks. Too few tasks give no verdict at all, nor do so few clusters that their
signs all fall alike by chance too often. Must not know models or files.
"""

import math
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
NATS_FLOOR = (
    -0.05
)  # a token of foreign code may become so much less likely, and no more
PASS_FLOOR = -0.10  # the same for everyday functions filled right
CAUGHT = (
    0.02  # share of the last rollouts that may fail their audit, or newly break rules
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    word: Word
    tasks: int
    clusters: int
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
        return Verdict(word="not enough evidence", tasks=0, clusters=0, difference=nothing, p=1.0, level=level)  # fmt: skip
    sums_K, counts_K = by_cluster(gains, clusters)
    means_D = resampled_means(sums_K, counts_K, seed)
    low, high = np.quantile(means_D, [level, 1 - level])
    value = float(sums_K.sum() / counts_K.sum())
    p = flipped(sums_K, seed)
    word: Word = "better" if low > 0 and p < level else "not better"
    if len(gains) < FEWEST or len(sums_K) < fewest_clusters(level):
        word = "not enough evidence"
    return Verdict(
        word=word,
        tasks=len(gains),
        clusters=len(sums_K),
        difference=Interval(value=value, low=float(low), high=float(high)),
        p=p,
        level=level,
    )


def fewest_clusters(level: float) -> int:
    """Of fewer, all of which gain, all signs fall so by chance as often as the level."""
    return math.floor(-math.log2(level)) + 1


def flipped(
    sums_K: np.ndarray[tuple[int, ...], np.dtype[np.float64]], seed: int
) -> float:
    """How often clusters with random signs gain at least as much; the one seen counts."""
    generator = np.random.default_rng(seed + 1)
    signs_DK = generator.choice([-1.0, 1.0], size=(DRAWS, len(sums_K)))
    reached = (signs_DK @ sums_K) >= sums_K.sum() - 1e-12
    return float((1 + reached.sum()) / (1 + DRAWS))


@dataclass(frozen=True, slots=True, kw_only=True)
class Caught:
    """Shares of rollouts. The rules also refuse honest code, so only what a model breaks
    more often than before it was rewarded counts against it."""

    audit: float = 0.0
    rules: float = 0.0
    rules_at_first: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    word: Word
    reasons: tuple[str, ...]  # sentences, the decisive ones first


def decide(
    gain: Verdict,
    *,
    nats: Interval | None = None,
    passes: Interval | None = None,
    caught: Caught = Caught(),
) -> Decision:
    """Better on the held-out tasks, and no worse elsewhere, and honestly so. `nats` and
    `passes`: after less before, on code of others."""
    against = []
    if nats is not None and nats.low <= NATS_FLOOR:
        against.append(
            f"foreign code may have become less likely by {-nats.low:.3f} nats a token; "
            f"up to {-NATS_FLOOR:.2f} is taken"
        )
    if passes is not None and passes.low <= PASS_FLOOR:
        against.append(
            f"everyday functions may be filled right {-100 * passes.low:.0f} points less "
            f"often; up to {-100 * PASS_FLOOR:.0f} is taken"
        )
    if caught.audit > CAUGHT:
        against.append(
            f"{100 * caught.audit:.1f} % of the last rollouts failed their audit; up to "
            f"{100 * CAUGHT:.0f} % is taken"
        )
    if caught.rules - caught.rules_at_first > CAUGHT:
        against.append(
            f"{100 * caught.rules:.1f} % of the last rollouts broke a rule, and "
            f"{100 * caught.rules_at_first:.1f} % of the first step's; up to "
            f"{100 * CAUGHT:.0f} % more is taken"
        )
    if gain.word == "better" and against:
        return Decision(word="not better", reasons=tuple(against))
    return Decision(word=gain.word, reasons=(said(gain), *against))


def said(gain: Verdict) -> str:
    if not gain.tasks:
        return "there are no held-out tasks to compare on"
    points = [100 * x for x in (gain.difference.value, gain.difference.low)]
    told = (
        f"pass@1 on {gain.tasks} held-out tasks changed by {points[0]:+.1f} points, lower "
        f"bound {points[1]:+.1f}, p = {gain.p:.4f} against a level of {gain.level:.4f}"
    )
    if gain.word == "not enough evidence":
        least = fewest_clusters(gain.level)
        if gain.tasks < FEWEST:
            told += f"; fewer than {FEWEST} tasks are no evidence"
        if gain.clusters < least:
            told += (
                f"; they stand in {gain.clusters} files, and whatever is gained in fewer "
                f"than {least} can be chance at this level"
            )
    return told
