"""Text typed at the start of a hole that is being filled: it stays, the rest adapts.

A pin holds the whole text from the hole's start, so a later pin of the same hole replaces
an earlier one. Where the text is what stands there anyway, nothing changes. Elsewhere its
tokens are written in, and what was committed after them stays if they only filled masks,
and is masked again if they contradict it. Must not know steps, models or clients.

Shapes: B rows, T positions.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from dlmd.decode.canvas import Canvas
from dlmd.decode.tokenizer import refuse_half_characters


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    hole: int  # counted from 0
    text: str


def written(canvas: Canvas, span: range, ids: Sequence[int]) -> tuple[Canvas, range]:
    """The canvas with `ids` at the start of `span`, a hole with the text it started with,
    and the positions of the hole that are left for the model."""
    kept = list(ids[: len(span)])
    rest = range(span.start + len(kept), span.stop)
    tokens_BT = canvas.tokens_BT.clone()
    kept_P = torch.tensor(kept, dtype=tokens_BT.dtype, device=tokens_BT.device)
    there_BP = tokens_BT[:, span.start : rest.start]
    fits_BP = (there_BP == canvas.mask_id) | (there_BP == kept_P)
    tokens_BT[:, span.start : rest.start] = kept_P
    against_B1 = ~fits_BP.all(dim=-1, keepdim=True)
    after_BP = tokens_BT[:, rest.start : rest.stop]
    tokens_BT[:, rest.start : rest.stop] = after_BP.masked_fill(
        against_B1, canvas.mask_id
    )
    return replace(canvas, tokens_BT=tokens_BT), rest


def checked(pin: Pin, holes: int) -> Pin:
    if not 0 <= pin.hole < holes:
        raise ValueError(
            f"hole {pin.hole} is pinned and there are {holes}; count holes from 0"
        )
    refuse_half_characters(pin.text)
    return pin
