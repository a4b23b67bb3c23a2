"""The network against logits recorded from the published one, and its own promises."""

from pathlib import Path

import numpy as np
import pytest
import torch
from dlmd.model import Dream, load

GOLDEN = Path(__file__).parent / "golden"
LOGITS = np.load(GOLDEN / "logits.npz")
CASES = sorted({name.split(".")[0] for name in LOGITS.files})


@pytest.fixture(scope="module")
def model() -> Dream:
    return load(GOLDEN / "tiny_dream")


def tokens_and_valid(case: str) -> tuple[torch.Tensor, torch.Tensor | None]:
    tokens_BT = torch.from_numpy(LOGITS[f"{case}.input_ids"])
    padded = f"{case}.attention_mask_2d" in LOGITS.files
    if not padded:
        return tokens_BT, None
    return tokens_BT, torch.from_numpy(LOGITS[f"{case}.attention_mask_2d"]).bool()


@pytest.mark.parametrize("case", CASES)
def test_logits_are_the_published_ones(model: Dream, case: str) -> None:
    tokens_BT, valid_BT = tokens_and_valid(case)
    with torch.no_grad():
        logits_BTV = model(tokens_BT, valid_BT)
    difference_BTV = (logits_BTV - torch.from_numpy(LOGITS[f"{case}.logits_raw"])).abs()
    if valid_BT is not None:
        difference_BTV = difference_BTV[valid_BT]
    assert difference_BTV.max() < 2e-4


def test_chosen_rows_are_rows_of_the_whole(model: Dream) -> None:
    tokens_BT, valid_BT = tokens_and_valid("left_padded_midmask")
    rows_N = torch.tensor([12, 30, 53])
    with torch.no_grad():
        whole_BTV = model(tokens_BT, valid_BT)
        rows_NV = model(tokens_BT, valid_BT, rows_N=rows_N)
    assert torch.allclose(rows_NV, whole_BTV.flatten(0, 1)[rows_N], atol=1e-5)


def test_padded_rows_equal_single_rows(model: Dream) -> None:
    tokens_BT, valid_BT = tokens_and_valid("left_padded_midmask")
    assert valid_BT is not None
    with torch.no_grad():
        batch_BTV = model(tokens_BT, valid_BT)
        for row, valid in enumerate(valid_BT):
            single_TV = model(tokens_BT[row : row + 1, valid])[0]
            assert torch.allclose(batch_BTV[row, valid], single_TV, atol=2e-4)


def test_padding_may_be_told_in_zeros_and_ones(model: Dream) -> None:
    tokens_BT, valid_BT = tokens_and_valid("left_padded_midmask")
    assert valid_BT is not None
    with torch.no_grad():
        as_bools_BTV = model(tokens_BT, valid_BT)
        assert torch.equal(model(tokens_BT, valid_BT.long()), as_bools_BTV)


def test_a_later_token_changes_an_earlier_row(model: Dream) -> None:
    tokens_BT, _ = tokens_and_valid("full_midmask")
    changed_BT = tokens_BT.clone()
    changed_BT[0, -1] = (changed_BT[0, -1] + 1) % 500
    with torch.no_grad():
        difference = (model(tokens_BT) - model(changed_BT))[0, 0].abs().max()
    assert difference > 1e-3


def test_gradients_reach_every_parameter(model: Dream) -> None:
    tokens_BT, valid_BT = tokens_and_valid("left_padded_midmask")
    try:
        model(tokens_BT, valid_BT, rows_N=torch.tensor([20, 40])).sum().backward()
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None and parameter.grad.isfinite().all(), name
    finally:
        model.zero_grad()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_stays_close(dtype: torch.dtype) -> None:
    tokens_BT, _ = tokens_and_valid("full_midmask")
    half = load(GOLDEN / "tiny_dream", dtype=dtype)
    with torch.no_grad():
        logits_BTV = half(tokens_BT)
    wanted_BTV = torch.from_numpy(LOGITS["full_midmask.logits_raw"])
    assert logits_BTV.dtype == dtype
    assert (logits_BTV.float() - wanted_BTV).abs().mean() < 0.1


@pytest.mark.parametrize("rows_N", [[12], [30, 12, 30], [12, 30, 53], [0, 63, 64, 127]])
def test_rows_in_any_order_and_number(model: Dream, rows_N: list[int]) -> None:
    tokens_BT, valid_BT = tokens_and_valid("left_padded_midmask")
    assert valid_BT is not None and tokens_BT.shape[0] > 1
    with torch.no_grad():
        for rows in (1, 2):
            few_BT, seen_BT = tokens_BT[:rows], valid_BT[:rows]
            chosen_N = torch.tensor([row % few_BT.numel() for row in rows_N])
            got_NV = model(few_BT, seen_BT, rows_N=chosen_N)
            wanted_NV = model(few_BT, seen_BT).flatten(0, 1)[chosen_N]
            assert torch.allclose(got_NV, wanted_NV, atol=1e-4)
