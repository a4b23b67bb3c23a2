"""Where the masks of a run are: a matrix of places that no step has to search for.

Found once, before the first step; from then on every step gathers and scatters at these
places, with shapes that the host knows. Rows with fewer masks are filled up with a place
one past the end. Tensors only; must not know logits, rules or models.

Shapes: B rows, T positions, M places of a row.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from dlmd.decode.canvas import Canvas


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Places:
    at_BM: Tensor  # the column of each place; T: none
    source_BM: (
        Tensor  # the column whose logits score it: the one before, padding left out
    )
    order_BM: Tensor  # counted from the left of its row when the run began

    @property
    def shape(self) -> tuple[int, int]:
        B, M = self.at_BM.shape
        return B, M


def find_places(canvas: Canvas) -> Places:
    B, T = canvas.tokens_BT.shape
    device = canvas.tokens_BT.device
    M = max(canvas.masks_B, default=0)
    counted_BM = torch.arange(M, device=device).expand(B, M)
    first_BM = leftmost(canvas.masked_BT, M)
    count_B = canvas.masked_BT.sum(dim=-1)
    at_BM = first_BM.where(counted_BM < count_B[:, None], T)
    source_BM = sources(canvas).gather(1, first_BM)
    return Places(at_BM=at_BM, source_BM=source_BM, order_BM=counted_BM)


def leftmost(true_BX: Tensor, count: int) -> Tensor:
    """Indices of the first `count` that are true, then of others."""
    return (~true_BX).byte().argsort(dim=-1, stable=True)[:, :count]


def narrowed(places: Places, open_BM: Tensor, count: int) -> Places:
    """Only `count` places of each row, the open ones first."""
    keep_BM = leftmost(open_BM, count)
    return Places(
        at_BM=places.at_BM.gather(1, keep_BM),
        source_BM=places.source_BM.gather(1, keep_BM),
        order_BM=places.order_BM.gather(1, keep_BM),
    )


def opened(tokens_BT: Tensor, places: Places, mask_id: int) -> Tensor:
    """Which places still hold a mask, (B, M)."""
    return padded(tokens_BT, mask_id - 1).gather(1, places.at_BM) == mask_id


def put(values_BT: Tensor, places: Places, new_BM: Tensor, here_BM: Tensor) -> Tensor:
    """A copy with `new_BM` at the places where `here_BM` holds."""
    wide_BT = padded(values_BT, 0)
    old_BM = wide_BT.gather(1, places.at_BM)
    new_BM = torch.where(here_BM, new_BM.to(wide_BT.dtype), old_BM)
    return wide_BT.scatter(1, places.at_BM, new_BM)[:, :-1]


def padded(values_BT: Tensor, value: int) -> Tensor:
    return F.pad(values_BT, (0, 1), value=value)


def sources(canvas: Canvas) -> Tensor:
    """The column that predicts each position: the one before it.

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
    return torch.where(before_BT < 0, at_BT, before_BT)


def source_rows(canvas: Canvas) -> Tensor:
    """The flat row of B*T that predicts each masked position, row-major."""
    B, T = canvas.tokens_BT.shape
    first_B1 = torch.arange(B, device=canvas.tokens_BT.device)[:, None] * T
    return (sources(canvas) + first_B1)[canvas.masked_BT]


def recounted(canvas: Canvas) -> Canvas:
    """The same state as the start of a run of its own: masks count from here."""
    return replace(canvas, masks_B=())
