"""Denoising holes whose length the model finds itself: surplus masks become padding.

For models that were taught to label surplus masks as padding. Two rules on top of any
decoder's step: masks at the end of a hole whose likeliest token is padding are settled
together, and where padding is committed the hole ends. So far text only ever shrinks from
the right, and no committed token changes. Tensors only, no text.

Shapes: B rows, T positions, M places of a row, V vocabulary.
"""

from collections.abc import Generator as Run
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dlmd.decode.canvas import Canvas
from dlmd.decode.commit import Generators
from dlmd.decode.length_search import shifted, shortened
from dlmd.decode.length_trials import tried
from dlmd.decode.loop import denoise
from dlmd.decode.places import Places, opened, padded, put
from dlmd.decode.settings import DecodeSettings
from dlmd.model import Dream

TRIED = 32  # masks: holes asked for with more are meant for long text


@dataclass(slots=True, kw_only=True, eq=False)
class Padding:
    """`length.Lengths` by trials, and where these say nothing, by padding. `holes` may
    change their length, all others keep it."""

    holes: Sequence[range]
    pad_ids: Sequence[int]
    rules: "EndsAtPadding | None" = None

    def begin(
        self, model: Dream, canvas: Canvas, holes: Sequence[range]
    ) -> tuple[Canvas, tuple[range, ...]]:
        short = [hole for hole in self.holes if len(hole) <= TRIED]
        lengths, canvas = tried(model, canvas, short, self.pad_ids)
        own = [hole in self.holes and hole not in lengths for hole in holes]
        found = tuple(holes)
        if lengths:
            canvas, found = shortened(canvas, lengths), shifted(holes, lengths)
        ends = [hole for hole, mine in zip(found, own, strict=True) if mine]
        self.rules = EndsAtPadding(ends, self.pad_ids, canvas) if ends else None
        return canvas, found

    def ending(self) -> "EndsAtPadding | None":
        return self.rules

    def follow(
        self, states: Run[Canvas, Canvas | None, None]
    ) -> Run[Canvas, Canvas | None, None]:
        return states


def denoise_own_length(
    model: Dream,
    canvas: Canvas,
    settings: DecodeSettings,
    *,
    holes: Sequence[range],
    pad_ids: Sequence[int],
    generator: Generators | None = None,
) -> Iterator[Canvas]:
    """The canvas after each step, until no mask is left; at most as many steps as masks.

    `holes` are the positions of the holes that may shrink, the same in every row.
    """
    ending = EndsAtPadding(holes, pad_ids, canvas)
    return denoise(model, canvas, settings, generator=generator, ending=ending)


class EndsAtPadding:
    """`loop.Ending` by padding, for any decoder."""

    def __init__(
        self, holes: Sequence[range], pad_ids: Sequence[int], canvas: Canvas
    ) -> None:
        self.holes = holes
        self.mask_id = canvas.mask_id
        # Here and not at each step: a copy to a device waits for it.
        self.pads_P = torch.tensor(pad_ids, device=canvas.tokens_BT.device)

    def bar(self, tokens_BT: Tensor, places: Places, logits_BMV: Tensor) -> Tensor:
        """Padding is no choice before text that is already committed in the same hole."""
        before_text_BT = torch.zeros_like(tokens_BT, dtype=torch.bool)
        for hole in self.holes:
            inside_BT = tokens_BT[:, hole.start : hole.stop]
            text_BT = (inside_BT != self.mask_id) & ~self.is_padding(inside_BT)
            ahead_BT = text_BT.flip(-1).cummax(dim=-1).values.flip(-1)
            before_text_BT[:, hole.start : hole.stop] = ahead_BT
        barred_BM1 = padded(before_text_BT, 0).gather(1, places.at_BM)[..., None]
        lowest = torch.finfo(logits_BMV.dtype).min
        pads_BMP = logits_BMV.index_select(-1, self.pads_P)
        return logits_BMV.index_copy(
            -1, self.pads_P, pads_BMP.masked_fill(barred_BM1, lowest)
        )

    def settle(self, tokens_BT: Tensor, places: Places, x0_BM: Tensor) -> Tensor:
        """The masks at each hole's end whose likeliest token is padding become padding."""
        open_BM = opened(tokens_BT, places, self.mask_id)
        surplus_BT = self.is_padding(put(tokens_BT, places, x0_BM, open_BM))
        tokens_BT = tokens_BT.clone()
        for hole in self.holes:
            inside_BT = tokens_BT[:, hole.start : hole.stop]
            tail_BT = surplus_BT[:, hole.start : hole.stop].flip(-1)
            tail_BT = tail_BT.cummin(dim=-1).values.flip(-1)
            inside_BT[:] = inside_BT.where(~tail_BT, self.pads_P[0])
        return tokens_BT

    def end(self, tokens_BT: Tensor) -> Tensor:
        """Right of committed padding there is only padding."""
        tokens_BT = tokens_BT.clone()
        for hole in self.holes:
            inside_BT = tokens_BT[:, hole.start : hole.stop]
            ended_BT = self.is_padding(inside_BT).cummax(dim=-1).values
            inside_BT[:] = inside_BT.where(~ended_BT, self.pads_P[0])
        return tokens_BT

    def is_padding(self, tokens: Tensor) -> Tensor:
        return torch.isin(tokens, self.pads_P)
