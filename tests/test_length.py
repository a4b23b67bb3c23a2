"""How many masks a hole keeps, by arithmetic and by a network told what to say."""

import math
from typing import Any

import torch
from dlmd.decode import Canvas
from dlmd.decode.length import likeliest_length, settle_length
from hypothesis import given, settings
from hypothesis import strategies as st

MASK, PAD = 9, 8


def by_enumeration(surplus: list[float]) -> float:
    """The best log-probability over all lengths from 1 on."""
    return max(
        log_probability(surplus, length) for length in range(1, len(surplus) + 1)
    )


def log_probability(surplus: list[float], length: int) -> float:
    text = (math.log(1 - p) for p in surplus[:length])
    return sum(text) + sum(math.log(p) for p in surplus[length:])


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0.01, 0.99), min_size=1, max_size=12))
def test_the_likeliest_of_all_lengths(surplus: list[float]) -> None:
    length = likeliest_length(torch.tensor(surplus))
    assert 1 <= length <= len(surplus)
    assert math.isclose(
        log_probability(surplus, length), by_enumeration(surplus), abs_tol=1e-5
    )


def test_certain_answers() -> None:
    assert likeliest_length(torch.tensor([0.0, 0.0, 1.0, 1.0])) == 2
    assert likeliest_length(torch.tensor([0.0, 0.0, 0.0])) == 3
    assert likeliest_length(torch.tensor([1.0, 1.0])) == 1
    assert likeliest_length(torch.tensor([])) == 0


def says(surplus_T: list[float]) -> Any:
    """A network that gives padding these probabilities: at position t of row t - 1."""

    def forward(
        tokens_BT: torch.Tensor, valid_BT: None = None, *, rows_N: torch.Tensor
    ) -> torch.Tensor:
        logits_NV = torch.full((len(rows_N), 10), -20.0)
        for n, row in enumerate(rows_N.tolist()):
            p = surplus_T[row + 1]
            logits_NV[n, [PAD, 3]] = torch.tensor([p, 1 - p]).log()
        logits_NV[:, MASK] = 50.0  # must not count
        return logits_NV

    return forward


def test_surplus_is_settled_in_every_row_and_only_where_asked() -> None:
    row = [5, MASK, MASK, MASK, 6, MASK, MASK, 7]
    canvas = Canvas(torch.tensor([row, row]), mask_id=MASK)
    network = says([0.5, 0.01, 0.9, 0.9, 0.5, 0.9, 0.9, 0.5])
    settled = settle_length(network, canvas, [range(1, 4)], [PAD])
    assert settled.tokens_BT.tolist() == [[5, MASK, PAD, PAD, 6, MASK, MASK, 7]] * 2
    assert settled.masks_B == (3, 3) and settled.forwards == 1
    both = settle_length(network, canvas, [range(1, 4), range(5, 7)], [PAD])
    assert both.tokens_BT.tolist() == [[5, MASK, PAD, PAD, 6, MASK, PAD, 7]] * 2


def test_initial_text_before_the_masks_is_left_alone() -> None:
    canvas = Canvas(torch.tensor([[5, 4, MASK, MASK]]), mask_id=MASK)
    network = says([0.5, 0.5, 0.1, 0.9])
    settled = settle_length(network, canvas, [range(2, 4)], [PAD])
    assert settled.tokens_BT.tolist() == [[5, 4, MASK, PAD]]
