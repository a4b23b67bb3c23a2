"""What two canvases share: starts and ends of both sides of the holes."""

from dlmd.decode.align import Move, overlap
from hypothesis import given
from hypothesis import strategies as st

tokens = st.lists(st.integers(0, 4), max_size=12)


def test_a_typed_token_moves_what_stands_after_the_hole() -> None:
    old = [1, 2, 3, 9, 9, 5, 6]
    new = [1, 2, 3, 4, 9, 9, 9, 5, 6]
    shared = overlap(old, range(3, 5), new, range(4, 7))
    assert shared.moves == (
        Move(old=0, new=0, count=3),
        Move(old=5, new=7, count=2),
    )
    assert shared.edited == (range(3, 4),)


def test_a_change_far_below_is_an_edit_of_its_own() -> None:
    old = [1, 9, 5, 6, 7, 8]
    new = [1, 9, 5, 0, 0, 7, 8]
    shared = overlap(old, range(1, 2), new, range(1, 2))
    assert shared.moves == (
        Move(old=0, new=0, count=1),
        Move(old=2, new=2, count=1),
        Move(old=4, new=5, count=2),
    )
    assert shared.edited == (range(3, 5),)


@given(tokens, tokens, tokens, tokens, st.integers(1, 4), st.integers(1, 4))
def test_moves_join_equal_tokens_and_edits_are_the_rest(
    before: list[int],
    after: list[int],
    new_before: list[int],
    new_after: list[int],
    masks: int,
    new_masks: int,
) -> None:
    old = [*before, *[9] * masks, *after]
    new = [*new_before, *[9] * new_masks, *new_after]
    holes = range(len(before), len(before) + masks)
    new_holes = range(len(new_before), len(new_before) + new_masks)
    shared = overlap(old, holes, new, new_holes)
    covered = list(new_holes)
    for move in shared.moves:
        there = old[move.old : move.old + move.count]
        assert there == new[move.new : move.new + move.count]
        covered += range(move.new, move.new + move.count)
    for edit in shared.edited:
        covered += edit
    assert sorted(covered) == list(range(len(new)))
