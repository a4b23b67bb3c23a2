"""flash-attn for full forwards on a card: taken where it is installed and faster.

PyTorch brings an attention of the same family, so which one is faster depends on the card
and on both versions: it is timed once for each form of heads, when the model warms up.
Windows never come here; their mask of keys is a form that the package does not offer. Must
not know modules, caches or requests.

Shapes: B batch, T positions, H query heads, J key heads, E head width.
"""

from collections.abc import Callable
from functools import cache, partial
from statistics import median
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from dlmd.model import cuda

HALVES = (torch.bfloat16, torch.float16)
WIDEST = 256  # head width
TIMED_T, REPEATS = 2048, 9
WORTH = 1.05  # how much faster it must be


@cache
def package() -> Callable[..., Any] | None:
    """Its one function, if it is installed and its build fits this PyTorch."""
    try:
        from flash_attn import flash_attn_func
    except (ImportError, OSError):
        return None
    found: Callable[..., Any] = flash_attn_func
    return found


def suits(q_BHTE: Tensor, k_BJTE: Tensor) -> bool:
    """Whether `attended` is the faster way for these."""
    return (
        q_BHTE.is_cuda
        and q_BHTE.dtype in HALVES
        and q_BHTE.shape[-1] <= WIDEST
        and package() is not None
        and faster(
            q_BHTE.shape[1],
            k_BJTE.shape[1],
            q_BHTE.shape[-1],
            q_BHTE.dtype,
            str(q_BHTE.device),
        )
    )


def attended(q_BHTE: Tensor, k_BJTE: Tensor, v_BJTE: Tensor) -> Tensor:
    """Attention without a mask, (B, H, T, E)."""
    run = package()
    assert run is not None, "suits() says so"
    out_BTHE: Tensor = run(*(x.transpose(1, 2) for x in (q_BHTE, k_BJTE, v_BJTE)))
    return out_BTHE.transpose(1, 2)


def plain(q_BHTE: Tensor, k_BJTE: Tensor, v_BJTE: Tensor) -> Tensor:
    """PyTorch's own."""
    return F.scaled_dot_product_attention(q_BHTE, k_BJTE, v_BJTE, enable_gqa=True)


@cache
def faster(H: int, J: int, E: int, dtype: torch.dtype, device: str) -> bool:
    """Whether the package wins on this card, timed once."""
    q, k, v = (
        torch.ones(1, n, TIMED_T, E, dtype=dtype, device=device) for n in (H, J, J)
    )
    try:
        theirs, ours = (
            median(cuda.milliseconds(partial(way, q, k, v), device, repeats=REPEATS))
            for way in (attended, plain)
        )
    except RuntimeError:  # installed, and built for other cards
        return False
    return theirs * WORTH < ours
