"""AR-ness of orders: known ones, random ones against their expectation, the edges."""

import random
from collections.abc import Sequence
from itertools import permutations
from math import factorial, isclose, sqrt
from statistics import mean

import pytest
from dlmd_finetune.evidence.arness import global_arness, local_arness
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


@pytest.mark.parametrize("length", [2, 4, 6])
def test_all_orders_there_are_meet_the_expectation_exactly(length: int) -> None:
    orders = list(permutations(range(length)))
    for k in range(1, length):
        for as_set in (False, True):
            found = mean(local_arness(order, k, as_set=as_set) for order in orders)
            assert isclose(found, expected_local(length, k, as_set)), (k, as_set)
    for k in range(1, length + 1):
        found = mean(global_arness(order, k) for order in orders)
        assert isclose(found, expected_global(length, k))


def test_blocks_from_the_right_each_filled_left_to_right() -> None:
    order = [6, 7, 8, 3, 4, 5, 0, 1, 2]
    # Two of eight steps go to another block; runs of three end once in each block.
    assert local_arness(order, 1) == 6 / 8 and local_arness(order, 2) == 3 / 7
    assert local_arness(order, 3) == 0
    # Of each block, the last is reached by 1, both last ones by 4, all by 7 leftmost places.
    assert global_arness(order, 1) == 3 / 9
    assert global_arness(order, 4) == 6 / 9
    assert global_arness(order, 7) == 1


def test_a_number_comes_back_whatever_came_in() -> None:
    for order in ([5], (5,), range(5, 6)):
        assert type(global_arness(order, 1)) is float
    assert type(local_arness([1, 2], 1)) is float


def test_an_order_of_nothing_has_no_number() -> None:
    with pytest.raises(ValueError, match="0 commits"):
        global_arness([], 1)
    with pytest.raises(ValueError, match="0 commits"):
        local_arness([], 1)
