"""AR-ness of orders: known ones, random ones against their expectation, the edges."""

import random
from collections.abc import Sequence
from math import factorial, isclose, sqrt
from statistics import mean

import pytest
from dlmd_finetune.evidence.order import (
    arness,
    diversity,
    global_arness,
    heat_map,
    local_arness,
)
from hypothesis import given
from hypothesis import strategies as st

ORDERS = st.integers(2, 24).flatmap(lambda n: st.permutations(range(n)))


@pytest.mark.parametrize("length", [2, 3, 9, 40])
def test_left_to_right_is_one_everywhere(length: int) -> None:
    order = range(7, 7 + length)
    for k in range(1, length):
        assert local_arness(order, k) == local_arness(order, k, as_set=True) == 1
        assert global_arness(order, k) == 1


@pytest.mark.parametrize("length", [2, 3, 9, 40])
def test_right_to_left_is_never_local(length: int) -> None:
    order = range(length)[::-1]
    for k in range(1, length):
        assert local_arness(order, k) == local_arness(order, k, as_set=True) == 0
        # Only the last k places are among the k leftmost that are left.
        assert isclose(global_arness(order, k), k / length)


def test_by_hand() -> None:
    order = [2, 0, 1, 3, 4]
    # 0 after 2 no, 1 after 0 yes, 3 after 1 no, 4 after 3 yes
    assert local_arness(order, 1) == 0.5
    assert local_arness(order, 2) == 0
    # before 3 stand 0 and 1, before 1 stand 2 and 0, before 4 stand 1 and 3
    assert local_arness(order, 2, as_set=True) == 0
    assert local_arness([1, 0, 2], 2, as_set=True) == 1
    assert local_arness([1, 0, 2], 2) == 0
    assert global_arness(order, 1) == 4 / 5
    assert global_arness(order, 2) == 4 / 5
    assert global_arness(order, 3) == 1


def expected_local(length: int, k: int, as_set: bool) -> float:
    """Of all ways to draw k + 1 places in turn, those that are a run of neighbours."""
    runs = (length - k) * (factorial(k) if as_set else 1)
    return runs * factorial(length - k - 1) / factorial(length)


def expected_global(length: int, k: int) -> float:
    return mean(min(1, k / left) for left in range(1, length + 1))


@pytest.mark.parametrize("k", [1, 2, 3])
def test_random_orders_meet_their_expectation(k: int) -> None:
    length, draws = 6, 20_000
    chance = random.Random(3)
    orders = [chance.sample(range(length), length) for _ in range(draws)]
    found = {
        (local_arness, False): expected_local(length, k, False),
        (local_arness, True): expected_local(length, k, True),
    }
    for (measure, as_set), expected in found.items():
        values = [measure(order, k, as_set=as_set) for order in orders]
        assert abs(mean(values) - expected) < 5 * sqrt(expected / draws)
    values = [global_arness(order, k) for order in orders]
    assert abs(mean(values) - expected_global(length, k)) < 5 * sqrt(1 / draws)


@given(ORDERS)
def test_local_falls_and_global_rises_with_k(order: Sequence[int]) -> None:
    local = [local_arness(order, k) for k in range(1, len(order))]
    everywhere = [global_arness(order, k) for k in range(1, len(order) + 1)]
    # Runs only get rarer; each is counted over one step less.
    runs = [round(v * (len(order) - k)) for k, v in enumerate(local, 1)]
    assert runs == sorted(runs, reverse=True)
    assert everywhere == sorted(everywhere) and everywhere[-1] == 1


@given(ORDERS, st.integers(1, 9))
def test_where_the_hole_lies_is_of_no_matter(order: Sequence[int], by: int) -> None:
    moved = [place + by for place in order]
    assert local_arness(moved, 1) == local_arness(order, 1)
    assert global_arness(moved, 1) == global_arness(order, 1)


@pytest.mark.parametrize("k", [0, 3, -1])
def test_a_k_that_no_step_could_meet(k: int) -> None:
    with pytest.raises(ValueError, match="give 1 to 2, or a longer hole"):
        local_arness([0, 1, 2], k)


def test_a_place_committed_twice() -> None:
    with pytest.raises(ValueError, match="names a position twice"):
        global_arness([0, 1, 0], 1)


def test_short_orders_are_left_out() -> None:
    found = arness([[0, 1, 2], [0]], ["a", "b"], 1, scope="local", seed=0)
    assert found is not None and found.value == 1
    assert arness([[0]], ["a"], 1, scope="local", seed=0) is None
    assert arness([[0]], ["a"], 1, scope="global", seed=0) is not None


def test_diversity() -> None:
    assert diversity(["a", "a", "a", "a"]) == 0.25
    assert diversity(["a", "b"]) == 1


def test_the_map_of_left_to_right_is_its_diagonal() -> None:
    found = heat_map([range(8), range(3, 19)], 4)
    assert found == tuple(tuple(float(x == y) for x in range(4)) for y in range(4))
    assert heat_map([range(8)[::-1]], 4)[0][3] == 1
