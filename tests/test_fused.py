"""The plain forms that stand in for kernels, against the arithmetic written out."""

import pytest
import torch
from dlmd.model import fused
from torch import Tensor
from torch.nn import functional as F


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_norm_is_the_root_of_the_mean_square() -> None:
    x, weight = drawn(2, 3, 8), drawn(8, seed=1)
    root = (x.double().pow(2).mean(-1, keepdim=True) + 1e-6).sqrt()
    found = fused.normed(x, weight, 1e-6)
    torch.testing.assert_close(found.double(), weight.double() * x.double() / root)


def test_gate_is_silu_times_up() -> None:
    gate, up = drawn(2, 3, 8), drawn(2, 3, 8, seed=1)
    torch.testing.assert_close(fused.gated(gate, up), gate * gate.sigmoid() * up)


def test_rotation_keeps_lengths_and_turns_by_the_angle() -> None:
    x = torch.zeros(1, 1, 1, 4)
    x[..., 0] = 1.0
    angle = torch.tensor([0.5, 0.1, 0.5, 0.1])[None, None, None]
    found = fused.rotate(x, angle.cos(), angle.sin())
    expected = torch.tensor([0.5]).cos(), torch.tensor([0.5]).sin()
    torch.testing.assert_close(found[0, 0, 0, [0, 2]], torch.cat(expected))


@pytest.mark.parametrize("kind", [torch.int8, fused.FP8])
def test_rows_in_eight_bits_come_back_nearly(kind: torch.dtype) -> None:
    x = drawn(5, 64) * torch.tensor([[1e-3], [1.0], [1e3], [0.0], [7.0]])
    small, scale = fused.rows_quantised(x, kind)
    assert (small.dtype, scale.dtype, scale.shape) == (kind, torch.float32, (5, 1))
    back = small.float() * scale
    # Half a step of int8 at the top of the row; fp8 has three bits behind the first.
    bound = scale * 0.51 if kind == torch.int8 else x.abs() / 16 + scale * 2**-9
    assert ((back - x).abs() <= bound).all()


def test_the_int8_product_is_that_of_the_weights_it_stands_for() -> None:
    x, bias = drawn(3, 16), drawn(8, seed=2)
    weight = (drawn(8, 16, seed=1) * 40).clamp(-127, 127).to(torch.int8)
    scale = drawn(8, seed=3).abs()
    expected = F.linear(x, weight.float() * scale[:, None], bias)
    torch.testing.assert_close(fused.int8_linear(x, weight, scale, bias), expected)


def test_attention_looks_only_at_what_is_allowed() -> None:
    q, k, v = drawn(1, 4, 3, 8), drawn(1, 2, 10, 8, seed=1), drawn(1, 2, 10, 8, seed=2)
    allow = torch.arange(10)[None] < 6
    found = fused.attention(q, k, v, allow)
    seen = F.scaled_dot_product_attention(q, k[:, :, :6], v[:, :, :6], enable_gqa=True)
    torch.testing.assert_close(found, seen)


@pytest.mark.parametrize("M", [1, 16, 48, 65, 80, 144, 288])
@pytest.mark.parametrize(
    ("N", "K"), [(512, 3584), (3584, 3584), (18944, 3584), (3584, 18944), (64, 48)]
)
def test_blocks_cover_the_product_and_fill_a_card(M: int, N: int, K: int) -> None:
    rows, outputs, inputs, splits = fused.int8_blocks(M, N, K)
    programs = -(-M // rows) * -(-N // outputs) * splits
    assert rows * -(-M // rows) < 2 * max(M, 16)  # at most half of the rows are padding
    assert splits == 1 or inputs * splits <= K
    assert programs >= fused.PROGRAMS or splits == 8 or K // (splits * 2) < 2 * inputs


def test_on_a_cpu_no_kernel_stands_in() -> None:
    with torch.no_grad():
        assert not fused.usable(torch.zeros(1, dtype=torch.bfloat16))
