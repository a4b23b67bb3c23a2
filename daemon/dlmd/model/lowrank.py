"""A low-rank adapter on a linear in eight bits, and the product that it learns through.

PEFT puts its layers on linears in full precision alone. This one has the same parts under
the same names, so that who saves, counts or scales adapters need not know. The frozen
weight is turned back to the inputs' type for each product, and again in the backward pass:
between the two only the eight bits are held. Must not know who trains it.

Shapes: N outputs, K inputs, R rank.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dlmd.model.quant import QuantisedLinear


class Turning(nn.Module):
    """A frozen linear in eight bits through which what lies before it learns."""

    def __init__(self, base: QuantisedLinear) -> None:
        super().__init__()
        self.base_layer = base

    @property
    def weight(self) -> Tensor:
        return self.base_layer.weight

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = Turned.apply(x, self.base_layer)
        return out


class LowRank(nn.Module):
    """`base(x) + scale * B(A(x))`; only A and B learn."""

    def __init__(
        self, base: QuantisedLinear, *, name: str, rank: int, alpha: int
    ) -> None:
        super().__init__()
        self.base_layer = base
        device, K, N = base.weight.device, base.in_features, base.out_features
        a = nn.Linear(K, rank, bias=False, device=device, dtype=torch.float32)
        b = nn.Linear(rank, N, bias=False, device=device, dtype=torch.float32)
        self.lora_A, self.lora_B = nn.ModuleDict({name: a}), nn.ModuleDict({name: b})
        self.r, self.lora_alpha = {name: rank}, {name: alpha}
        self.scaling = {name: alpha / rank}
        self.name = name

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = Turned.apply(x, self.base_layer)
        more = self.lora_B[self.name](self.lora_A[self.name](x.float()))
        return out + (self.scaling[self.name] * more).to(out.dtype)


class Turned(torch.autograd.Function):
    """The product with the weights that the eight bits stand for. They are whole numbers
    that any type here holds exactly; the scales come to the outputs."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, base: QuantisedLinear) -> Tensor:
        ctx.base = base
        out = (F.linear(x, base.weight.to(x.dtype)) * base.scale).to(x.dtype)
        return out if base.bias is None else out + base.bias

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (gradient,) = gradients
        scaled = (gradient * ctx.base.scale).to(gradient.dtype)
        return scaled @ ctx.base.weight.to(gradient.dtype), None
