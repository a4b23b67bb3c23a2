"""How many masks a hole needs, by trying: for models that were taught padding, too.

A model that may end a hole by padding starts by looking at a wide gap, and what it is
surest of there is rarely what a gap of one or two tokens would hold. So short lengths are
tried as they would be decoded: a few batched forwards over what stands near the hole, a
row for each length. Masks are filled with the likeliest tokens, half of them first. Then
both neighbours of the hole are hidden: text of the right length also explains what stands
around it. A length wins by the log-probability of its text and, for less, of its
neighbours. Where no length gets far enough, the hole keeps its slots and ends where the
model pads. Tensors only, no text.

Shapes: R rows of a forward, T positions, M places of a row.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from dlmd.decode.canvas import Canvas
from dlmd.decode.loop import flat
from dlmd.decode.places import find_places
from dlmd.model import Dream

LENGTHS = (1, 2, 3, 4, 5, 6, 7, 8, 12)
FINALISTS = 4  # lengths that are filled and checked
NEAR = 48  # positions on each side of the hole that a trial sees
# Fitted on 120 holes that the embedded model solves at their true length.
NEIGHBOURS = 0.3  # what a neighbour's log-probability counts, beside a token's own
LEAST = -8.0  # of both neighbours: some nobody could foresee
LONGER = 0.15  # for each token: a product of more probabilities is smaller
ENOUGH = -6.0  # a lower score than this says nothing about the length


@dataclass(slots=True, kw_only=True, eq=False)
class Trial:
    """One length of one hole, with what stands around it."""

    before: list[int]
    inside: list[int]
    after: list[int]
    score: float = 0.0  # log-probability of what was filled in so far
    outlook: float = 0.0  # and of what the first look would fill in

    @property
    def row(self) -> list[int]:
        return self.before + self.inside + self.after


@dataclass(slots=True, kw_only=True, eq=False)
class Asking:
    """The model, the tokens that are no answer, and what was asked of it so far."""

    model: Dream
    mask_id: int
    pad_ids: Sequence[int]
    device: torch.device
    forwards: int = 0
    rows: int = 0

    def answers(self, rows: Sequence[list[int]]) -> list[list[tuple[int, Tensor]]]:
        """Of each row: every mask's place, and the log-probabilities there."""
        T = max(map(len, rows))
        tokens_RT = torch.tensor(
            [row + [self.pad_ids[0]] * (T - len(row)) for row in rows],
            device=self.device,
        )
        lengths_R1 = torch.tensor([[len(row)] for row in rows], device=self.device)
        valid_RT = torch.arange(T, device=self.device) < lengths_R1
        canvas = Canvas(tokens_RT, mask_id=self.mask_id, valid_BT=valid_RT)
        with torch.no_grad():
            places = find_places(canvas)
            rows_N = flat(places.source_BM, T)
            logits_NV = self.model(tokens_RT, valid_RT, rows_N=rows_N).float()
            logits_NV[:, self.mask_id] = torch.finfo(torch.float32).min
            sure_RMV = logits_NV.log_softmax(dim=-1).view(*places.shape, -1)
        self.forwards += 1
        self.rows += tokens_RT.numel()
        return [
            [(t, sure_RMV[r, m]) for m, t in enumerate(at_M) if t < T]
            for r, at_M in enumerate(places.at_BM.tolist())
        ]


def tried(
    model: Dream, canvas: Canvas, hole: range, pad_ids: Sequence[int]
) -> tuple[int | None, Canvas]:
    """The length that wins, None where none does; and the canvas with the work counted.
    All rows are candidates for one document: the first stands for all."""
    asking = Asking(
        model=model,
        mask_id=canvas.mask_id,
        pad_ids=pad_ids,
        device=canvas.tokens_BT.device,
    )
    trials = laid_out(canvas, hole)
    fill(asking, trials, share=0.5)
    trials = sorted(trials, key=promise, reverse=True)[:FINALISTS]
    fill(asking, [trial for trial in trials if canvas.mask_id in trial.inside], share=1)
    check(asking, trials)
    best = max(trials, key=lambda trial: trial.score)
    canvas = replace(
        canvas,
        forwards_cached=canvas.forwards_cached + asking.forwards,
        query_rows=canvas.query_rows + asking.rows,
    )
    return (len(best.inside) if best.score > ENOUGH else None), canvas


def promise(trial: Trial) -> float:
    return trial.outlook + LONGER * len(trial.inside)


def laid_out(canvas: Canvas, hole: range) -> list[Trial]:
    row = canvas.tokens_BT[0].tolist()
    before = row[max(0, hole.start - NEAR) : hole.start]
    if hole.start > NEAR:
        before = [row[0], *before]  # no text was ever seen without its begin token
    after = row[hole.stop : hole.stop + NEAR]
    return [
        Trial(before=before, inside=[canvas.mask_id] * length, after=after)
        for length in LENGTHS
        if length <= len(hole)
    ]


def fill(asking: Asking, trials: Sequence[Trial], share: float) -> None:
    """That share of each trial's masks, the surest first, takes its likeliest tokens."""
    if not trials:
        return
    for trial, answers in zip(
        trials, asking.answers([trial.row for trial in trials]), strict=True
    ):
        start = len(trial.before)
        inside = [x for x in answers if 0 <= x[0] - start < len(trial.inside)]
        found = [
            (*likeliest(sure_V, asking.pad_ids), t - start) for t, sure_V in inside
        ]
        found.sort(reverse=True)
        trial.outlook = trial.score + sum(sure for sure, *_ in found)
        for sure, token, place in found[: max(1, int(share * len(found)))]:
            trial.inside[place] = token
            trial.score += sure


def likeliest(sure_V: Tensor, pad_ids: Sequence[int]) -> tuple[float, int]:
    """The surest token that is no padding. Padding keeps its share all the same: where it
    is likely, the length is too long."""
    sure_V = sure_V.clone()
    sure_V[list(pad_ids)] = float("-inf")
    best = sure_V.max(dim=-1)
    return float(best.values), int(best.indices)


def check(asking: Asking, trials: Sequence[Trial]) -> None:
    """What stands on both sides of the hole is hidden, and counts by how well the trial's
    text explains it."""
    hidden, wanted = [], []
    for trial in trials:
        row = trial.row
        end = len(trial.before) + len(trial.inside)
        places = [t for t in (len(trial.before) - 1, end) if 0 < t < len(row)]
        wanted.append({t: row[t] for t in places if row[t] != asking.mask_id})
        for t in wanted[-1]:
            row[t] = asking.mask_id
        hidden.append(row)
    for trial, expected, answers in zip(
        trials, wanted, asking.answers(hidden), strict=True
    ):
        said = [float(sure_V[expected[t]]) for t, sure_V in answers if t in expected]
        trial.score += NEIGHBOURS * max(LEAST, sum(said))
        trial.score += LONGER * len(trial.inside)
