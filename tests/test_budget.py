"""How much context a machine's speed allows, and how seldom that changes."""

import random

import pytest
from dlmd.serve.budget import (
    AGREED,
    FLOOR,
    SHARE,
    STEP,
    Budget,
    expected,
    largest,
    measured,
)
from hypothesis import given
from hypothesis import strategies as st

TARGET_S = 0.150


def machine(context: int, factor: float = 1.0) -> float:
    """About the embedded model on two cores: 512 tokens in 50 ms, 1,024 in 130 ms."""
    return factor * (0.004 + 7e-5 * context + 5.5e-8 * context**2)


def budget(factor: float = 1.0, most: int = 2048) -> Budget:
    curve = measured(
        lambda context: machine(context, factor), target_s=TARGET_S, most=most
    )
    return Budget(curve, target_s=TARGET_S, most=most)


def test_a_fast_machine_sees_all_that_the_model_may() -> None:
    assert budget(0.1, most=1024).context == 1024


@pytest.mark.parametrize("factor", [0.5, 1.0, 1.5, 2.0])
def test_the_largest_context_in_time_is_found(factor: float) -> None:
    found = budget(factor).context
    assert found % STEP == 0
    assert machine(found, factor) <= SHARE * TARGET_S * 1.02
    assert machine(found + 2 * STEP, factor) > SHARE * TARGET_S * 0.98


def test_a_hopeless_machine_is_not_measured_for_long() -> None:
    asked: list[int] = []

    def slow(context: int) -> float:
        asked.append(context)
        return 10.0

    curve = measured(slow, target_s=TARGET_S, most=2048)
    assert len(asked) == 1
    assert Budget(curve, target_s=TARGET_S, most=2048).context == FLOOR
    assert Budget(curve, target_s=TARGET_S, most=100).context == 100


@given(
    st.lists(st.floats(1e-4, 10.0), min_size=1, max_size=8),
    st.integers(2, 8192),
    st.floats(0.01, 2.0),
)
def test_whatever_was_measured_the_budget_is_in_bounds(
    times: list[float], most: int, target_s: float
) -> None:
    taken = iter(times)
    curve = measured(lambda context: next(taken, 10.0), target_s=target_s, most=most)
    assert [context for context, _ in curve] == sorted({c for c, _ in curve})
    found = largest(curve, target_s, most)
    assert min(FLOOR, most) <= found <= most
    assert expected(curve, most) >= expected(curve, 1) > 0


def test_a_few_slow_answers_move_nothing() -> None:
    kept = budget()
    before = kept.context
    noise = random.Random(0)
    for number in range(200):
        factor = noise.uniform(0.9, 1.15) if number % 3 else noise.uniform(1, 5)
        kept.saw(before, machine(before, factor))
        assert kept.context == before


def test_a_machine_that_became_slower_is_believed_once_many_answers_say_so() -> None:
    moved = budget()
    before = moved.context
    for _ in range(AGREED - 1):
        moved.saw(before, machine(before, 2.5))
    assert moved.context == before
    moved.saw(before, machine(before, 2.5))
    assert FLOOR <= moved.context < before
    for _ in range(2 * AGREED):
        moved.saw(moved.context, machine(moved.context))
    assert moved.context == before
