"""Reliability bins and the calibration error, against hand counts."""

import random

import pytest
from dlmd_finetune.evidence.calibration import calibration_error, reliability
from hypothesis import given
from hypothesis import strategies as st

SURE = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60)


def test_by_hand() -> None:
    bins = reliability([0.05, 0.15, 0.15, 1.0], [False, True, False, True])
    assert [(each.answers, each.accuracy) for each in bins] == [
        (1, 0),
        (2, 0.5),
        (1, 1),
    ]
    assert calibration_error(bins) == pytest.approx((0.05 + 2 * 0.35 + 0) / 4)


def test_sure_and_wrong() -> None:
    assert calibration_error(reliability([1.0] * 5, [False] * 5)) == 1


def test_what_is_right_as_often_as_it_says() -> None:
    chance = random.Random(0)
    sure = [chance.random() for _ in range(20_000)]
    right = [chance.random() < each for each in sure]
    assert calibration_error(reliability(sure, right)) < 0.02


@given(SURE)
def test_every_answer_is_in_one_bin(answers: list[tuple[float, bool]]) -> None:
    bins = reliability([sure for sure, _ in answers], [hit for _, hit in answers])
    assert sum(each.answers for each in bins) == len(answers)
    assert all(each.low <= each.confidence <= each.high for each in bins)
    assert 0 <= calibration_error(bins) <= 1


def test_nothing_to_compare() -> None:
    with pytest.raises(ValueError, match="no answers"):
        calibration_error([])
