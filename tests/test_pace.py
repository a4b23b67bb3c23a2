"""Rates and times left, by a clock of the test's own."""

import pytest
from dlmd.store.pace import Pace, duration, line


def test_a_rate_needs_two_moments() -> None:
    pace = Pace()
    assert pace.rate(0, 100.0) is None
    assert pace.rate(50, 102.0) == 25.0


def test_only_the_last_seconds_count() -> None:
    pace = Pace()
    for second in range(60):
        pace.rate(1000 * second, float(second))
    assert pace.rate(59_000 + 11, 70.0) == pytest.approx(1.0, abs=1.0)


def test_what_is_told() -> None:
    told = line("download", 4_100_000_000, 15_200_000_000, 31_000_000.0)
    assert told == "download: 4.1 GB of 15.2 GB (27%), 31.0 MB/s, 6 min left"
    assert line("check", 0, 0, None) == "check: 0.0 MB of 0.0 MB (0%)"


@pytest.mark.parametrize(
    ("seconds", "said"), [(5, "5 s"), (360, "6 min"), (7200, "2.0 h")]
)
def test_durations(seconds: float, said: str) -> None:
    assert duration(seconds) == said
