"""What a card could do at best: its memory and matrix rates, and the times that follow.

A forward takes as long as its arithmetic at the matrix rate, or as the reading of weights
and keys at the memory's rate, whichever is longer. Part of `bench/gpu.py`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from dlmd.model import DreamConfig, cuda
from dlmd.model.fused import FP8
from torch import Tensor

GIB = 1 << 30
BYTES = {"bf16": 2, "int8": 1, "fp8": 1}  # of one weight of the layers


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """Bytes a second by copying and by reading, multiplications and additions a second."""

    name: str
    torch: str
    copy: float
    read: float
    matrix: dict[str, float]  # by number type; 0: not computed here

    @property
    def memory(self) -> float:
        return max(self.copy, self.read)


def fastest(run: Callable[[], object], device: str, repeats: int = 10) -> float:
    """Seconds of the shortest of `repeats` calls."""
    for _ in range(3):
        run()
    return min(cuda.milliseconds(run, device, repeats)) / 1000


def measure(device: str, *, small: bool) -> Box:
    count = (1 << 22 if small else GIB) // 4
    values = torch.ones(count, dtype=torch.float32, device=device)
    other = torch.empty_like(values)
    copy = 2 * values.nbytes / fastest(lambda: other.copy_(values), device)
    read = values.nbytes / fastest(values.sum, device)
    cards = [card.name for card in cuda.cards() if card.device == device]
    return Box(
        name=cards[0] if cards else device,
        torch=torch.__version__,
        copy=copy,
        read=read,
        matrix=matrix_rates(device, 512 if small else 8192),
    )


def matrix_rates(device: str, width: int) -> dict[str, float]:
    """Random numbers: a card multiplies zeros faster, because it then needs less power."""
    x, w = (
        torch.randn(width, width, device=device).to(torch.bfloat16) for _ in range(2)
    )
    whole = [(t * 20).clamp(-127, 127).to(torch.int8) for t in (x, w)]
    one = torch.ones((), dtype=torch.float32, device=device)

    def in_fp8() -> Callable[[], Tensor]:
        a, b = x.to(FP8), w.to(FP8).T
        return lambda: torch._scaled_mm(
            a, b, scale_a=one, scale_b=one, out_dtype=torch.bfloat16
        )

    ways: dict[str, Callable[[], Callable[[], Tensor]]] = {
        "bf16": lambda: lambda: x @ w.T,
        "int8": lambda: lambda: torch._int_mm(whole[0], whole[1].T),
        "fp8": in_fp8,
    }
    rates = {}
    for name, way in ways.items():
        try:
            rates[name] = 2 * width**3 / fastest(way(), device)
        except RuntimeError:
            rates[name] = 0.0
    return rates


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """One forward: q query rows, S keys, r rows sent to the head."""

    linear: float  # multiplications and additions of the layers' linears
    rest: float  # of attention and head, in bf16 always
    read: float  # bytes


def cost(config: DreamConfig, scheme: str, *, q: int, S: int, r: int) -> Cost:
    D, inner, L = (
        config.hidden_size,
        config.intermediate_size,
        config.num_hidden_layers,
    )
    shared = config.num_key_value_heads / config.num_attention_heads
    weights = L * (2 * D * D * (1 + shared) + 3 * D * inner)
    head = D * config.vocab_size
    bytes_head = head * (2 if scheme == "bf16" else 1)
    keys = 2 * L * D * shared * S * 2
    return Cost(
        linear=2 * weights * q,
        rest=4 * L * D * q * S + 2 * head * r,
        read=weights * BYTES[scheme] + bytes_head + keys,
    )


def limit_ms(box: Box, found: Cost, scheme: str, *, eight_bit_inputs: bool) -> float:
    """int8 multiplies bf16 inputs unless these become whole numbers too."""
    kind = scheme if eight_bit_inputs and box.matrix[scheme] else "bf16"
    arithmetic = found.linear / box.matrix[kind] + found.rest / box.matrix["bf16"]
    return 1000 * max(arithmetic, found.read / box.memory)
