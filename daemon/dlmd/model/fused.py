"""The few operations that a card does faster in one kernel, and what they mean elsewhere.

Each function is its plain form in PyTorch, and takes the kernel of `kernels.py` where the
tensors lie on a CUDA card, Triton is installed and nothing is to be differentiated. Both
forms round alike. Knows tensors only: no modules, no caches.

Shapes: M rows, K inputs, N outputs, D hidden, F inner width, B batch, W queries, S keys,
H query heads, J key heads, E head width.
"""

from functools import cache
from types import ModuleType

import torch
from torch import Tensor
from torch.nn import functional as F

INT8_MOST, FP8_MOST = 127.0, 448.0
FP8 = torch.float8_e4m3fn
TINY = 1e-12  # a row of zeros has some scale too
HALVES = (torch.bfloat16, torch.float16)
FEW_ROWS = 288  # the widest window of a cached step: up to here weights are what costs
PROGRAMS = 256  # about two for each multiprocessor of a large card

made: set[tuple[object, ...]] = set()  # every kernel form that was compiled


@cache
def kernels() -> ModuleType | None:
    """Our kernels, if Triton is there to compile them."""
    try:
        from dlmd.model import kernels as found
    except ImportError:
        return None
    return found


def usable(*tensors: Tensor) -> bool:
    """Whether a kernel may stand in: halves on a card, packed, and no gradients wanted."""
    first = tensors[0]
    return (
        first.is_cuda
        and first.dtype in HALVES
        and not torch.is_grad_enabled()
        and kernels() is not None
    )


def forms() -> int:
    """How many kernel forms were compiled so far: it must not grow once all is warm."""
    return len(made)


def power_of_two(n: int) -> int:
    """The next power of two; blocks of kernels have no other sizes."""
    return 1 << (n - 1).bit_length()


# ---- between the linears ----


def normed(x_BTD: Tensor, weight_D: Tensor, eps: float) -> Tensor:
    """RMS norm as published: in float32, the weight applied after casting back."""
    if usable(x_BTD) and x_BTD.is_contiguous():
        return normed_by_kernel(x_BTD, weight_D, eps)
    x32 = x_BTD.float()
    x32 = x32 * torch.rsqrt(x32.pow(2).mean(-1, keepdim=True) + eps)
    if torch.is_grad_enabled():
        return weight_D * x32.to(x_BTD.dtype)
    return x32.to(x_BTD.dtype).mul_(weight_D)


def normed_by_kernel(x_BTD: Tensor, weight_D: Tensor, eps: float) -> Tensor:
    width = x_BTD.shape[-1]
    out_BTD = torch.empty_like(x_BTD)
    rows = x_BTD.numel() // width
    run("norm_rows", (rows,), x_BTD, weight_D, out_BTD, eps, WIDTH=width, BLOCK=power_of_two(width))  # fmt: skip
    return out_BTD


def gated(gate_BTF: Tensor, up_BTF: Tensor) -> Tensor:
    """silu(gate) * up. Without gradients `gate` is used up: room for it is half the cost."""
    if usable(gate_BTF) and gate_BTF.is_contiguous() and up_BTF.is_contiguous():
        return gated_by_kernel(gate_BTF, up_BTF)
    if torch.is_grad_enabled():
        return F.silu(gate_BTF) * up_BTF
    return F.silu(gate_BTF, inplace=True).mul_(up_BTF)


def gated_by_kernel(gate_BTF: Tensor, up_BTF: Tensor) -> Tensor:
    out_BTF = torch.empty_like(gate_BTF)
    count, block = gate_BTF.numel(), 1024
    run("gate_times_up", (-(-count // block),), gate_BTF, up_BTF, out_BTF, count, BLOCK=block)  # fmt: skip
    return out_BTF


def rotate(x_BHTE: Tensor, cos_B1TE: Tensor, sin_B1TE: Tensor) -> Tensor:
    """Rotary embedding of queries or keys."""
    packed = x_BHTE.transpose(1, 2).is_contiguous() and cos_B1TE.is_contiguous()
    if usable(x_BHTE) and packed and x_BHTE.shape[-1] & (x_BHTE.shape[-1] - 1) == 0:
        return rotate_by_kernel(x_BHTE, cos_B1TE, sin_B1TE)
    left, right = x_BHTE.chunk(2, dim=-1)
    turned_BHTE = torch.cat([-right, left], dim=-1)
    if torch.is_grad_enabled():
        return x_BHTE * cos_B1TE + turned_BHTE * sin_B1TE
    return turned_BHTE.mul_(sin_B1TE).add_(x_BHTE * cos_B1TE)


def rotate_by_kernel(x_BHTE: Tensor, cos_B1TE: Tensor, sin_B1TE: Tensor) -> Tensor:
    B, H, T, E = x_BHTE.shape
    out_BTHE = torch.empty(B, T, H, E, dtype=x_BHTE.dtype, device=x_BHTE.device)
    angles = cos_B1TE.numel() // E
    run("rotate_rows", (B * T,), x_BHTE, cos_B1TE, sin_B1TE, out_BTHE, angles, HEADS=H, HALF=E // 2, BLOCK=power_of_two(H))  # fmt: skip
    return out_BTHE.transpose(1, 2)


# ---- linears in eight bits ----


def rows_quantised(x_MK: Tensor, kind: torch.dtype) -> tuple[Tensor, Tensor]:
    """Each row in int8 or fp8 with a float32 scale (M, 1) of its own, by its largest value."""
    most = INT8_MOST if kind == torch.int8 else FP8_MOST
    if usable(x_MK) and x_MK.is_contiguous():
        return rows_quantised_by_kernel(x_MK, kind, most)
    x32_MK = x_MK.float()
    scale_M1 = x32_MK.abs().amax(-1, keepdim=True).clamp(min=TINY) / most
    x32_MK = x32_MK / scale_M1
    if kind == torch.int8:
        return x32_MK.round_().to(torch.int8), scale_M1
    return x32_MK.clamp(-most, most).to(kind), scale_M1


def rows_quantised_by_kernel(
    x_MK: Tensor, kind: torch.dtype, most: float
) -> tuple[Tensor, Tensor]:
    M, K = x_MK.shape
    out_MK = torch.empty(M, K, dtype=kind, device=x_MK.device)
    scale_M1 = torch.empty(M, 1, dtype=torch.float32, device=x_MK.device)
    block = power_of_two(K)
    run("quantise_rows", (M,), x_MK, out_MK, scale_M1, MOST=most, WIDTH=K, BLOCK=block, num_warps=16 if block > 8192 else 4)  # fmt: skip
    return out_MK, scale_M1


def int8_linear(
    x_MK: Tensor, weight_NK: Tensor, scale_N: Tensor, bias_N: Tensor | None
) -> Tensor:
    """x @ (weight * scale).T + bias, weights in int8, arithmetic in the type of x.

    Few rows: the kernel reads the weights as they are. Many: the arithmetic is what costs,
    and the weights are written out once for the library's product.
    """
    if usable(x_MK) and x_MK.is_contiguous() and x_MK.shape[0] <= FEW_ROWS:
        return int8_linear_by_kernel(x_MK, weight_NK, scale_N, bias_N)
    out_MN = F.linear(x_MK, weight_NK.to(x_MK.dtype))
    out_MN = (out_MN * scale_N).to(x_MK.dtype)
    return out_MN if bias_N is None else (out_MN + bias_N).to(x_MK.dtype)


def int8_linear_by_kernel(
    x_MK: Tensor, weight_NK: Tensor, scale_N: Tensor, bias_N: Tensor | None
) -> Tensor:
    (M, K), N = x_MK.shape, weight_NK.shape[0]
    rows, outputs, inputs, splits = int8_blocks(M, N, K)
    device = x_MK.device
    out_MN = torch.empty(M, N, dtype=x_MK.dtype, device=device)
    sums = out_MN
    if splits > 1:
        sums = torch.empty(splits, M, N, dtype=torch.float32, device=device)
    bias = scale_N if bias_N is None else bias_N
    grid = (-(-M // rows), -(-N // outputs), splits)
    run("int8_product", grid, x_MK, weight_NK, scale_N, bias, sums, M, N=N, K=K, HAS_BIAS=bias_N is not None, SPLITS=splits, BLOCK_M=rows, BLOCK_N=outputs, BLOCK_K=inputs, num_warps=4, num_stages=4)  # fmt: skip
    if splits > 1:
        run("int8_gather", (M, -(-N // 512)), sums, scale_N, bias, out_MN, M, N=N, HAS_BIAS=bias_N is not None, SPLITS=splits, BLOCK=512)  # fmt: skip
    return out_MN


def int8_blocks(M: int, N: int, K: int) -> tuple[int, int, int, int]:
    """Rows, outputs and inputs of a block, and how many share the inputs of one output.

    Rows padded to a block cost arithmetic, rows in several blocks cost cache traffic;
    narrow outputs are split along K until every multiprocessor has something to read.
    """
    rows = 16 if M <= 16 else 32 if M <= 96 else 64
    outputs, inputs = 64, 128
    programs = -(-N // outputs) * -(-M // rows)
    splits = 1
    while programs * splits < PROGRAMS and splits < 8 and K // (splits * 2) >= 2 * inputs:  # fmt: skip
        splits *= 2
    return rows, outputs, inputs, splits


# ---- attention of a window over a cache ----


def attention(
    q_BHWE: Tensor, k_BJSE: Tensor, v_BJSE: Tensor, allow_BS: Tensor
) -> Tensor:
    """Every query sees the keys that `allow_BS` marks; (B, H, W, E)."""
    E = q_BHWE.shape[-1]
    packed = q_BHWE.stride(-1) == k_BJSE.stride(-1) == 1 and k_BJSE.stride(-2) == E
    packed = packed and k_BJSE.stride() == v_BJSE.stride()
    if usable(q_BHWE) and packed and E in (16, 32, 64, 128, 256):
        return attention_by_kernel(q_BHWE, k_BJSE, v_BJSE, allow_BS)
    # The heads that share keys are more queries of one head.
    q_BJQE = q_BHWE.reshape(*k_BJSE.shape[:2], -1, E)
    out_BJQE = F.scaled_dot_product_attention(
        q_BJQE, k_BJSE, v_BJSE, attn_mask=allow_BS[:, None, None, :]
    )
    return out_BJQE.view(q_BHWE.shape)


def attention_by_kernel(
    q_BHWE: Tensor, k_BJSE: Tensor, v_BJSE: Tensor, allow_BS: Tensor
) -> Tensor:
    B, H, W, E = q_BHWE.shape
    J, S = k_BJSE.shape[1:3]
    G, device = H // J, q_BHWE.device
    tile = 64 if W * G > 32 else 32
    tiles = -(-W * G // tile)
    splits = 1
    while tiles * B * J * splits < PROGRAMS and S // (splits * 2) >= 128:
        splits *= 2
    sums = torch.empty(B * J, splits, W * G, E, dtype=torch.float32, device=device)
    tops, totals = torch.empty(
        2, B * J, splits, W * G, dtype=torch.float32, device=device
    )
    out_BWHE = torch.empty(B, W, H, E, dtype=q_BHWE.dtype, device=device)
    strides = (*q_BHWE.stride()[:3], *k_BJSE.stride()[:2])
    allow = allow_BS.contiguous().view(torch.uint8)
    run("attend_split", (tiles, B * J, splits), q_BHWE, k_BJSE, v_BJSE, allow, sums, tops, totals, E**-0.5, W, S, *strides, HEADS=J, G=G, E=E, SPLITS=splits, BLOCK_M=tile, BLOCK_S=64, num_warps=4, num_stages=2)  # fmt: skip
    run("attend_gather", (W * G, B * J), sums, tops, totals, out_BWHE, W, HEADS=J, G=G, E=E, SPLITS=splits, SPLITS_UP=power_of_two(splits))  # fmt: skip
    return out_BWHE.transpose(1, 2)


def run(name: str, grid: tuple[int, ...], *arguments: object, **constants: object) -> None:  # fmt: skip
    found = kernels()
    assert found is not None, "a kernel was asked for where Triton is not"
    kinds = [a.dtype for a in arguments if isinstance(a, Tensor)]
    made.add((name, *kinds, *sorted(constants.items())))
    getattr(found, name)[grid](*arguments, **constants)
