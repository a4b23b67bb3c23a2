"""flash-attn where it is installed and faster; here with its one function acted by PyTorch's."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from dlmd.model import cuda, flash
from torch import Tensor
from torch.nn import functional as F

Q, KV = (2, 6, 40, 16), (2, 2, 40, 16)


def acted(q_BTHE: Tensor, k_BTJE: Tensor, v_BTJE: Tensor) -> Tensor:
    """As the package takes and gives them: positions before heads."""
    q, k, v = (x.transpose(1, 2) for x in (q_BTHE, k_BTJE, v_BTJE))
    return F.scaled_dot_product_attention(q, k, v, enable_gqa=True).transpose(1, 2)


def broken(*qkv: Tensor) -> Tensor:
    raise RuntimeError("no kernel image is available for execution on the device")


@pytest.fixture(autouse=True)
def anew() -> Iterator[None]:
    flash.faster.cache_clear()
    yield
    flash.faster.cache_clear()


def test_heads_and_positions_are_where_they_belong(monkeypatch: Any) -> None:
    monkeypatch.setattr(flash, "package", lambda: acted)
    q, k, v = torch.randn(Q), torch.randn(KV), torch.randn(KV)
    torch.testing.assert_close(flash.attended(q, k, v), flash.plain(q, k, v))


def clocked(theirs: float, ours: float) -> Any:
    """The device's clock, showing these."""

    def milliseconds(way: Any, device: str, repeats: int) -> list[float]:
        way()
        return [theirs if way.func is flash.attended else ours] * repeats

    return milliseconds


@pytest.mark.parametrize(
    ("theirs", "ours", "taken"), [(1.0, 2.0, True), (2.0, 2.0, False), (3, 2, False)]
)
def test_the_faster_one_is_taken(
    monkeypatch: Any, theirs: float, ours: float, taken: bool
) -> None:
    monkeypatch.setattr(flash, "package", lambda: acted)
    monkeypatch.setattr(cuda, "milliseconds", clocked(theirs, ours))
    monkeypatch.setattr(flash, "TIMED_T", 32)
    assert flash.faster(6, 2, 16, torch.float32, "cpu") is taken


def test_a_build_for_other_cards_is_left_alone(monkeypatch: Any) -> None:
    monkeypatch.setattr(flash, "package", lambda: broken)
    monkeypatch.setattr(flash, "TIMED_T", 32)
    assert not flash.faster(6, 2, 16, torch.float32, "cpu")


def test_not_on_a_cpu() -> None:
    assert not flash.suits(torch.randn(Q), torch.randn(KV))


@pytest.mark.gpu
def test_the_package_itself_gives_the_same() -> None:
    pytest.importorskip("flash_attn")
    q, k, v = (torch.randn(n, dtype=torch.bfloat16, device="cuda") for n in (Q, KV, KV))
    torch.testing.assert_close(
        flash.attended(q, k, v), flash.plain(q, k, v), rtol=2e-2, atol=2e-2
    )
