"""One step of learning: rollouts and their advantages in, a changed adapter out.

Rows that are alike are scored once. A group whose rewards are all the same teaches nothing
but the distance to the reference, and is left out. Everything is normalised by the targets
of all processes, so that two compute what one does. Must not know text, tests or files.

Shapes: B rows, T positions, U rows that differ, P pairs of views.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from dlmd.model import Dream, adapting
from torch import Tensor

from dlmd_finetune.rl import ranks, shards, staying
from dlmd_finetune.rl.loss import (
    LEAST,
    MOST,
    draw_views,
    grpo_loss,
    released_scores,
    shares,
    token_scores,
    watch,
)
from dlmd_finetune.rl.rollout import Rollout, seed_of
from dlmd_finetune.rl.staying import Anchors

Scores = list[
    tuple[Tensor, Tensor]
]  # for each view: of its targets, and how they count


@dataclass(frozen=True, slots=True, kw_only=True)
class Learning:
    """What a step is made of, beside the rollouts."""

    estimator: str = "coupled"
    pairs: int = 1
    epochs: int = 1  # policy iterations on the same rollouts
    clip_low: float = 0.2
    clip_high: float = 0.28
    kl: float = 0.02
    kl_form: str = "k2"
    stay: float = 10.0  # what a nat counts that it moved on code of others
    gradient_norm: float = 1.0
    batch_tokens: int = 4096  # positions of one forward


@dataclass(frozen=True, slots=True, kw_only=True)
class Taught:
    """A rollout with what it is worth."""

    rollout: Rollout
    advantage: float
    seed: int  # of its views
    weight: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rows:
    """Rollouts of like length as tensors; `row_B` says which of the U rows each one is."""

    tokens_UT: Tensor
    valid_UT: Tensor | None
    target_UT: Tensor
    views: tuple[tuple[Tensor, Tensor], ...]
    share_U: Tensor  # of the first view
    row_B: Tensor
    advantages_B: Tensor
    counts: bool = True

    @property
    def targets(self) -> int:
        return int(self.target_UT[self.row_B].sum())


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What came of a step, over all processes."""

    loss: float = 0.0
    distance: float = 0.0
    ratio: float = 1.0
    clipped: float = 0.0
    gradient: float = 0.0
    rows: int = 0
    moved: float = 0.0  # on code of others, nats a token


def laid(
    taught: Sequence[Taught], how: Learning, pad: int, device: Any
) -> Iterator[Rows]:
    """Batches of at most `batch_tokens` positions, short rollouts with short ones."""
    groups: dict[tuple[tuple[int, ...], ...], list[Taught]] = {}
    for each in taught:
        r = each.rollout
        if r.tokens:  # an empty fill has no token to learn from
            # Two holes of one file, both filled as they were, leave the same canvas.
            groups.setdefault((r.before, r.tokens, r.after), []).append(each)
    ordered = sorted(groups.values(), key=lambda alike: len(alike[0].rollout.canvas))
    batch: list[list[Taught]] = []
    for alike in ordered:
        width = len(alike[0].rollout.canvas)
        if batch and width * (len(batch) + 1) > how.batch_tokens:
            yield rows_of(batch, how, pad, device)
            batch = []
        batch.append(alike)
    if batch:
        yield rows_of(batch, how, pad, device)


def rows_of(
    groups: Sequence[Sequence[Taught]], how: Learning, pad: int, device: Any
) -> Rows:
    """One batch. Rollouts that are alike share the views of the first of them."""
    canvases = [alike[0].rollout.canvas for alike in groups]
    T = max(map(len, canvases))
    tokens_UT = torch.full((len(canvases), T), pad, dtype=torch.long)
    valid_UT = torch.zeros(len(canvases), T, dtype=torch.bool)
    target_UT = torch.zeros_like(valid_UT)
    for u, (canvas, alike) in enumerate(zip(canvases, groups, strict=True)):
        first = len(alike[0].rollout.before)
        tokens_UT[u, : len(canvas)] = torch.tensor(canvas)
        valid_UT[u, : len(canvas)] = True
        target_UT[u, first : first + len(alike[0].rollout.tokens)] = True
    seeds_U = [alike[0].seed for alike in groups]
    views = tuple(
        draw_views(
            "coupled" if how.estimator == "released" else how.estimator,
            target_UT,
            [seed_of(seed, pair) for seed in seeds_U],
        )
        for pair in range(how.pairs)
    )
    row_B = [u for u, alike in enumerate(groups) for _ in alike]
    values_B = [each.advantage * each.weight for alike in groups for each in alike]
    return Rows(
        tokens_UT=tokens_UT.to(device),
        valid_UT=None if bool(valid_UT.all()) else valid_UT.to(device),
        target_UT=target_UT.to(device),
        views=tuple((a.to(device), b.to(device)) for a, b in views),
        share_U=shares([seed_of(seed, 0) for seed in seeds_U]).clamp(LEAST, MOST),
        row_B=torch.tensor(row_B, device=device),
        advantages_B=torch.tensor(values_B, device=device),
    )


def scored(model: Any, rows: Rows, how: Learning) -> Scores:
    """For each pair the scores of its targets, (U, T), and how often each counts."""
    found = []
    for view_UT, other_UT in rows.views:
        if how.estimator == "released":
            found.append((released(model, rows, view_UT, other_UT), rows.target_UT))
            continue
        both_UT = [
            token_scores(model, rows.tokens_UT, each_UT, each_UT, rows.valid_UT)
            for each_UT in (view_UT, other_UT)
        ]
        if how.estimator == "coupled":  # each target in exactly one of the two
            found.append((both_UT[0] + both_UT[1], rows.target_UT))
        else:
            found += list(zip(both_UT, (view_UT, other_UT), strict=True))
    return found


def released(model: Any, rows: Rows, view_UT: Tensor, other_UT: Tensor) -> Tensor:
    full_UT, own_UT, rest_UT = (
        token_scores(model, rows.tokens_UT, rows.target_UT, masked_UT, rows.valid_UT)
        for masked_UT in (rows.target_UT, view_UT, other_UT)
    )
    share = float(rows.share_U.mean())  # the published trainer has one for a batch
    return released_scores(full_UT, own_UT, rest_UT, view_UT, share)


def learn(
    model: Dream,
    optimiser: torch.optim.Optimizer,
    taught: Sequence[Taught],
    how: Learning,
    anchors: Anchors | None = None,
) -> Figures:
    """Policy iterations on these rollouts; the adapter is changed once in each. `anchors`:
    where it should stay as it was."""
    pad = model.config.pad_token_id or 0
    device = model.lm_head.weight.device
    batches = list(laid(taught, how, pad, device))
    total = ranks.summed(float(sum(rows.targets for rows in batches)))
    if not total:
        return Figures()
    rows = int(ranks.summed(float(sum(len(r.tokens_UT) for r in batches))))
    # Weights in parts are there when all processes ask for them: who has less goes along.
    while len(batches) < shards.even(model, len(batches)):
        batches.append(idle(how, pad, device))
    with shards.apart(model):
        return iterated(model, optimiser, batches, how, total, rows, anchors)


def iterated(
    model: Dream,
    optimiser: torch.optim.Optimizer,
    batches: Sequence[Rows],
    how: Learning,
    total: float,
    count: int,
    anchors: Anchors | None,
) -> Figures:
    before_NV = None if anchors is None else staying.before(model, anchors)
    with torch.no_grad():
        references: list[Scores] = [[]] * len(batches)
        if how.kl:
            with adapting.without(model):
                references = [scored(model, rows, how) for rows in batches]
        olds: list[Scores] = [[]] * len(batches)
        if how.epochs > 1:
            olds = [scored(model, rows, how) for rows in batches]
    figures = Figures()
    for _ in range(how.epochs):
        optimiser.zero_grad(set_to_none=False)
        sums = torch.zeros(4, dtype=torch.float64)
        for rows, reference, old in zip(batches, references, olds, strict=True):
            sums += backward(model, rows, reference, old, how, total)
        moved = 0.0
        if anchors is not None and before_NV is not None:
            away = staying.moved(model, anchors, before_NV)
            (how.stay * away).backward()
            moved = float(away.detach())
        parameters = adapting.learning(model)
        ranks.sum_gradients(parameters)
        norm = torch.nn.utils.clip_grad_norm_(parameters, how.gradient_norm)
        optimiser.step()
        loss, distance, ratio, clipped = ranks.summed_all(sums)
        figures = Figures(
            loss=loss,
            distance=distance,
            ratio=ratio,
            clipped=clipped,
            gradient=float(norm),
            rows=count,
            moved=ranks.summed(moved),
        )
    return figures


def idle(how: Learning, pad: int, device: Any) -> Rows:
    """A batch that teaches nothing: its targets do not count."""
    rollout = Rollout(
        task="", number=0, text="", before=(pad,), tokens=(pad,), after=()
    )
    rows = rows_of([[Taught(rollout=rollout, advantage=0.0, seed=0)]], how, pad, device)
    return replace(rows, counts=False)


def backward(
    model: Dream,
    rows: Rows,
    reference: Scores,
    old: Scores,
    how: Learning,
    total: float,
) -> Tensor:
    """Gradients of this batch's share of the loss; its share of loss, distance, ratio and
    clipped tokens."""
    share = rows.targets / total if rows.counts else 0.0
    sums = torch.zeros(4, dtype=torch.float64)
    news = scored(model, rows, how)
    loss: Any = 0.0
    for n, (new_UT, counted_UT) in enumerate(news):
        ref_UT = reference[n][0] if reference else None
        old_UT = old[n][0] if old else new_UT.detach()
        given: dict[str, Any] = {
            "clip_low": how.clip_low,
            "clip_high": how.clip_high,
            "kl_form": how.kl_form,
            "ref_BT": None if ref_UT is None else ref_UT[rows.row_B],
        }
        each = new_UT[rows.row_B], old_UT[rows.row_B], rows.advantages_B
        counted_BT = counted_UT[rows.row_B]
        loss = loss + grpo_loss(*each, counted_BT, kl=how.kl, **given) / len(news)
        seen = watch(*each, counted_BT, **given)
        numbers = [0.0, seen.distance, seen.ratio, seen.clipped]
        sums += torch.tensor(numbers, dtype=torch.float64) * share / len(news)
    loss = loss * share
    loss.backward()
    sums[0] = float(loss.detach())
    return sums
