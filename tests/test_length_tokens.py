"""Holes that grow and shrink by labels: by networks told what to say, and by one that
learnt it."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from dlmd.decode import Canvas, DecodeSettings, denoise
from dlmd.decode.cached import denoise_cached
from dlmd.decode.length_tokens import Labels
from dlmd.model import Dream
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes import labelled as toy
from tests.fakes.labelled import DELETE, EXPAND, MASK

ONE_EACH = DecodeSettings(schedule="even")
WORD, OTHER = 7, 8


def network(sure_V: Callable[[list[int]], dict[int, float]]) -> Any:
    """At every mask of a row, tokens with the logits that `sure_V(row)` gives."""

    def forward(
        tokens_BT: torch.Tensor, valid_BT: torch.Tensor, *, rows_N: torch.Tensor
    ) -> torch.Tensor:
        B, T = tokens_BT.shape
        logits_BTV = torch.full((B, T, 10), -20.0)
        for b in range(B):
            for token, logit in sure_V(tokens_BT[b][valid_BT[b]].tolist()).items():
                logits_BTV[b, :, token] = logit
        return logits_BTV.flatten(0, 1)[rows_N]

    return forward


def labels(holes: list[range], first_masks: int) -> Labels:
    return Labels(
        holes=holes,
        expand_id=EXPAND,
        delete_ids=[DELETE],
        mask_id=MASK,
        first_masks=first_masks,
    )


def states(
    model: Any,
    row: list[int],
    holes: list[range],
    first_masks: int,
    *,
    rows: int = 1,
    how: DecodeSettings = ONE_EACH,
    decoder: Any = denoise,
) -> Iterator[Canvas]:
    policy = labels(holes, first_masks)
    canvas = Canvas(torch.tensor([row] * rows), mask_id=MASK)
    canvas, found = policy.begin(model, canvas, holes)
    assert found == tuple(holes)
    yield from policy.follow(decoder(model, canvas, how, ending=policy.ending()))


def used(canvas: Canvas, hole: range, b: int = 0) -> list[int]:
    assert canvas.valid_BT is not None
    inside = slice(hole.start, hole.stop)
    return canvas.tokens_BT[b, inside][canvas.valid_BT[b, inside]].tolist()


ROW = [5, *[MASK] * 4, 6]
HOLE = range(1, 5)


def test_an_expand_label_becomes_two_masks() -> None:
    grows_once = network(
        lambda row: (
            {EXPAND: 9.0} if row.count(MASK) == 1 and WORD not in row else {WORD: 9.0}
        )
    )
    seen = [used(state, HOLE) for state in states(grows_once, ROW, [HOLE], 1)]
    assert seen == [[MASK, MASK], [WORD, MASK], [WORD, WORD]]


def test_a_deleted_position_leaves() -> None:
    shrinks = network(lambda row: {DELETE: 9.0} if row.count(MASK) > 1 else {WORD: 9.0})
    *seen, last = states(shrinks, ROW, [HOLE], 3)
    assert [used(state, HOLE) for state in seen] == [[MASK, MASK], [MASK]]
    assert used(last, HOLE) == [WORD]
    # What is not in use draws as nothing, and no text has moved.
    assert last.tokens_BT.tolist() == [[5, WORD, DELETE, DELETE, DELETE, 6]]


def test_a_hole_may_vanish() -> None:
    nothing = network(lambda row: {DELETE: 9.0})
    *_, last = states(nothing, ROW, [HOLE], 3)
    assert used(last, HOLE) == [] and not last.masked_BT.any()


def test_growth_ends_with_the_slots() -> None:
    always = network(lambda row: {EXPAND: 9.0, WORD: 1.0})
    seen = [used(state, HOLE) for state in states(always, ROW, [HOLE], 1)]
    assert max(map(len, seen)) == 4 and seen[-1] == [WORD] * 4


def test_growing_and_shrinking_for_ever_comes_to_an_end() -> None:
    restless = network(
        lambda row: {EXPAND: 9.0, WORD: 1.0} if row.count(MASK) == 1 else {DELETE: 9.0}
    )
    *_, last = states(restless, ROW, [HOLE], 1)
    assert used(last, HOLE) == [WORD]


def test_many_labels_in_one_step_share_the_room() -> None:
    always = network(lambda row: {EXPAND: 9.0, WORD: 1.0})
    at_once = DecodeSettings(schedule="even", steps=1)
    first, *_, last = states(always, ROW, [HOLE], 3, how=at_once)
    # Room for one more: the first label grows, the others are masks again.
    assert used(first, HOLE) == [MASK] * 4 and used(last, HOLE) == [WORD] * 4


def test_a_given_length_is_kept() -> None:
    row = [5, MASK, MASK, 6, MASK, MASK, 7]
    keen = network(lambda row: {EXPAND: 9.0, DELETE: 8.0, WORD: 1.0})
    policy = labels([], 1)
    canvas = Canvas(torch.tensor([row]), mask_id=MASK)
    canvas, _ = policy.begin(keen, canvas, [range(1, 3), range(4, 6)])
    *_, last = policy.follow(denoise(keen, canvas, ONE_EACH, ending=policy.ending()))
    assert last.tokens_BT.tolist() == [[5, WORD, WORD, 6, WORD, WORD, 7]]


@settings(max_examples=60, deadline=None)
@given(
    slots=st.lists(st.integers(1, 6), min_size=1, max_size=3),
    first_masks=st.integers(1, 6),
    rows=st.integers(1, 3),
    seed=st.integers(0, 1000),
    steps=st.none() | st.integers(1, 20),
)
def test_whatever_a_network_says(
    slots: list[int], first_masks: int, rows: int, seed: int, steps: int | None
) -> None:
    """It ends, no label and no mask is left, text around holes stays, and each row is
    what it would be alone."""

    def sure_V(row: list[int]) -> dict[int, float]:
        chance = torch.Generator().manual_seed(seed + 31 * len(row) + row.count(MASK))
        return dict(enumerate((torch.randn(10, generator=chance) * 3).tolist()))

    row, holes = [5], []
    for count in slots:
        holes.append(range(len(row), len(row) + count))
        row += [MASK] * count + [6]
    how = DecodeSettings(schedule="even", steps=steps)
    for state in states(network(sure_V), row, holes, first_masks, rows=rows, how=how):
        assert state.valid_BT is not None
        for hole in holes:
            inside = state.valid_BT[0, hole.start : hole.stop].tolist()
            assert inside == sorted(inside, reverse=True), "unused slots come last"
        around = [t for t in range(len(row)) if not any(t in hole for hole in holes)]
        assert all(state.tokens_BT[0, t] == row[t] for t in around)
    assert not state.masked_BT.any()
    assert EXPAND not in used(state, range(len(row)))
    assert (state.tokens_BT == state.tokens_BT[0]).all()


# ---- a checkpoint that learnt the labels ----


@pytest.fixture(scope="module")
def learnt() -> Dream:
    return toy.trained(250)


def filled(model: Dream, counts: list[int], first_masks: int, decoder: Any) -> Any:
    row, holes = toy.laid(counts, 12)
    *_, last = states(model, row, holes, first_masks, decoder=decoder)
    return [used(last, hole) for hole in holes]


@pytest.mark.slow
@pytest.mark.parametrize("first_masks", [1, 2, 4, 8, 12])
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_a_trained_checkpoint_reaches_the_right_lengths(
    learnt: Dream, first_masks: int, count: int
) -> None:
    """Two holes at once, from any number of first masks, by either decoder."""
    right = [toy.letters(count), toy.letters(toy.MOST + 1 - count)]
    counts = [count, toy.MOST + 1 - count]
    assert filled(learnt, counts, first_masks, denoise) == right
    assert filled(learnt, counts, first_masks, denoise_cached) == right


@pytest.mark.slow
def test_rows_of_different_lengths(learnt: Dream) -> None:
    """Rows whose texts ask for other lengths, together and alone."""
    rows = [toy.laid([count, 1], 6)[0] for count in (1, 3, 5)]
    holes = toy.laid([1, 1], 6)[1]

    def last_of(tokens: list[list[int]]) -> Canvas:
        policy = labels(holes, 3)
        canvas, _ = policy.begin(
            learnt, Canvas(torch.tensor(tokens), mask_id=MASK), holes
        )
        *_, last = policy.follow(
            denoise(learnt, canvas, ONE_EACH, ending=policy.ending())
        )
        return last

    together = last_of(rows)
    for b, (row, count) in enumerate(zip(rows, (1, 3, 5), strict=True)):
        assert used(together, holes[0], b) == toy.letters(count)
        assert used(last_of([row]), holes[0]) == toy.letters(count)
