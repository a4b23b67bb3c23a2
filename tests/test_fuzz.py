"""A bounded part of bench/fuzz.py: random and broken messages crash and hang nothing."""

import pytest

from bench.fuzz import fuzz


@pytest.mark.slow
def test_no_message_crashes_or_hangs() -> None:
    ends, faults = fuzz(3000, 2026)
    assert faults == []
    assert sum(ends.values()) == 3000
    # Not all of it is turned away at the first byte.
    for door in ("/infill", "/v1/chat/completions", "session"):
        assert ends[f"{door} taken"] > 50


def test_a_crash_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(path: str, data: bytes) -> str:
        raise RuntimeError("boom")

    monkeypatch.setattr("bench.fuzz.post", crash)
    ends, faults = fuzz(40, 1)
    assert ends["/infill CRASH"] and "boom" in faults[0]
