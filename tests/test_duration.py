"""Durations as people write them, and what is none."""

import math

import pytest
from dlmd.wire.duration import seconds


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("10m", 600),
        ("1h30m", 5400),
        ("250ms", 0.25),
        ("1.5s", 1.5),
        ("90", 90),
        (" 0 ", 0),
        (0, 0),
        (2.5, 2.5),
        ("-1", math.inf),
        ("-1m", math.inf),
        (-1, math.inf),
        (-0.5, math.inf),
    ],
)
def test_the_forms_of_a_duration(written: str | float, meant: float) -> None:
    assert seconds(written) == meant


@pytest.mark.parametrize(
    "written", ["", "m", "10 m", "ten", "1d", "--1", "1e9", "٣m", "9" * 99, math.nan]
)
def test_what_is_no_duration(written: str | float) -> None:
    with pytest.raises(ValueError, match="10m"):
        seconds(written)
