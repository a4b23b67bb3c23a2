"""The published decoder, step for step: which token goes where at each step.

Four algorithms rank the masked positions (origin draws them), the schedule says how many
are committed. Rows of a batch keep schedules of their own, and the mask token is never
chosen: there the published loop breaks. Knows tensors only: no text, no files.

Shapes: B rows, T positions, V vocabulary, N masked positions of all rows, row-major.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Generator, Tensor

from dlmd.decode.canvas import Canvas
from dlmd.decode.commit import (
    SCHEDULES,
    Generators,
    best_of_each_row,
    by_chance,
    each_generator,
    quota,
    released,
    shaken,
    uniform,
)
from dlmd.model import Dream

ALGORITHMS = ("origin", "maskgit_plus", "topk_margin", "entropy")
LOWEST = torch.finfo(torch.float32).min


@dataclass(frozen=True, slots=True)
class DecodeSettings:
    """How to denoise. `steps` None: as many as a row has masks. No hidden filters:
    the published defaults truncate at top_k=50 unless told otherwise, ours do not.
    """

    algorithm: str = "entropy"
    steps: int | None = None
    eps: float = 1e-3
    temperature: float = 0.0
    top_p: float | None = None
    top_k: int | None = None
    alg_temp: float | None = None
    schedule: str = "published"
    seed: int | None = None

    def __post_init__(self) -> None:
        expect("algorithm", self.algorithm, " or ".join(ALGORITHMS), ALGORITHMS)
        expect("schedule", self.schedule, " or ".join(SCHEDULES), SCHEDULES)
        bounds = (
            ("steps", "at least 1", self.steps is None or self.steps >= 1),
            ("eps", "between 0 and 1", 0.0 < self.eps < 1.0),
            ("temperature", "at least 0", 0.0 <= self.temperature < float("inf")),
            ("top_p", "above 0, up to 1", self.top_p is None or 0 < self.top_p <= 1),
            ("top_k", "at least 1", self.top_k is None or self.top_k >= 1),
            ("seed", "0 to 2**63-1", self.seed is None or 0 <= self.seed < 2**63),
            ("alg_temp", "at least 0", self.alg_temp is None or self.alg_temp >= 0),
        )
        for name, wanted, holds in bounds:
            if not holds:
                raise ValueError(f"{name} is {getattr(self, name)}; give {wanted}")


def expect(name: str, value: str, wanted: str, known: Sequence[str]) -> None:
    if value not in known:
        raise ValueError(f"{name} is {value!r}; give {wanted}")


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
    uniform_N = torch.rand(len(legal_NV), generator=generator)
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
    at = (probs_NV[:, mask_id] == 1).nonzero()[:, 0]
    if len(at):  # the mask's may be a rounded 1 beside other probabilities
        at = at[without(probs_NV[at], mask_id, 0.0).sum(dim=-1) == 0]
    rest_NV = without(logits_NV[at].float(), mask_id, float("-inf"))
    return probs_NV.index_put((at,), rest_NV.softmax(dim=-1)) if len(at) else probs_NV


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


# ---- all steps ----


def denoise(
    model: Dream,
    canvas: Canvas,
    settings: DecodeSettings,
    *,
    generator: Generators | None = None,
) -> Iterator[Canvas]:
    """The canvas after each step. A step that commits nothing costs no second forward."""
    if generator is None:
        generator = fresh_generator(settings.seed)
    # A run of its own, even from a state that another run left: masks count from here.
    canvas = replace(canvas, masks_B=(), confidence_BT=confidences(canvas))
    logits_NV = None
    for i in range(yields(canvas, settings)):
        with torch.no_grad():  # not around the yield: the caller's mode is the caller's
            if logits_NV is None and canvas.masked_BT.any():
                rows_N = source_rows(canvas)
                logits_NV = model(canvas.tokens_BT, canvas.valid_BT, rows_N=rows_N)
                canvas = replace(canvas, forwards=canvas.forwards + 1)
            after = canvas
            if logits_NV is not None:
                after = commit(canvas, logits_NV, settings, i, generator=generator)
        if not torch.equal(after.tokens_BT, canvas.tokens_BT):
            logits_NV = None
        canvas = after
        yield canvas


def fresh_generator(seed: int | None) -> Generator:
    generator = Generator()
    if seed is None:
        generator.seed()
        return generator
    return generator.manual_seed(seed)


def yields(canvas: Canvas, settings: DecodeSettings) -> int:
    most = max(canvas.masks_B)
    if settings.steps is None:
        return most
    if settings.schedule == "even":
        return min(settings.steps, most)
    return settings.steps


def source_rows(canvas: Canvas) -> Tensor:
    """The flat row of B*T that predicts each masked position: the one before it.

    Position 0 has none and reads its own row, as published. Padding is stepped over, so
    that a padded row reads what the same row reads alone.
    """
    B, T = canvas.tokens_BT.shape
    at_BT = torch.arange(T, device=canvas.tokens_BT.device).expand(B, T)
    if canvas.valid_BT is None:
        seen_BT = at_BT
    else:
        seen_BT = at_BT.where(canvas.valid_BT, -1).cummax(dim=-1).values
    before_BT = torch.cat([torch.full_like(at_BT[:, :1], -1), seen_BT[:, :-1]], dim=1)
    source_BT = torch.where(before_BT < 0, at_BT, before_BT)
    first_B1 = torch.arange(B, device=at_BT.device)[:, None] * T
    return (source_BT + first_B1)[canvas.masked_BT]
