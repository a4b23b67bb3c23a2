"""Where the keys of an earlier canvas belong in a new one: the diff behind a warm start.

Compares token ids on both sides of the holes. Each side keeps its common start and its
common end; what lies between was edited and has to be computed anew. Token ids only: must
not know tensors.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """`count` positions from `old` on stand from `new` on now."""

    old: int
    new: int
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap:
    moves: tuple[Move, ...]
    edited: tuple[range, ...]  # positions of the new canvas that no move covers


def overlap(
    old: Sequence[int], old_holes: range, new: Sequence[int], new_holes: range
) -> Overlap:
    """What two canvases share outside their holes; a range runs from the first mask to
    the last."""
    sides = (
        side(old[: old_holes.start], new[: new_holes.start], 0, 0),
        side(
            old[old_holes.stop :],
            new[new_holes.stop :],
            old_holes.stop,
            new_holes.stop,
        ),
    )
    return Overlap(
        moves=tuple(move for moves, _ in sides for move in moves if move.count),
        edited=tuple(edit for _, edit in sides if len(edit)),
    )


def side(
    old: Sequence[int], new: Sequence[int], old_at: int, new_at: int
) -> tuple[tuple[Move, Move], range]:
    head = common_start(old, new)
    tail = common_start(old[head:][::-1], new[head:][::-1])
    first = Move(old=old_at, new=new_at, count=head)
    last = Move(old=old_at + len(old) - tail, new=new_at + len(new) - tail, count=tail)
    return (first, last), range(new_at + head, new_at + len(new) - tail)


def common_start(old: Sequence[int], new: Sequence[int]) -> int:
    for count, (a, b) in enumerate(zip(old, new, strict=False)):
        if a != b:
            return count
    return min(len(old), len(new))
