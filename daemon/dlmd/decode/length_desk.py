"""Rows that differ in the lengths of their holes, asked over the keys of one forward.

The canvas near the holes goes through the model once. For a row whose holes are shorter
or longer, what stands behind them is turned to where it would stand there, and a step
computes the holes and a few neighbours only. Tensors only; must not know which lengths
are tried, or why.

Shapes: R rows, T positions, W slots of the window, M places, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dlmd.decode.canvas import Canvas
from dlmd.decode.loop import flat
from dlmd.decode.places import find_places
from dlmd.model import Cache, Dream
from dlmd.model.dream import count_positions, rotary
from dlmd.model.fused import rotate

NEAR = 256  # positions on each side of the holes that are seen
REACH = 4  # neighbours on each side of a hole whose keys each step computes
FIRST = 3  # masks in each hole at the forward that the keys come from


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What the model says at one mask; log-probabilities."""

    token: int  # the likeliest that is no padding
    sure: float  # of that token; padding keeps its share
    nothing: float  # of padding
    there: float  # of the token that stands there, where one is hidden


class Desk:
    """The model, the text near the holes, and what was asked so far. Every hole has
    `room` slots, of which a row uses as many as it likes."""

    def __init__(
        self,
        model: Dream,
        canvas: Canvas,
        holes: Sequence[range],
        pad_ids: Sequence[int],
        room: int,
    ) -> None:
        device = canvas.tokens_BT.device
        self.row, self.spots = spread(canvas, holes, room)
        self.model, self.mask_id = model, canvas.mask_id
        self.tokens_T = torch.tensor(self.row, device=device)
        self.pads_P = torch.tensor(pad_ids, device=device)
        self.forwards, self.rows = 1, len(self.row)
        near_T = torch.zeros_like(self.tokens_T, dtype=torch.bool)
        for spot in self.spots:
            near_T[max(0, spot.start - 1 - REACH) : spot.stop + REACH] = True
        self.near_T = near_T
        self.first_1T = self.laid([[min(FIRST, room)] * len(self.spots)])
        self.keys = model.new_cache(rows=1, capacity=len(self.row))
        self.turned: tuple[Tensor, Cache] | None = None  # the last layouts, and theirs
        with torch.no_grad():
            model(
                self.tokens_T[None],
                self.first_1T,
                rows_N=self.tokens_T.new_zeros(1),
                cache=self.keys,
            )

    def ask(
        self, rows: Sequence[Sequence[list[int]]], hidden: Sequence[int] = ()
    ) -> list[dict[int, Said]]:
        """`rows[r][k]` is what stands in hole k in row r. What the model says at each
        mask of a row, and at the `hidden` places, by place."""
        valid_RT = self.laid([[len(inside) for inside in row] for row in rows])
        tokens_RT = self.tokens_T.repeat(len(rows), 1)
        for r, row in enumerate(rows):
            for spot, inside in zip(self.spots, row, strict=True):
                told = torch.tensor(inside, device=tokens_RT.device)
                tokens_RT[r, spot.start : spot.start + len(inside)] = told
        tokens_RT[:, list(hidden)] = self.mask_id
        slots_W = (self.near_T & valid_RT.any(dim=0)).nonzero()[:, 0]
        seen = Canvas(
            tokens_RT[:, slots_W], mask_id=self.mask_id, valid_BT=valid_RT[:, slots_W]
        )
        W = len(slots_W)
        with torch.no_grad():
            places = find_places(seen)
            logits_NV = self.model(
                seen.tokens_BT,
                cache=self.standing(valid_RT),
                slots_T=slots_W,
                rows_N=flat(places.source_BM, W),
            )
            said = self.read(logits_NV, slots_W[places.at_BM.clamp(max=W - 1)])
        self.forwards += 1
        self.rows += seen.tokens_BT.numel()
        slots = slots_W.tolist()
        return [
            {slots[at]: each[m] for m, at in enumerate(at_M) if at < W}
            for at_M, each in zip(places.at_BM.tolist(), said, strict=True)
        ]

    def read(self, logits_NV: Tensor, column_RM: Tensor) -> list[list[Said]]:
        logits_NV = logits_NV.float()
        logits_NV[:, self.mask_id] = torch.finfo(torch.float32).min
        sure_NV = logits_NV.log_softmax(dim=-1)
        there_N = sure_NV.gather(1, self.tokens_T[column_RM].view(-1, 1))[:, 0]
        nothing_N = sure_NV[:, self.pads_P].logsumexp(dim=-1)
        best = sure_NV.index_fill(1, self.pads_P, float("-inf")).max(dim=-1)
        # One copy to the host for all of them.
        table = torch.stack([best.values, nothing_N, there_N]).view(3, *column_RM.shape)
        tokens = best.indices.view(column_RM.shape).tolist()
        sure, nothing, there = table.tolist()
        return [
            [
                Said(token=each[0], sure=each[1], nothing=each[2], there=each[3])
                for each in zip(*row, strict=True)
            ]
            for row in zip(tokens, sure, nothing, there, strict=True)
        ]

    def laid(self, plans: Sequence[Sequence[int]]) -> Tensor:
        """Which slots are in use by rows with so many in each hole, (R, T)."""
        valid_RT = torch.ones_like(self.tokens_T, dtype=torch.bool).repeat(
            len(plans), 1
        )
        for r, plan in enumerate(plans):
            for spot, used in zip(self.spots, plan, strict=True):
                valid_RT[r, spot.start + used : spot.stop] = False
        return valid_RT

    def standing(self, valid_RT: Tensor) -> Cache:
        """Keys and values for these layouts: each turned from where the forward saw it to
        where it stands now."""
        if self.turned is not None and torch.equal(self.turned[0], valid_RT):
            return self.turned[1]
        (R, T), how, old = valid_RT.shape, self.model.config, self.keys
        dtype = old.keys_LBKSE.dtype
        new = self.model.new_cache(rows=R, capacity=T)
        at_RT = count_positions(valid_RT, valid_RT)
        cos, sin = rotary(at_RT, how.head_dim, how.rope_theta, dtype)
        new.begin(T, valid_RT, cos[:, 0], sin[:, 0])
        by_RT = at_RT - count_positions(self.first_1T, self.first_1T)
        cos, sin = rotary(by_RT, how.head_dim, how.rope_theta, torch.float32)
        for layer in range(how.num_hidden_layers):
            keys_BKSE = old.keys_LBKSE[layer].expand(R, -1, -1, -1).float()
            values_BKSE = old.values_LBKSE[layer].expand(R, -1, -1, -1)
            new.fill(layer, rotate(keys_BKSE, cos, sin).to(dtype), values_BKSE)
        self.turned = valid_RT, new
        return new


def spread(
    canvas: Canvas, holes: Sequence[range], room: int
) -> tuple[list[int], tuple[range, ...]]:
    """The first row near the holes, each with `room` masks, and where these lie now. All
    rows are candidates for one document: the first stands for all."""
    row = canvas.tokens_BT[0].tolist()
    first = max(0, holes[0].start - NEAR)
    near = row[:1] if first else []  # no text was ever seen without its begin token
    spots = []
    for hole in holes:
        near += row[first : hole.start]
        spots.append(range(len(near), len(near) + room))
        near += [canvas.mask_id] * room
        first = hole.stop
    return near + row[first : first + NEAR], tuple(spots)
