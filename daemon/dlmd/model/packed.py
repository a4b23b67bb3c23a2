"""Products on a CPU by oneDNN, with weights laid out once for it.

PyTorch's own product lays a weight out anew at each call, and on some CPUs it does not
use the widest instructions: for the few rows of a window that costs several times the
arithmetic. Whether packing pays is measured on the machine. The weights stay, under
their names, and packed copies follow when they change. Must not know layers or models'
configs.

Shapes: M rows, K inputs, N outputs of a linear; J key heads, Q queries of one, S keys,
E head width.
"""

from collections.abc import Callable
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

DTYPES = (torch.float32, torch.bfloat16)
ROWS = 64  # of the product that is timed
REPEATS = 7
WORTH = 1.15  # how much faster packed products must be
# Parameters: less gains nothing, more has no room twice.
FEWEST, MOST = 1 << 20, 1 << 29
SHORT_Q = 1024  # queries: beyond, one fused kernel is as fast


class PackedLinear(nn.Linear):
    """A linear that keeps a packed copy of its weight for products without gradients."""

    def __init__(self, plain: nn.Linear) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = plain.in_features, plain.out_features
        self.weight, self.bias = plain.weight, plain.bias
        self.kept: tuple[tuple[int, int], Tensor] | None = None

    def forward(self, x: Tensor) -> Tensor:
        if torch.is_grad_enabled() or not x.is_cpu or x.dtype not in DTYPES:
            return F.linear(x, self.weight, self.bias)
        return product(x, self.packed(), self.bias)

    def packed(self) -> Tensor:
        now = (self.weight.data_ptr(), self.weight._version)
        if self.kept is None or self.kept[0] != now:
            self.kept = (now, packed(self.weight))
        return self.kept[1]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "kept": None}


def pack(model: nn.Module, *, fewest: int = FEWEST, always: bool = False) -> bool:
    """Give the model's linears packed weights, where this machine is faster with them and
    they have at least `fewest` parameters."""
    found = [
        (parent, name, child)
        for parent in model.modules()
        for name, child in parent.named_children()
        if type(child) is nn.Linear
    ]
    count = sum(linear.weight.numel() for _, _, linear in found)
    if not found or not usable(found[0][2].weight):
        return False
    if not always and (not fewest <= count <= MOST or not pays(found[0][2].weight)):
        return False
    for parent, name, linear in found:
        setattr(parent, name, PackedLinear(linear))
    return True


def usable(weight_NK: Tensor) -> bool:
    return (
        weight_NK.is_cpu
        and weight_NK.dtype in DTYPES
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )


def pays(weight_NK: Tensor) -> bool:
    """Whether the packed product is the faster one here."""
    x_MK = torch.ones(
        ROWS, weight_NK.shape[1], dtype=weight_NK.dtype, device=weight_NK.device
    )
    with torch.no_grad():
        ready = packed(weight_NK)
        plain = seconds(lambda: F.linear(x_MK, weight_NK))
        return seconds(lambda: product(x_MK, ready, None)) * WORTH < plain


def seconds(run: Callable[[], object]) -> float:
    run()
    times = []
    for _ in range(REPEATS):
        began = perf_counter()
        run()
        times.append(perf_counter() - began)
    return min(times)


def packed(weight_NK: Tensor) -> Tensor:
    return torch.ops.mkldnn._reorder_linear_weight(weight_NK.detach(), None)


def product(x: Tensor, weight: Tensor, bias_N: Tensor | None) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias_N, "none", [], "")


# ---- attention of a window ----


def suits(q_BJQE: Tensor, k_BJSE: Tensor) -> bool:
    """Whether `attended` is the faster way: one row, few queries, on a CPU."""
    return (
        q_BJQE.shape[0] == 1
        and q_BJQE.shape[2] <= SHORT_Q
        and q_BJQE.dtype == torch.float32
        and not torch.is_grad_enabled()
        and usable(k_BJSE)
    )


def attended(q_BJQE: Tensor, k_BJSE: Tensor, v_BJSE: Tensor) -> Tensor:
    """Attention without a mask as two products for each key head, (1, J, Q, E)."""
    q_BJQE = q_BJQE * q_BJQE.shape[-1] ** -0.5
    out_BJQE = torch.empty_like(q_BJQE)
    for j, (q_QE, k_SE, v_SE) in enumerate(
        zip(q_BJQE[0], k_BJSE[0], v_BJSE[0], strict=True)
    ):
        # Rows with gaps, as projections leave them, would take oneDNN's slowest code.
        q_QE, k_SE, v_SE = q_QE.contiguous(), k_SE.contiguous(), v_SE.contiguous()
        shares_QS = product(q_QE, k_SE, None).softmax(dim=-1)
        out_BJQE[0, j] = product(shares_QS, v_SE.t(), None)
    return out_BJQE
