"""Holes that find their own length, by networks told what to say."""

from collections.abc import Callable
from typing import Any

import torch
from dlmd.decode import Canvas, DecodeSettings
from dlmd.decode.length_padding import denoise_own_length
from hypothesis import given, settings
from hypothesis import strategies as st

MASK, PAD, WORD = 9, 8, 3
ONE_EACH = DecodeSettings(schedule="even")


def network(logits_TV: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    """A model whose logits at position t (row t - 1) are `logits_TV(row of tokens)[t]`."""

    def forward(
        tokens_BT: torch.Tensor, valid_BT: None = None, *, rows_N: torch.Tensor
    ) -> torch.Tensor:
        T = tokens_BT.shape[1]
        every = torch.stack([logits_TV(row).roll(-1, dims=0) for row in tokens_BT])
        assert every.shape[1] == T
        return every.flatten(0, 1)[rows_N]

    return forward


def says(surplus_T: list[float], mask: float = -20.0) -> Any:
    """Padding with these probabilities, else WORD; `mask` is the mask token's logit."""

    def logits_TV(row: torch.Tensor) -> torch.Tensor:
        logits_TV = torch.full((len(row), 10), -20.0)
        for t, p in enumerate(surplus_T):
            logits_TV[t, [PAD, WORD]] = torch.tensor([p, 1 - p]).log()
        logits_TV[:, MASK] = mask
        return logits_TV

    return network(logits_TV)


def states(model: Any, row: list[int], holes: list[range], rows: int = 1) -> list[Any]:
    canvas = Canvas(torch.tensor([row] * rows), mask_id=MASK)
    run = denoise_own_length(model, canvas, ONE_EACH, holes=holes, pad_ids=[PAD])
    return [state.tokens_BT.tolist() for state in run]


def test_a_tail_of_surplus_is_settled_at_once() -> None:
    seen = states(
        says([0.5, 0.1, 0.2, 0.9, 0.9, 0.5]), [5, *[MASK] * 4, 6], [range(1, 5)]
    )
    assert [row[0][3:5] for row in seen] == [[PAD, PAD]] * 2
    assert seen[-1] == [[5, WORD, WORD, PAD, PAD, 6]]


def test_text_is_never_cut_off_by_padding_before_it() -> None:
    # The last mask is surely text and is committed first; padding before it is no choice then.
    seen = states(says([0.5, 0.6, 0.6, 0.01, 0.5]), [5, *[MASK] * 3, 6], [range(1, 4)])
    assert seen[-1] == [[5, WORD, WORD, WORD, 6]]


def test_the_mask_token_is_neither_text_nor_padding() -> None:
    model = says([0.5, 0.1, 0.9, 0.5], mask=50.0)
    assert states(model, [5, MASK, MASK, 6], [range(1, 3)])[-1] == [[5, WORD, PAD, 6]]


def test_committed_padding_ends_the_hole() -> None:
    # Position 2 is surely padding, position 3 most likely text, but less surely.
    seen = states(says([0.5, 0.3, 0.999, 0.4, 0.5]), [5, *[MASK] * 3, 6], [range(1, 4)])
    assert seen[0] == [[5, MASK, PAD, PAD, 6]]
    assert seen[-1] == [[5, WORD, PAD, PAD, 6]]


def test_only_the_named_holes_may_shrink() -> None:
    row = [5, MASK, MASK, 6, MASK, MASK, 7]
    model = says([0.5, 0.9, 0.9, 0.5, 0.1, 0.1, 0.5])
    assert states(model, row, [range(1, 3)])[0] == [[5, PAD, PAD, 6, WORD, MASK, 7]]


def test_an_empty_fill_takes_one_forward() -> None:
    assert states(says([0.9] * 5), [5, MASK, MASK, MASK, 6], [range(1, 4)], 2) == [
        [[5, PAD, PAD, PAD, 6]] * 2
    ]


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 6), min_size=1, max_size=3),
    rows=st.integers(1, 3),
    seed=st.integers(0, 1000),
    steps=st.none() | st.integers(1, 20),
)
def test_whatever_a_network_says(
    sizes: list[int], rows: int, seed: int, steps: int | None
) -> None:
    row, holes = [5], []
    for size in sizes:
        holes.append(range(len(row), len(row) + size))
        row += [MASK] * size + [6]

    def logits_TV(tokens: torch.Tensor) -> torch.Tensor:
        chance = torch.Generator().manual_seed(seed + int((tokens == MASK).sum()))
        return torch.randn(len(tokens), 10, generator=chance) * 3

    canvas = Canvas(torch.tensor([row] * rows), mask_id=MASK)
    before = canvas.tokens_BT
    count = 0
    for state in denoise_own_length(
        network(logits_TV),
        canvas,
        DecodeSettings(schedule="even", steps=steps),
        holes=holes,
        pad_ids=[PAD],
    ):
        count += 1
        settled = before != MASK
        assert (state.tokens_BT == before)[settled].all(), "a committed token changed"
        before = state.tokens_BT
    assert count <= min(sum(sizes), steps or sum(sizes)) and state.forwards == count
    assert not state.masked_BT.any()
    for tokens in before.tolist():
        for hole in holes:
            inside = tokens[hole.start : hole.stop]
            text = inside[: inside.index(PAD)] if PAD in inside else inside
            assert set(inside[len(text) :]) <= {PAD}
