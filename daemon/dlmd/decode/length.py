"""Denoising holes whose length the model finds itself: surplus masks become padding.

For models that were taught to label surplus masks as padding. Two rules on top of the
published step: masks at the end of a hole whose likeliest token is padding are settled
together, and where padding is committed the hole ends. So far text only ever shrinks from
the right, and no committed token changes. Tensors only, no text.

Shapes: B rows, T positions, V vocabulary, N masked positions of all rows, row-major.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from dlmd.decode.canvas import Canvas
from dlmd.decode.commit import Generators
from dlmd.decode.published import DecodeSettings, commit, source_rows, without
from dlmd.model import Dream


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
    i = 0
    while canvas.masked_BT.any():
        with torch.no_grad():  # not around the yield: the caller's mode is the caller's
            masked_BT = canvas.masked_BT
            logits_NV = model(
                canvas.tokens_BT, canvas.valid_BT, rows_N=source_rows(canvas)
            )
            logits_NV = only_where_it_ends(canvas, logits_NV, holes, pad_ids)
            settled = settle_tails(canvas, logits_NV, holes, pad_ids)
            left_N = settled.masked_BT[masked_BT]
            after = commit(settled, logits_NV[left_N], settings, i, generator=generator)
            after = end_at_padding(after, holes, pad_ids)
            canvas = replace(after, forwards=canvas.forwards + 1)
        i += 1
        yield canvas


def only_where_it_ends(
    canvas: Canvas, logits_NV: Tensor, holes: Sequence[range], pad_ids: Sequence[int]
) -> Tensor:
    """Padding is no choice before text that is already committed in the same hole."""
    before_text_BT = torch.zeros_like(canvas.masked_BT)
    for hole in holes:
        inside_BT = canvas.tokens_BT[:, hole.start : hole.stop]
        text_BT = (inside_BT != canvas.mask_id) & ~is_padding(inside_BT, pad_ids)
        ahead_BT = text_BT.flip(-1).cummax(dim=-1).values.flip(-1)
        before_text_BT[:, hole.start : hole.stop] = ahead_BT
    barred_N = before_text_BT[canvas.masked_BT]
    logits_NV = logits_NV.clone()
    logits_NV[barred_N.nonzero(), list(pad_ids)] = torch.finfo(logits_NV.dtype).min
    return logits_NV


def settle_tails(
    canvas: Canvas, logits_NV: Tensor, holes: Sequence[range], pad_ids: Sequence[int]
) -> Canvas:
    """The masks at each hole's end whose likeliest token is padding become padding."""
    likeliest_N = without(logits_NV, canvas.mask_id, float("-inf")).argmax(dim=-1)
    surplus_BT = is_padding(canvas.tokens_BT, pad_ids)
    surplus_BT[canvas.masked_BT] = is_padding(likeliest_N, pad_ids)
    tokens_BT = canvas.tokens_BT.clone()
    for hole in holes:
        inside_BT = surplus_BT[:, hole.start : hole.stop]
        tail_BT = inside_BT.flip(-1).cummin(dim=-1).values.flip(-1)
        tokens_BT[:, hole.start : hole.stop][tail_BT] = pad_ids[0]
    return replace(canvas, tokens_BT=tokens_BT)


def end_at_padding(
    canvas: Canvas, holes: Sequence[range], pad_ids: Sequence[int]
) -> Canvas:
    """Right of committed padding there is only padding."""
    tokens_BT = canvas.tokens_BT.clone()
    for hole in holes:
        inside_BT = tokens_BT[:, hole.start : hole.stop]
        ended_BT = is_padding(inside_BT, pad_ids).cummax(dim=-1).values
        inside_BT[ended_BT] = pad_ids[0]
    return replace(canvas, tokens_BT=tokens_BT)


def is_padding(tokens: Tensor, pad_ids: Sequence[int]) -> Tensor:
    return torch.isin(tokens, torch.tensor(pad_ids, device=tokens.device))
