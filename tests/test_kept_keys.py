"""Windows over kept keys and values, against forwards over the whole canvas."""

from functools import cache
from pathlib import Path

import pytest
import torch
from dlmd.model import Dream, load
from dlmd.model.cache import Cache

GOLDEN = Path(__file__).parent / "golden"
T, SPARE = 24, 8


@cache
def model() -> Dream:
    return load(GOLDEN / "tiny_dream").requires_grad_(False)


def canvas(rows: int, padded: bool) -> tuple[torch.Tensor, torch.Tensor | None]:
    generator = torch.Generator().manual_seed(rows)
    tokens_BT = torch.randint(0, 500, (rows, T), generator=generator)
    if not padded:
        return tokens_BT, None
    valid_BT = torch.ones_like(tokens_BT, dtype=torch.bool)
    valid_BT[0, :3] = False
    valid_BT[-1, -4:] = False
    return tokens_BT, valid_BT


def filled(
    tokens_BT: torch.Tensor, valid_BT: torch.Tensor | None, whole: bool
) -> Cache:
    kept = model().new_cache(rows=len(tokens_BT), capacity=T + SPARE, whole=whole)
    # What an earlier and longer canvas left behind must not be seen.
    longer_BT = torch.full((len(tokens_BT), T + SPARE), 7)
    model()(longer_BT, cache=kept)
    logits_BTV = model()(tokens_BT, valid_BT, cache=kept)
    assert torch.equal(logits_BTV, model()(tokens_BT, valid_BT))
    return kept


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("rows", [1, 2])
def test_a_window_over_everything_is_a_full_forward(
    rows: int, padded: bool, whole: bool
) -> None:
    tokens_BT, valid_BT = canvas(rows, padded)
    kept = filled(tokens_BT, valid_BT, whole)
    changed_BT = tokens_BT.flip(1)
    got_BTV = model()(changed_BT, cache=kept, slots_T=torch.arange(T))
    seen_BT = torch.ones_like(tokens_BT).bool() if valid_BT is None else valid_BT
    wanted_BTV = model()(changed_BT, valid_BT)
    assert torch.allclose(got_BTV[seen_BT], wanted_BTV[seen_BT], atol=1e-4)


@pytest.mark.parametrize("whole", [False, True])
def test_a_window_padded_with_spare_slots_in_any_order(whole: bool) -> None:
    tokens_BT, valid_BT = canvas(2, padded=True)
    kept = filled(tokens_BT, valid_BT, whole)
    slots_W = torch.tensor([9, 8, 10, 11, T + 2, T + 2])
    tokens_BW = torch.cat([tokens_BT[:, slots_W[:4]], torch.full((2, 2), 500)], dim=1)
    rows_N = torch.tensor([1, 0, 6 + 3])
    got_NV = model()(tokens_BW, cache=kept, slots_T=slots_W, rows_N=rows_N)
    wanted_BTV = model()(tokens_BT, valid_BT)
    wanted_NV = wanted_BTV[[0, 0, 1], [8, 9, 11]]
    assert torch.allclose(got_NV, wanted_NV, atol=1e-4)


def test_a_window_leaves_its_keys_behind() -> None:
    tokens_BT, _ = canvas(1, padded=False)
    kept = filled(tokens_BT, None, whole=False)
    changed_BT = tokens_BT.clone()
    changed_BT[0, 5] = 499
    before_BT = model()(changed_BT[:, 3:8], cache=kept, slots_T=torch.arange(3, 8))
    again_BT = model()(changed_BT[:, 3:8], cache=kept, slots_T=torch.arange(3, 8))
    assert torch.allclose(before_BT, again_BT, atol=1e-6)
    elsewhere = torch.tensor([12])
    seen = model()(changed_BT[:, 12:13], cache=kept, slots_T=elsewhere)
    fresh = filled(tokens_BT, None, whole=False)
    unseen = model()(tokens_BT[:, 12:13], cache=fresh, slots_T=elsewhere)
    assert (seen - unseen).abs().max() > 1e-4


def test_buffers_stay_where_they_are() -> None:
    kept = model().new_cache(rows=1, capacity=T)
    places = [t.data_ptr() for t in (kept.keys_LBKSE, kept.values_LBKSE, kept.seen_BS)]
    for length in (T, 5, 9):
        model()(torch.ones(1, length, dtype=torch.long), cache=kept)
        assert kept.length == kept.span == length
        model()(torch.ones(1, 2).long(), cache=kept, slots_T=torch.tensor([1, 3]))
    assert places == [
        t.data_ptr() for t in (kept.keys_LBKSE, kept.values_LBKSE, kept.seen_BS)
    ]


def test_a_canvas_that_does_not_fit_is_ours_to_prevent() -> None:
    kept = model().new_cache(rows=1, capacity=4)
    with pytest.raises(AssertionError, match="5 positions do not fit 4 slots"):
        model()(torch.ones(1, 5, dtype=torch.long), cache=kept)
