"""Kernels of ours against the plain code: on a card; without one, by Triton's interpreter.

Skipped where Triton is not installed (PyTorch for the CPU comes without). The interpreter
reads bfloat16 as whole numbers in products, so float16 stands in there. Without a card
every kernel is also compiled for each generation of cards, which needs none.
"""

import os
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from torch import Tensor

if find_spec("triton") is None:
    pytest.skip("Triton is not installed", allow_module_level=True)
ON_CARD = torch.cuda.is_available()
if not ON_CARD and os.environ.get("TRITON_INTERPRET") != "1":
    pytest.skip("Triton may not interpret here", allow_module_level=True)

from dlmd.model import fused  # noqa: E402

DEVICE = "cuda" if ON_CARD else "cpu"
KINDS = [torch.float16, torch.bfloat16] if ON_CARD else [torch.float16]
LEAST_SHARED = 99 * 1024  # bytes that a block may have on the smallest of them
CARDS = [80, 86, 89, 90, 120]  # A100, RTX 30, RTX 40, H200, RTX 50
pytestmark = pytest.mark.slow


def drawn(*shape: int, kind: torch.dtype = torch.float32, seed: int = 0) -> Tensor:
    numbers = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    return numbers.to(device=DEVICE, dtype=kind)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("width", [48, 256])
def test_norm(kind: torch.dtype, width: int) -> None:
    x, weight = drawn(2, 5, width, kind=kind), drawn(width, kind=kind, seed=1)
    with torch.enable_grad():  # gradients: the plain code
        plain = fused.normed(x, weight, 1e-6)
    torch.testing.assert_close(fused.normed_by_kernel(x, weight, 1e-6), plain)


@pytest.mark.parametrize("kind", KINDS)
def test_gate(kind: torch.dtype) -> None:
    gate, up = drawn(3, 2, 700, kind=kind), drawn(3, 2, 700, kind=kind, seed=1)
    with torch.enable_grad():
        plain = fused.gated(gate, up)
    torch.testing.assert_close(fused.gated_by_kernel(gate, up), plain)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rows", [1, 2])
def test_rotation(kind: torch.dtype, rows: int) -> None:
    x = drawn(2, 5, 6, 32, kind=kind).transpose(1, 2)
    angle = drawn(rows, 1, 5, 16, seed=1).repeat(1, 1, 1, 2)
    cos, sin = angle.cos().to(kind), angle.sin().to(kind)
    with torch.enable_grad():
        plain = fused.rotate(x, cos, sin)
    torch.testing.assert_close(fused.rotate_by_kernel(x, cos, sin), plain)


def fp8_works() -> bool:
    return torch.cuda.get_device_capability() >= (8, 9)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("small", [torch.int8, torch.float8_e4m3fn])
def test_rows_in_eight_bits(kind: torch.dtype, small: torch.dtype) -> None:
    if small != torch.int8 and not (ON_CARD and fp8_works()):
        pytest.skip("no card with fp8, and the interpreter rounds it otherwise")
    x = drawn(7, 40, kind=kind)
    x[3] = 0
    most = fused.INT8_MOST if small == torch.int8 else fused.FP8_MOST
    found, scale = fused.rows_quantised_by_kernel(x, small, most)
    with torch.enable_grad():
        plain, plain_scale = fused.rows_quantised(x, small)
    torch.testing.assert_close(scale, plain_scale)
    # Next to a border between two numbers, one of the two.
    error = (found.float() * scale - plain.float() * plain_scale).abs()
    step = 1 if small == torch.int8 else 32
    assert (error <= step * scale).all()
    assert (error == 0).float().mean() > 0.9


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(
    ("M", "N", "K"), [(5, 48, 32), (33, 70, 130), (40, 64, 2048), (100, 40, 512)]
)
def test_int8_product(kind: torch.dtype, bias: bool, M: int, N: int, K: int) -> None:
    x = drawn(M, K, kind=kind)
    weight = (drawn(N, K, seed=1) * 40).clamp(-127, 127).to(torch.int8)
    scale = drawn(N, seed=2).abs() / 40 / K**0.5
    bias_N = drawn(N, kind=kind, seed=3) if bias else None
    plain = x.float() @ (weight.float() * scale[:, None]).T
    if bias_N is not None:
        plain = plain + bias_N.float()
    found = fused.int8_linear_by_kernel(x, weight, scale, bias_N)
    torch.testing.assert_close(found.float(), plain, atol=2e-2, rtol=2e-2)


@pytest.mark.skipif(
    not ON_CARD and np.lib.NumpyVersion(np.__version__) >= "2.4.0",
    reason="Triton's interpreter loops over arrays of one number, which numpy gave up",
)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("B", "H", "J", "W", "S", "E"),
    [(1, 4, 2, 33, 200, 32), (2, 6, 2, 5, 70, 16), (1, 7, 1, 65, 512, 64)],
)
def test_attention(
    kind: torch.dtype, B: int, H: int, J: int, W: int, S: int, E: int
) -> None:
    q = drawn(B, W, H, E, kind=kind).transpose(1, 2)
    k, v = drawn(B, J, S, E, kind=kind, seed=1), drawn(B, J, S, E, kind=kind, seed=2)
    allow = drawn(B, S, seed=3) > -0.5
    allow[:, S // 2 :] = False
    v[:, :, S // 2 :] = float("nan")  # what is hidden may hold anything
    found = fused.attention_by_kernel(q, k, v, allow)
    v = v.nan_to_num(0.0)
    plain = fused.attention(q.float(), k.float(), v.float(), allow)
    torch.testing.assert_close(found.float(), plain, atol=1e-2, rtol=1e-2)


COMPILE = """
import sys, triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from dlmd.model import kernels as k
card = GPUTarget("cuda", int(sys.argv[1]), 32)
def build(kernel, kinds, **constants):
    signature = dict(zip(kernel.arg_names, kinds + ["constexpr"] * len(constants)))
    options = {"num_warps": 4, "num_stages": 4 if kernel is k.int8_product else 2}
    made = triton.compile(ASTSource(kernel, signature, constants), target=card, options=options)
    print(kernel.__name__, made.metadata.shared)
b, f, i, u = "*bf16", "*fp32", "i32", "*u8"
build(k.norm_rows, [b, b, b, "fp32"], WIDTH=3584, BLOCK=4096)
build(k.gate_times_up, [b, b, b, i], BLOCK=1024)
build(k.rotate_rows, [b, b, b, b, i], HEADS=28, HALF=64, BLOCK=32)
build(k.quantise_rows, [b, "*i8", f], MOST=127.0, WIDTH=18944, BLOCK=32768)
if card.arch >= 89:
    build(k.quantise_rows, [b, "*fp8e4nv", f], MOST=448.0, WIDTH=18944, BLOCK=32768)
blocks = dict(BLOCK_N=64, BLOCK_K=128)
build(k.int8_product, [b, "*i8", f, b, b, i], N=18944, K=3584, HAS_BIAS=True, SPLITS=1, BLOCK_M=64, **blocks)
build(k.int8_product, [b, "*i8", f, f, f, i], N=3584, K=18944, HAS_BIAS=False, SPLITS=4, BLOCK_M=16, **blocks)
build(k.int8_gather, [f, f, b, b, i], N=3584, HAS_BIAS=True, SPLITS=4, BLOCK=512)
build(k.attend_split, [b, b, b, u, f, f, f, "fp32", i, i] + [i] * 5, HEADS=4, G=7, E=128, SPLITS=8, BLOCK_M=64, BLOCK_S=64)
build(k.attend_gather, [f, f, f, b, i], HEADS=4, G=7, E=128, SPLITS=8, SPLITS_UP=8)
"""


@pytest.mark.parametrize("card", CARDS)
def test_every_kernel_compiles_for_the_card(card: int) -> None:
    import subprocess
    import sys

    env = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    run = subprocess.run(
        [sys.executable, "-c", COMPILE, str(card)],
        env=env,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr[-2000:]
    shared = [int(line.split()[1]) for line in run.stdout.splitlines()]
    assert len(shared) == 9 + (card >= 89)
    assert max(shared) <= LEAST_SHARED
