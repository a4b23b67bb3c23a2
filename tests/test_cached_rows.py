"""Rows that the cached decoder takes together, on a small real network."""

from typing import Any

import pytest

from tests.test_cached import cached, canvas_of, exact, row_of, same


def test_rows_share_a_window_and_keep_their_own_masks() -> None:
    rows = [row_of([3], 1, around=30), row_of([1, 4], 2, around=30)]
    batch = cached(canvas_of(*rows), schedule="even", reach=1000)[-1]
    for number, row in enumerate(rows):
        alone = cached(canvas_of(row), schedule="even", reach=1000)[-1]
        tokens = batch.tokens_BT[number].tolist()
        got = tokens[-len(row) :] if number % 2 else tokens[: len(row)]
        assert got == alone.tokens_BT[0].tolist()


@pytest.mark.parametrize("temperature", [0.0, 0.7])
@pytest.mark.parametrize(
    "choice", [{"refresh_tokens": 3}, {"refresh_share": 0.5}, {}], ids=str
)
def test_rows_beside_each_other_are_looked_at_no_oftener(
    choice: dict[str, Any], temperature: float
) -> None:
    how = choice | {"schedule": "even", "temperature": temperature, "seed": 1}
    alone = cached(canvas_of(row_of([8], 0)), **how)
    beside = cached(canvas_of(*(row_of([8], n) for n in range(6))), **how)
    looks = [[state.forwards_full for state in each] for each in (alone, beside)]
    assert looks[0] == looks[1]


def test_candidates_share_their_first_look() -> None:
    row = row_of([5], 0, around=20)
    how: dict[str, Any] = {"schedule": "even", "temperature": 1.0, "seed": 2}
    states = cached(canvas_of(row, row, row), **how, reach=1000)
    assert same(states, exact(canvas_of(row, row, row), **how))
    assert states[0].query_rows == len(row)
    assert states[1].query_rows == 4 * len(row)
    assert len({tuple(each) for each in states[-1].tokens_BT.tolist()}) == 3
