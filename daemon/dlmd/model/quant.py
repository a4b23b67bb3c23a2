"""Linears in eight bits: half the bytes of bfloat16, a quarter of float32.

int8  weights in whole numbers, one scale an output. On a card the products of few rows read
      the weights as they are; elsewhere the inputs become whole numbers too, row by row,
      where this machine multiplies those faster (`faster_whole`).
fp8   weights and inputs in 8-bit floats (cards from an RTX 40 on), inputs row by row.
The head keeps its inputs as they are: its outputs are what decoding ranks. Embeddings, and
a head that is tied to them, stay as loaded. Modules and their weights keep the published
names; the scales stand beside them. Must not know files, decoding or requests.

Shapes: M rows, K inputs, N outputs.
"""

from collections.abc import Callable, Iterator
from functools import cache
from time import perf_counter

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dlmd.model import cuda
from dlmd.model.dream import Dream
from dlmd.model.fused import FEW_ROWS, FP8, int8_linear, rows_quantised

SCHEMES = ("int8", "fp8")
FIRST_FP8 = (8, 9)  # compute capability: Ada, an RTX 40
HEAD = "lm_head"
PIECE = (
    1 << 26
)  # numbers that are turned at once: a large weight costs little beside itself
STEP = 16  # rows, inputs and outputs of the library's eight-bit products come in these
FEWEST = 32  # rows that they take at least


class QuantisedLinear(nn.Module):
    """A linear whose weight (N, K) is int8 or fp8, with a float32 scale for each output."""

    def __init__(self, plain: nn.Linear, kind: torch.dtype, *, whole: bool) -> None:
        super().__init__()
        N, K = plain.weight.shape
        device = plain.weight.device
        self.in_features, self.out_features = K, N
        self.weight = fixed(torch.empty(N, K, dtype=kind, device=device))
        self.scale = fixed(torch.empty(N, dtype=torch.float32, device=device))
        self.bias = None if plain.bias is None else fixed(plain.bias.data)
        self.whole = (
            whole  # int8: inputs become whole numbers too, where there are many
        )

    def forward(self, x: Tensor) -> Tensor:
        x_MK = x.reshape(-1, self.in_features)
        if self.weight.dtype == FP8:
            out_MN = fp8_linear(x_MK, self.weight, self.scale, self.bias)
        elif self.whole and (not x.is_cuda or x_MK.shape[0] > FEW_ROWS):
            out_MN = whole_linear(x_MK, self.weight, self.scale, self.bias)
        else:
            out_MN = int8_linear(x_MK, self.weight, self.scale, self.bias)
        return out_MN.view(*x.shape[:-1], self.out_features)

    def extra_repr(self) -> str:
        kind = str(self.weight.dtype).removeprefix("torch.")
        return f"{self.in_features}, {self.out_features}, {kind}, whole={self.whole}"

    def plain_weight(self, dtype: torch.dtype) -> Tensor:
        """The weights that the numbers stand for, (N, K)."""
        return (self.weight.float() * self.scale[:, None]).to(dtype)


def fixed(tensor: Tensor) -> nn.Parameter:
    return nn.Parameter(tensor, requires_grad=False)


# ---- products ----


def whole_linear(
    x_MK: Tensor, weight_NK: Tensor, scale_N: Tensor, bias_N: Tensor | None
) -> Tensor:
    """Both factors in int8, sums in int32."""
    small_MK, scale_M1 = rows_quantised(x_MK, torch.int8)
    M = x_MK.shape[0]
    if x_MK.is_cuda:
        small_MK = padded(small_MK)
    sums_MN = torch._int_mm(small_MK, weight_NK.T)[:M]
    out_MN = sums_MN.float().mul_(scale_M1).mul_(scale_N)
    return (out_MN if bias_N is None else out_MN.add_(bias_N)).to(x_MK.dtype)


def fp8_linear(
    x_MK: Tensor, weight_NK: Tensor, scale_N: Tensor, bias_N: Tensor | None
) -> Tensor:
    """Both factors in fp8, sums in float32; without a card the same in float32."""
    small_MK, scale_M1 = rows_quantised(x_MK, FP8)
    if not x_MK.is_cuda:
        out_MN = F.linear(small_MK.float(), weight_NK.float()) * scale_M1 * scale_N
        return (out_MN if bias_N is None else out_MN + bias_N).to(x_MK.dtype)
    M = x_MK.shape[0]
    small_MK = padded(small_MK)
    if scales_by_row(x_MK.device):
        scale_M1 = F.pad(scale_M1, (0, 0, 0, small_MK.shape[0] - M), value=1.0)
        out_MN = torch._scaled_mm(
            small_MK,
            weight_NK.T,
            scale_a=scale_M1,
            scale_b=scale_N[None],
            out_dtype=torch.bfloat16,
            use_fast_accum=True,
        )[:M]
    else:
        one = torch.ones((), dtype=torch.float32, device=x_MK.device)
        out_MN = torch._scaled_mm(
            small_MK,
            weight_NK.T,
            scale_a=one,
            scale_b=one,
            out_dtype=torch.bfloat16,
            use_fast_accum=True,
        )[:M]
        out_MN = out_MN.float() * scale_M1 * scale_N
    return (out_MN if bias_N is None else out_MN + bias_N).to(x_MK.dtype)


def padded(small_MK: Tensor) -> Tensor:
    """Rows of zeros below, up to a number that the library's products take."""
    M = small_MK.shape[0]
    more = max(FEWEST, -(-M // STEP) * STEP) - M
    if more == 0:
        return small_MK
    # Through whole numbers: padding has no fp8 form everywhere.
    return F.pad(small_MK.view(torch.int8), (0, 0, 0, more)).view(small_MK.dtype)


@cache
def scales_by_row(device: torch.device) -> bool:
    """Whether this card's library takes a scale for each row; some only take one in all."""
    try:
        zeros = torch.zeros(FEWEST, FEWEST, dtype=torch.float32, device=device).to(FP8)
        ones = torch.ones(FEWEST, 1, dtype=torch.float32, device=device)
        torch._scaled_mm(
            zeros,
            zeros.T,
            scale_a=ones,
            scale_b=ones.T,
            out_dtype=torch.bfloat16,
            use_fast_accum=True,
        )
        cuda.wait(device)
    except RuntimeError:
        return False
    return True


@cache
def faster_whole(rows: int = 64, width: int = 512, repeats: int = 5) -> bool:
    """Whether this CPU multiplies whole numbers faster than float32, by trying."""
    x_MK = torch.ones(rows, width, dtype=torch.float32, device="cpu")
    weight_NK = torch.ones(width, width, dtype=torch.int8, device="cpu")
    scale_N = torch.ones(width, dtype=torch.float32, device="cpu")
    plain_NK = weight_NK.float()

    def fastest(run: Callable[[], object]) -> float:
        times = []
        for _ in range(repeats + 1):
            began = perf_counter()
            run()
            times.append(perf_counter() - began)
        return min(times[1:])

    with torch.no_grad():
        whole = fastest(lambda: whole_linear(x_MK, weight_NK, scale_N, None))
        return whole < fastest(lambda: F.linear(x_MK, plain_NK))


# ---- a model ----


def kind_of(scheme: str, device: cuda.Device) -> torch.dtype:
    """What the weights are held in, or why this device cannot."""
    if scheme not in SCHEMES:
        raise ValueError(f"quantise is {scheme!r}; give none, int8 or fp8")
    if scheme == "int8":
        return torch.int8
    able = cuda.capability(device)
    if torch.device(device).type == "mps" or (able is not None and able < FIRST_FP8):
        raise ValueError(
            f"quantise is fp8, which {device} does not compute (it takes an RTX 40, "
            "an L4, an H100 or newer); use int8"
        )
    return FP8


def quantised_modules(model: Dream, dtype: torch.dtype) -> Iterator[tuple[str, nn.Linear]]:  # fmt: skip
    """Names and linears that become eight bits; a tied head is the embedding's."""
    for name, module in model.named_modules():
        if not isinstance(module, nn.Linear):
            continue
        if name == HEAD and model.config.tie_word_embeddings:
            continue
        # The library's products of fp8 come in steps; so do those of int8 on a card.
        if all(width % STEP == 0 for width in module.weight.shape):
            yield name, module


def prepare(model: Dream, scheme: str, device: cuda.Device) -> dict[str, torch.dtype]:
    """Put eight-bit linears in place, weights to come. What becomes of each weight's name.

    `model` may lie on the meta device: nothing is allocated then.
    """
    kind = kind_of(scheme, device)
    on_cpu = torch.device(device).type == "cpu"
    whole = kind == torch.int8 and on_cpu and faster_whole()
    kinds = {}
    for name, plain in list(quantised_modules(model, kind)):
        head = name == HEAD
        held = torch.int8 if head else kind
        parent, _, last = name.rpartition(".")
        linear = QuantisedLinear(plain, held, whole=whole and not head)
        setattr(model.get_submodule(parent), last, linear)
        kinds[f"{name}.weight"] = held
    return kinds


def packed(weight_NK: Tensor, kind: torch.dtype) -> tuple[Tensor, Tensor]:
    """A weight and its scales (N,), piece by piece, where the weight lies."""
    N, K = weight_NK.shape
    small_NK = torch.empty(N, K, dtype=kind, device=weight_NK.device)
    scale_N = torch.empty(N, dtype=torch.float32, device=weight_NK.device)
    rows = max(1, PIECE // K)
    for start in range(0, N, rows):
        piece = slice(start, start + rows)
        # As float32, so that the plain form is taken: the same bits everywhere.
        small, scale = rows_quantised(weight_NK[piece].float(), kind)
        small_NK[piece], scale_N[piece] = small, scale[:, 0]
    return small_NK, scale_N


def quantise(model: Dream, scheme: str) -> Dream:
    """Turn a loaded model, weight by weight, in place."""
    device = model.model.embed_tokens.weight.device
    weights = {f"{n}.weight": m.weight for n, m in model.named_modules() if isinstance(m, nn.Linear)}  # fmt: skip
    for name, kind in prepare(model, scheme, device).items():
        small_NK, scale_N = packed(weights.pop(name).data, kind)
        linear = model.get_submodule(name.removesuffix(".weight"))
        linear.weight, linear.scale = fixed(small_NK), fixed(scale_N)
    return model
