"""The published decoder's step: which token goes where.

Four algorithms rank the masked positions (origin draws them), the schedule says how many
are committed. Rows of a batch keep schedules of their own, and the mask token is never
chosen: there the published loop breaks. Knows tensors only: no text, no files, no loop.

Shapes: B rows, T positions, V vocabulary, N masked positions of all rows, row-major.
"""

from dataclasses import replace

import torch
from torch import Generator, Tensor

from dlmd.decode.canvas import Canvas
from dlmd.decode.commit import (
    Generators,
    best_of_each_row,
    by_chance,
    each_generator,
    quota,
    released,
    shaken,
    uniform,
)
from dlmd.decode.rules import Reading
from dlmd.decode.settings import DecodeSettings

LOWEST = torch.finfo(torch.float32).min


# ---- what to put, and how sure ----


def score(
    logits_NV: Tensor, settings: DecodeSettings, mask_id: int
) -> tuple[Tensor, Tensor]:
    """What the algorithm ranks by, and the filtered distribution. The mask token counts
    in both; only as the chosen token (maskgit_plus) it is passed over."""
    probs_NV = filtered(logits_NV.float(), settings).softmax(dim=-1)
    if settings.algorithm == "entropy":
        confidence_N = (probs_NV * torch.log(probs_NV + 1e-10)).sum(dim=-1)
    elif settings.algorithm == "topk_margin":
        top_N2 = probs_NV.topk(2, dim=-1).values
        confidence_N = top_N2[:, 0] - top_N2[:, 1]
    else:
        confidence_N = without(probs_NV, mask_id, 0.0).amax(dim=-1)
    return confidence_N, probs_NV


def filtered(logits_NV: Tensor, settings: DecodeSettings) -> Tensor:
    """Temperature, then top_p, then top_k, as published."""
    if settings.temperature > 0:
        logits_NV = logits_NV / settings.temperature
    if settings.top_p is not None and settings.top_p < 1:
        sorted_NV, order_NV = logits_NV.sort(descending=True)
        beyond_NV = sorted_NV.softmax(dim=-1).cumsum(dim=-1) > settings.top_p
        # The first token that crosses the bound stays.
        beyond_NV = beyond_NV.roll(1, dims=-1)
        beyond_NV[:, 0] = False
        drop_NV = torch.zeros_like(beyond_NV).scatter(-1, order_NV, beyond_NV)
        logits_NV = logits_NV.masked_fill(drop_NV, LOWEST)
    if settings.top_k is not None:
        kept_NK = logits_NV.topk(min(settings.top_k, logits_NV.shape[-1])).values
        logits_NV = logits_NV.masked_fill(logits_NV < kept_NK[:, -1:], LOWEST)
    return logits_NV


def without(values_NV: Tensor, mask_id: int, instead: float) -> Tensor:
    """A copy with `instead` for the mask token, if the vocabulary has it at all."""
    values_NV = values_NV.clone()
    if 0 <= mask_id < values_NV.shape[-1]:
        values_NV[:, mask_id] = instead
    return values_NV


def choose(
    probs_NV: Tensor, mask_id: int, generator: Generator | None = None
) -> Tensor:
    """The likeliest token of each row, or with a generator a drawn one; never the mask."""
    if generator is None:
        return without(probs_NV, mask_id, -1.0).argmax(dim=-1)
    legal_NV = without(probs_NV, mask_id, 0.0)
    # Where the mask held all the probability there is nothing to prefer.
    nothing_N1 = legal_NV.sum(dim=-1, keepdim=True) == 0
    legal_NV = without(legal_NV.masked_fill(nothing_N1, 1.0), mask_id, 0.0)
    if legal_NV.device.type == "cpu":  # the published draw, number for number
        return legal_NV.multinomial(1, replacement=True, generator=generator)[:, 0]
    uniform_N = torch.rand(len(legal_NV), generator=generator, device="cpu")
    return at_quantile(legal_NV, uniform_N.to(legal_NV.device))


def at_quantile(probs_NV: Tensor, uniform_N: Tensor) -> Tensor:
    """Inverse of the cumulative distribution: one number from the CPU draws one token."""
    sums_NV = probs_NV.cumsum(dim=-1)
    target_N1 = uniform_N[:, None] * sums_NV[:, -1:]
    drawn_N1 = torch.searchsorted(sums_NV, target_N1, right=True)
    # Parallel sums round, and may step onto a token of no probability.
    possible_N1 = probs_NV.gather(-1, drawn_N1) > 0
    return drawn_N1.where(possible_N1, probs_NV.argmax(-1, keepdim=True))[:, 0]


def legal(logits_NV: Tensor, probs_NV: Tensor, mask_id: int) -> Tensor:
    """`probs_NV`, but rows where filters left only the mask token fall back on the rest."""
    if not 0 <= mask_id < probs_NV.shape[-1]:
        return probs_NV
    # The mask's may be a rounded 1 beside other probabilities: only their sum tells.
    alone_N1 = without(probs_NV, mask_id, 0.0).sum(dim=-1, keepdim=True) == 0
    rest_NV = without(logits_NV.float(), mask_id, float("-inf")).softmax(dim=-1)
    return torch.where(alone_N1, rest_NV, probs_NV)


def published_reading(
    logits_BMV: Tensor, settings: DecodeSettings, mask_id: int
) -> Reading:
    """What `rules.read` says, in the published arithmetic: number for number, filters and
    all. Waits for nothing at temperature 0."""
    logits_NV = logits_BMV.flatten(0, 1)
    confidence_N, probs_NV = score(logits_NV, settings, mask_id)
    legal_NV = legal(logits_NV, probs_NV, mask_id)
    x0_N = choose(legal_NV, mask_id)
    top_N = probs_NV.gather(-1, x0_N[:, None])[:, 0]
    entropy_N = -confidence_N
    if settings.algorithm != "entropy":
        entropy_N = -(probs_NV * torch.log(probs_NV + 1e-10)).sum(dim=-1)
    if settings.algorithm == "maskgit_plus":
        confidence_N = top_N
    lead_N = None
    if settings.by_lead:
        best_N2 = without(logits_NV.float(), mask_id, LOWEST).topk(2, dim=-1).values
        lead_N = best_N2[:, 0] - best_N2[:, 1]
    B, M = logits_BMV.shape[:2]
    return Reading(
        x0_BM=x0_N.view(B, M),
        rank_BM=confidence_N.view(B, M),
        top_BM=top_N.view(B, M),
        entropy_BM=entropy_N.view(B, M),
        lead_BM=None if lead_N is None else lead_N.view(B, M),
    )


# ---- one step ----


def step(
    canvas: Canvas,
    shifted_logits_BTV: Tensor,
    settings: DecodeSettings,
    i: int,
    *,
    x0_N: Tensor | None = None,
    draws_N: Tensor | None = None,
    generator: Generators | None = None,
) -> Canvas:
    """The canvas after step `i`. `x0_N` gives the tokens and `draws_N` origin's uniform
    numbers, for all masked positions, instead of drawing them.
    """
    logits_NV = shifted_logits_BTV[canvas.masked_BT]
    return commit(
        canvas,
        logits_NV,
        settings,
        i,
        x0_N=x0_N,
        draws_N=draws_N,
        generator=generator,
    )


def commit(
    canvas: Canvas,
    logits_NV: Tensor,
    settings: DecodeSettings,
    i: int,
    *,
    x0_N: Tensor | None = None,
    draws_N: Tensor | None = None,
    generator: Generators | None = None,
) -> Canvas:
    """`step` on the logits of the masked positions alone."""
    masked_BT = canvas.masked_BT
    row_N = masked_BT.nonzero()[:, 0]
    if len(row_N) == 0:
        return replace(canvas, confidence_BT=confidences(canvas))
    count_B = counts(canvas, settings, i, row_N)
    confidence_N, probs_NV = score(logits_NV, settings, canvas.mask_id)
    legal_NV = legal(logits_NV, probs_NV, canvas.mask_id)
    if settings.algorithm == "origin":
        draws_N = uniform(row_N, generator) if draws_N is None else draws_N
        chosen_N = best_of_each_row(row_N, -draws_N, count_B)
        if settings.schedule == "published":
            steps_B = row_steps(canvas, settings)
            share_B = [released(i, steps, settings.eps) for steps in steps_B]
            chosen_N = by_chance(row_N, draws_N, share_B)
        if x0_N is None:  # only what is released is drawn, as published
            at = chosen_N.nonzero()[:, 0]
            x0_N = torch.full_like(row_N, canvas.mask_id)
            x0_N[at] = pick(
                legal_NV[at], row_N[at], settings, canvas.mask_id, generator
            )
    else:
        if x0_N is None:
            x0_N = pick(legal_NV, row_N, settings, canvas.mask_id, generator)
        if settings.algorithm == "maskgit_plus":
            confidence_N = probs_NV.gather(-1, x0_N[:, None].long())[:, 0]
        rank_N = confidence_N
        if settings.alg_temp and any(count_B):
            rank_N = shaken(rank_N / settings.alg_temp, masked_BT, generator)
        chosen_N = best_of_each_row(row_N, rank_N, count_B)
    return written(canvas, torch.where(chosen_N, x0_N, canvas.mask_id), confidence_N)


def written(canvas: Canvas, tokens_N: Tensor, confidence_N: Tensor) -> Canvas:
    """A new canvas with `tokens_N` and `confidence_N` at the masked positions."""
    masked_BT = canvas.masked_BT
    tokens_BT = canvas.tokens_BT.clone()
    tokens_BT[masked_BT] = tokens_N.to(tokens_BT.dtype)
    confidence_BT = confidences(canvas)
    confidence_BT[masked_BT] = confidence_N
    return replace(canvas, tokens_BT=tokens_BT, confidence_BT=confidence_BT)


def confidences(canvas: Canvas) -> Tensor:
    """A copy, or zeros where no step has ranked anything yet."""
    if canvas.confidence_BT is None:
        return torch.zeros_like(canvas.tokens_BT, dtype=torch.float32)
    return canvas.confidence_BT.clone()


def row_steps(canvas: Canvas, settings: DecodeSettings) -> list[int]:
    return [settings.steps or max(1, masks) for masks in canvas.masks_B]


def counts(
    canvas: Canvas, settings: DecodeSettings, i: int, row_N: Tensor
) -> list[int]:
    """How many masks each row commits at step `i`."""
    left_B = row_N.bincount(minlength=len(canvas.masks_B)).tolist()
    return [
        quota(left, i, steps, settings.eps, settings.schedule)
        for left, steps in zip(left_B, row_steps(canvas, settings), strict=True)
    ]


def pick(
    probs_NV: Tensor,
    row_N: Tensor,
    settings: DecodeSettings,
    mask_id: int,
    generator: Generators | None,
) -> Tensor:
    """x0: the likeliest tokens at temperature 0, drawn ones above it."""
    if settings.temperature == 0:
        return choose(probs_NV, mask_id)
    x0_N = torch.empty_like(row_N)
    for drawing, at in each_generator(generator, row_N):
        x0_N[at] = choose(probs_NV[at], mask_id, drawing)
    return x0_N
