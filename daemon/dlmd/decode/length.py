"""How many masks a hole keeps: for models that label surplus masks as padding.

One forward over the whole hole tells, for each mask, how likely it is surplus. The length
is where "text up to here, surplus from here" is likeliest. Tensors only, no text.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from dlmd.decode.canvas import Canvas
from dlmd.decode.published import source_rows
from dlmd.model import Dream


def settle_length(
    model: Dream, canvas: Canvas, holes: Sequence[range], pad_ids: Sequence[int]
) -> Canvas:
    """`canvas` with the surplus masks of each hole settled as padding, one forward later.

    All rows must be laid out alike; they are, for candidates of one request.
    """
    with torch.no_grad():
        rows_N = source_rows(replace(canvas, tokens_BT=canvas.tokens_BT[:1]))
        logits_NV = model(canvas.tokens_BT[:1], rows_N=rows_N).float()
    logits_NV[:, canvas.mask_id] = float("-inf")
    surplus_N = logits_NV.softmax(dim=-1)[:, list(pad_ids)].sum(dim=-1)
    masked_N = canvas.masked_BT[0].nonzero()[:, 0]
    tokens_BT = canvas.tokens_BT.clone()
    for hole in holes:
        inside_N = (masked_N >= hole.start) & (masked_N < hole.stop)
        kept = likeliest_length(surplus_N[inside_N])
        tokens_BT[:, hole.start + kept : hole.stop] = pad_ids[0]
    return Canvas(
        tokens_BT,
        mask_id=canvas.mask_id,
        valid_BT=canvas.valid_BT,
        forwards=canvas.forwards + 1,
    )


def likeliest_length(surplus_M: Tensor) -> int:
    """The L in 1..M with the highest product of text before L and surplus from L on."""
    if len(surplus_M) == 0:
        return 0
    surplus_M = surplus_M.double().clamp(1e-9, 1 - 1e-9)
    text_M = (1 - surplus_M).log().cumsum(dim=0)
    log_M = surplus_M.log()
    rest_M = log_M.sum() - log_M.cumsum(dim=0)
    return int((text_M + rest_M).argmax()) + 1
