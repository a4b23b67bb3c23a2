"""The order in which a model filled a hole, read from the states it went through.

For orders that mean something: positions must stay where they are, so policies that put
masks in or take them out while they denoise have none. Must not know files or scores.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Protocol


class State(Protocol):
    """What is read of a `decode.Frame`."""

    @property
    def candidate(self) -> int: ...
    @property
    def tokens(self) -> list[list[int]]: ...
    @property
    def certainty(self) -> list[list[float]]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """One hole of one candidate, first committed first."""

    order: tuple[int, ...]  # positions in the hole
    tokens: tuple[int, ...]  # committed there
    certainty: tuple[float, ...]  # by which it was committed
    steps: int


def traces(
    states: Iterable[State], mask_id: int, surplus: Collection[int], hole: int = 0
) -> dict[int, Trace]:
    """By candidate. What a step commits stands in order of certainty, of equals the left
    one first; tokens in `surplus` are no text and have no place in the order."""
    found: dict[int, list[tuple[int, int, float]]] = {}
    steps: dict[int, int] = {}
    for state in states:
        seen = found.setdefault(state.candidate, [])
        known = {position for position, _, _ in seen}
        fresh = [
            (position, token, sure)
            for position, (token, sure) in enumerate(
                zip(state.tokens[hole], state.certainty[hole], strict=True)
            )
            if token != mask_id and position not in known
        ]
        seen += sorted(fresh, key=lambda each: (-each[2], each[0]))
        steps[state.candidate] = steps.get(state.candidate, 0) + bool(fresh)
    return {
        candidate: Trace(
            order=tuple(p for p, token, _ in seen if token not in surplus),
            tokens=tuple(token for _, token, _ in seen if token not in surplus),
            certainty=tuple(sure for _, token, sure in seen if token not in surplus),
            steps=steps[candidate],
        )
        for candidate, seen in found.items()
    }
