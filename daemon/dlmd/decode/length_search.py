"""How many masks a hole needs, by what the model thinks of each number: a search.

For checkpoints that were never taught lengths. After CAL (arXiv 2602.00476): one forward
over L masks gives the mean probability of their likeliest tokens; that alone favours
short holes, so it is divided by what L masks get on average. Instead of climbing one
length at a time, every round tries a few lengths in one batched forward, a row each:
first a coarse ladder, then the gaps beside the best. Several holes are searched at once,
in the same rows: each is scored by its own masks. Tensors only, no text.

Shapes: R rows of a round, T positions, M places of a row, H holes.
"""

from collections.abc import Generator as Run
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import exp
from statistics import mean

import torch
from torch import Tensor

from dlmd.decode.canvas import Canvas
from dlmd.decode.loop import flat
from dlmd.decode.places import find_places, opened
from dlmd.model import Dream

LADDER = (1, 2, 4, 8, 16, 32, 64, 128)
ROUNDS = 3
ROWS = 8  # lengths in one forward
NEAR = 256  # positions on each side of the holes that a trial sees


def usual(length: int) -> float:
    """What `length` masks get whatever stands around them: CAL's fit on LLaDA-Base, which
    its authors use unchanged for DiffuCoder."""
    return exp(-1.77 * length) + 0.56 * exp(-0.06 * length) + 0.24


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """`length.Lengths` by search. `holes` may change their length, all others keep it."""

    holes: Sequence[range]
    void_id: int  # stands in slots that a row does not use

    def begin(
        self, model: Dream, canvas: Canvas, holes: Sequence[range]
    ) -> tuple[Canvas, tuple[range, ...]]:
        """The canvas with as many masks in each hole as the search found best. All rows
        are candidates for one document: the first is searched, and stands for all."""
        if not self.holes:
            return canvas, tuple(holes)
        first = one_row(canvas)
        found, spent = searched(model, first, self.holes, self.void_id)
        canvas = replace(
            shortened(canvas, found),
            forwards_full=canvas.forwards_full + spent.forwards_full,
            query_rows=canvas.query_rows + spent.query_rows,
        )
        return canvas, shifted(holes, found)

    def ending(self) -> None:
        return None

    def follow(
        self, states: Run[Canvas, Canvas | None, None]
    ) -> Run[Canvas, Canvas | None, None]:
        return states


def one_row(canvas: Canvas) -> Canvas:
    valid_BT = canvas.valid_BT
    return Canvas(
        canvas.tokens_BT[:1],
        mask_id=canvas.mask_id,
        valid_BT=None if valid_BT is None else valid_BT[:1],
    )


def searched(
    model: Dream, canvas: Canvas, holes: Sequence[range], void_id: int
) -> tuple[dict[range, int], Canvas]:
    """The best length of each hole, and the canvas with the forwards counted."""
    seen: dict[range, dict[int, float]] = {hole: {} for hole in holes}
    best = {hole: len(hole) for hole in holes}
    for _ in range(ROUNDS):
        trials = {hole: next_lengths(hole, seen[hole]) for hole in holes}
        rows = max(map(len, trials.values()), default=0)
        if rows == 0:
            break
        plans = [
            # A hole that is done, or has fewer to try, stands at its best meanwhile.
            {h: trials[h][r] if r < len(trials[h]) else best[h] for h in holes}
            for r in range(rows)
        ]
        scores, canvas = scored(model, canvas, plans, void_id)
        for plan, score in zip(plans, scores, strict=True):
            for hole, length in plan.items():
                seen[hole][length] = score[hole]
        best = {hole: top(seen[hole]) for hole in holes}
    return best, canvas


def next_lengths(hole: range, seen: Mapping[int, float]) -> list[int]:
    """The ladder first; then, on both sides of the best, the lengths between it and its
    neighbours, evenly, at most ROWS of them."""
    most = len(hole)
    if not seen:
        ladder = [length for length in LADDER if length < most]
        return [*ladder[-(ROWS - 1) :], most]
    best = top(seen)
    low = max((length for length in seen if length < best), default=0) + 1
    high = min((length for length in seen if length > best), default=most + 1)
    between = [length for length in range(low, high) if length != best]
    stride = -(-len(between) // ROWS)
    return between[stride // 2 :: stride] if between else []


def top(seen: Mapping[int, float]) -> int:
    return max(seen, key=lambda length: (seen[length], -length))


def scored(
    model: Dream,
    canvas: Canvas,
    plans: Sequence[Mapping[range, int]],
    void_id: int,
) -> tuple[list[dict[range, float]], Canvas]:
    """One forward over a row for each plan: how sure the model is of each hole, against
    what is usual for its length."""
    R = len(plans)
    tokens_RT = canvas.tokens_BT.repeat(R, 1)
    valid_RT = torch.ones_like(tokens_RT, dtype=torch.bool)
    if canvas.valid_BT is not None:
        valid_RT = canvas.valid_BT.repeat(R, 1)
    for row, plan in enumerate(plans):
        for hole, length in plan.items():
            tokens_RT[row, hole.start + length : hole.stop] = void_id
            valid_RT[row, hole.start + length : hole.stop] = False
    near = around(canvas, plans[0])
    trial = Canvas(
        tokens_RT[:, near], mask_id=canvas.mask_id, valid_BT=valid_RT[:, near]
    )
    sure_RT = sureness(model, trial).tolist()
    totals = [
        {
            hole: mean(sure[hole.start - near.start :][:length]) / usual(length)
            for hole, length in plan.items()
        }
        for sure, plan in zip(sure_RT, plans, strict=True)
    ]
    counted = replace(
        canvas,
        forwards_full=canvas.forwards_full + 1,
        query_rows=canvas.query_rows + trial.tokens_BT.numel(),
    )
    return totals, counted


def around(canvas: Canvas, holes: Iterable[range]) -> slice:
    """What a trial sees: from a little before the first hole to a little after the last."""
    first = max(0, min(hole.start for hole in holes) - NEAR)
    last = max(hole.stop for hole in holes) + NEAR
    return slice(first, last)


def sureness(model: Dream, canvas: Canvas) -> Tensor:
    """The probability of the likeliest token at each mask, 0 elsewhere, (B, T)."""
    with torch.no_grad():
        places = find_places(canvas)
        B, T = canvas.tokens_BT.shape
        rows_N = flat(places.source_BM, T)
        logits_NV = model(canvas.tokens_BT, canvas.valid_BT, rows_N=rows_N).float()
        whole_N = logits_NV.logsumexp(dim=-1)
        logits_NV[:, canvas.mask_id] = torch.finfo(logits_NV.dtype).min
        top_BM = (logits_NV.amax(dim=-1) - whole_N).exp().view(*places.shape)
        open_BM = opened(canvas.tokens_BT, places, canvas.mask_id)
        wide_BT = torch.zeros(B, T + 1, device=top_BM.device, dtype=top_BM.dtype)
        return wide_BT.scatter(1, places.at_BM, top_BM * open_BM)[:, :-1]


def shortened(canvas: Canvas, lengths: Mapping[range, int]) -> Canvas:
    """The canvas with only so many of each hole's masks, as the start of a run."""
    gone = {
        column
        for hole, length in lengths.items()
        for column in range(hole.start + length, hole.stop)
    }
    left = [t for t in range(canvas.tokens_BT.shape[1]) if t not in gone]
    keep_T = torch.tensor(left, device=canvas.tokens_BT.device)
    valid_BT = canvas.valid_BT
    return replace(
        canvas,
        tokens_BT=canvas.tokens_BT.index_select(1, keep_T),
        valid_BT=None if valid_BT is None else valid_BT.index_select(1, keep_T),
        masks_B=(),
    )


def shifted(holes: Sequence[range], lengths: Mapping[range, int]) -> tuple[range, ...]:
    """Where the holes lie once some of them have become shorter."""
    gone = 0
    moved = []
    for hole in holes:
        length = lengths.get(hole, len(hole))
        moved.append(range(hole.start - gone, hole.start - gone + length))
        gone += len(hole) - length
    return tuple(moved)
