"""Products by weights laid out for oneDNN: the same numbers, and never those of old weights."""

from pathlib import Path

import pytest
import torch
from dlmd.decode import Canvas, DecodeSettings, denoise, denoise_cached
from dlmd.model import Dream, load
from dlmd.model.packed import SHORT_Q, PackedLinear, attended, pack, suits, usable
from torch import nn
from torch.nn import functional as F

from tests.fakes.tiny import tiny_model_folder

pytestmark = pytest.mark.skipif(
    not usable(torch.zeros(1)), reason="this build of PyTorch has no oneDNN"
)


@pytest.fixture
def model(tmp_path: Path) -> Dream:
    return load(tiny_model_folder(tmp_path)).requires_grad_(False)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("bias", [True, False])
def test_a_packed_product_is_the_product(dtype: torch.dtype, bias: bool) -> None:
    linear = nn.Linear(48, 80, bias=bias, dtype=dtype)
    x = torch.randn(2, 7, 48, dtype=dtype)
    with torch.no_grad():
        torch.testing.assert_close(PackedLinear(linear)(x), linear(x))


def test_weights_that_change_are_packed_anew() -> None:
    linear = nn.Linear(48, 80)
    ours = PackedLinear(linear)
    x = torch.randn(3, 48)
    with torch.no_grad():
        ours(x)
        ours.weight.copy_(torch.randn(80, 48))
        torch.testing.assert_close(ours(x), F.linear(x, ours.weight, ours.bias))
        ours.weight = nn.Parameter(torch.randn(80, 48))
        torch.testing.assert_close(ours(x), F.linear(x, ours.weight, ours.bias))


def test_gradients_go_the_plain_way() -> None:
    linear = PackedLinear(nn.Linear(48, 80))
    linear(torch.randn(3, 48)).sum().backward()
    assert linear.weight.grad is not None


def test_names_and_weights_stay(model: Dream) -> None:
    before = model.state_dict()
    assert pack(model, always=True)
    assert any(isinstance(each, PackedLinear) for each in model.modules())
    after = model.state_dict()
    assert list(after) == list(before)
    assert all(after[name] is before[name] or torch.equal(after[name], before[name]) for name in after)  # fmt: skip


def test_small_models_stay_as_they_are(model: Dream) -> None:
    assert not pack(model)


@pytest.mark.parametrize(("queries", "keys"), [(1, 1), (36, 70), (SHORT_Q, 33)])
def test_attention_is_attention(queries: int, keys: int) -> None:
    # As projections leave them: heads side by side, so rows have gaps.
    q, k, v = (torch.randn(1, n, 3, 16).transpose(1, 2) for n in (queries, keys, keys))
    with torch.no_grad():
        assert suits(q, k)
        torch.testing.assert_close(
            attended(q, k, v), F.scaled_dot_product_attention(q, k, v)
        )


@pytest.mark.parametrize("decoder", [denoise, denoise_cached])
def test_packed_weights_commit_the_same_tokens(tmp_path: Path, decoder: object) -> None:
    assert callable(decoder)
    plain = load(tiny_model_folder(tmp_path)).requires_grad_(False)
    ours = load(tiny_model_folder(tmp_path)).requires_grad_(False)
    pack(ours, always=True)
    mask = plain.config.mask_token_id
    row = [*range(5, 25), *[mask] * 9, *range(30, 50)]
    ends = []
    for each in (plain, ours):
        canvas = Canvas(torch.tensor([row]), mask_id=mask)
        *_, last = decoder(each, canvas, DecodeSettings(schedule="even"))
        ends.append(last.tokens_BT)
    assert torch.equal(*ends)
