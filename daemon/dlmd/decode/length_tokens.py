"""Holes that grow and shrink by labels, as DreamOn taught its checkpoints.

Besides text the model may answer "two masks here" (expand) or "nothing here" (delete).
Every hole is a fixed run of slots, as many as it may ever hold; slots not in use are
marked invalid, so no position, key or score counts them, and rows of a batch keep lengths
of their own. After each step labels are carried out: an expand label becomes two masks, a
deleted position leaves, the rest of the hole moves up. Growth is bounded twice: by the
slots, and by as many expansions as a hole has slots, so a model that takes back what it
adds comes to an end. Tensors only, no text.

Shapes: B rows, T positions, C slots of a hole, M places of a row, V vocabulary.
"""

from collections.abc import Generator as Run
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from dlmd.decode.canvas import Canvas
from dlmd.decode.loop import Ending
from dlmd.decode.places import Places, padded
from dlmd.model import Dream

FIRST_MASKS = 16  # of a hole without a length: DreamOn's scores hardly depend on it


@dataclass(slots=True, kw_only=True, eq=False)
class Labels:
    """`length.Lengths` by expand and delete labels. `holes` may change their length, all
    others keep it: there neither label is a choice."""

    holes: Sequence[range]
    expand_id: int
    delete_ids: Sequence[int]  # the first also stands in slots that are not in use
    mask_id: int
    first_masks: int = FIRST_MASKS
    spent_HB: list[Tensor] = field(default_factory=list)  # expansions so far

    def begin(
        self, model: Dream, canvas: Canvas, holes: Sequence[range]
    ) -> tuple[Canvas, tuple[range, ...]]:
        """Holes begin with `first_masks`, the rest of their slots unused."""
        tokens_BT = canvas.tokens_BT.clone()
        valid_BT = torch.ones_like(tokens_BT, dtype=torch.bool)
        if canvas.valid_BT is not None:
            valid_BT = canvas.valid_BT.clone()
        for hole in self.holes:
            unused = slice(min(hole.start + self.first_masks, hole.stop), hole.stop)
            tokens_BT[:, unused] = self.delete_ids[0]
            valid_BT[:, unused] = False
        self.spent_HB = [torch.zeros_like(tokens_BT[:, 0]) for _ in self.holes]
        canvas = replace(canvas, tokens_BT=tokens_BT, valid_BT=valid_BT, masks_B=())
        return canvas, tuple(holes)

    def ending(self) -> Ending:
        return self

    def bar(self, tokens_BT: Tensor, places: Places, logits_BMV: Tensor) -> Tensor:
        """No expansion where a hole is full or has had its share, and no label at all in
        holes of a given length."""
        full_BT = torch.ones_like(tokens_BT, dtype=torch.bool)
        given_BT = torch.ones_like(full_BT)
        for hole, spent_B in zip(self.holes, self.spent_HB, strict=True):
            inside_BC = tokens_BT[:, hole.start : hole.stop]
            room_B = room(inside_BC != self.delete_ids[0], spent_B)
            full_BT[:, hole.start : hole.stop] = (room_B <= 0)[:, None]
            given_BT[:, hole.start : hole.stop] = False
        logits_BMV = barred(logits_BMV, places, full_BT, [self.expand_id])
        return barred(logits_BMV, places, given_BT, self.delete_ids)

    def settle(self, tokens_BT: Tensor, places: Places, x0_BM: Tensor) -> Tensor:
        return tokens_BT

    def end(self, tokens_BT: Tensor) -> Tensor:
        return tokens_BT

    def follow(
        self, states: Run[Canvas, Canvas | None, None]
    ) -> Run[Canvas, Canvas | None, None]:
        """The states with their labels carried out; the run goes on from these."""
        state = next(states, None)
        while state is not None:
            changed = self.carried_out(state)
            moved = changed.tokens_BT is not state.tokens_BT
            sent = yield changed
            if sent is None and moved and bool(changed.masked_BT.any()):
                sent = changed
            try:
                state = states.send(sent)
            except StopIteration:
                return

    def carried_out(self, canvas: Canvas) -> Canvas:
        for number, hole in enumerate(self.holes):
            canvas = self.rewritten(canvas, number, hole)
        return canvas

    def rewritten(self, canvas: Canvas, number: int, hole: range) -> Canvas:
        assert canvas.valid_BT is not None
        inside_BC = canvas.tokens_BT[:, hole.start : hole.stop]
        used_BC = canvas.valid_BT[:, hole.start : hole.stop]
        deleted_BC = used_BC & among(inside_BC, self.delete_ids)
        expand_BC = used_BC & (inside_BC == self.expand_id)
        if not bool((deleted_BC | expand_BC).any()):
            return canvas
        kept_BC = used_BC & ~deleted_BC
        room_B = room(kept_BC, self.spent_HB[number])
        grown_BC = expand_BC & (expand_BC.cumsum(dim=-1) <= room_B[:, None])
        self.spent_HB[number] = self.spent_HB[number] + grown_BC.sum(dim=-1)
        source_BC, used_BC = moved_up(kept_BC.long() + grown_BC.long())
        inside_BC = inside_BC.masked_fill(expand_BC, self.mask_id).gather(1, source_BC)
        inside_BC = inside_BC.where(used_BC, self.delete_ids[0])
        tokens_BT, valid_BT = canvas.tokens_BT.clone(), canvas.valid_BT.clone()
        tokens_BT[:, hole.start : hole.stop] = inside_BC
        valid_BT[:, hole.start : hole.stop] = used_BC
        canvas = replace(canvas, tokens_BT=tokens_BT, valid_BT=valid_BT)
        if canvas.confidence_BT is None:
            return canvas
        confidence_BT = canvas.confidence_BT.clone()
        sure_BC = confidence_BT[:, hole.start : hole.stop].gather(1, source_BC)
        confidence_BT[:, hole.start : hole.stop] = sure_BC
        return replace(canvas, confidence_BT=confidence_BT)


def room(kept_BC: Tensor, spent_B: Tensor) -> Tensor:
    """How many more expansions a hole has: by its slots, and by those it has had."""
    slots = kept_BC.shape[1]
    return torch.minimum(slots - kept_BC.sum(dim=-1), slots - spent_B)


def moved_up(width_BC: Tensor) -> tuple[Tensor, Tensor]:
    """For slots that are dropped (0), kept (1) or doubled (2): the slot whose content each
    one has afterwards, and which are in use then."""
    ends_BC = width_BC.cumsum(dim=-1)
    at_BC = torch.arange(width_BC.shape[1], device=width_BC.device)
    at_BC = at_BC.expand_as(width_BC).contiguous()
    source_BC = torch.searchsorted(ends_BC, at_BC, right=True)
    used_BC = at_BC < ends_BC[:, -1:]
    return source_BC.clamp(max=width_BC.shape[1] - 1), used_BC


def barred(
    logits_BMV: Tensor, places: Places, where_BT: Tensor, ids: Sequence[int]
) -> Tensor:
    """Logits in which `ids` are no choice at the places where `where_BT` holds."""
    here_BM = padded(where_BT, 0).gather(1, places.at_BM)
    lowest = torch.finfo(logits_BMV.dtype).min
    logits_BMV = logits_BMV.clone()
    for token in ids:
        column_BM = logits_BMV[..., token]
        logits_BMV[..., token] = column_BM.masked_fill(here_BM, lowest)
    return logits_BMV


def among(tokens: Tensor, ids: Sequence[int]) -> Tensor:
    found = torch.zeros_like(tokens, dtype=torch.bool)
    for token in ids:
        found |= tokens == token
    return found
