"""dlmd_lsp.ask: how long a pause is, which files are ignored."""

from pathlib import Path

from dlmd_lsp.ask import ignored
from dlmd_lsp.ask.pace import LONGEST_S, SHORTEST_S, Pace
from hypothesis import given
from hypothesis import strategies as st


def typing(gap_s: float, latency_s: float) -> Pace:
    pace = Pace()
    for number in range(20):
        pace.typed(number * gap_s)
        pace.answered(latency_s)
    return pace


def test_a_line_start_waits_for_nothing() -> None:
    assert typing(0.2, 5.0).wait_s(line_start=True) == 0.0


def test_a_slow_model_waits_for_a_real_pause_and_a_fast_one_for_none() -> None:
    gap = 0.2
    slow = typing(gap, 3.0).wait_s(line_start=False)
    fast = typing(gap, 0.01).wait_s(line_start=False)
    assert gap < slow <= 1.25 * gap
    assert fast == SHORTEST_S


def test_who_types_slowly_is_waited_for_longer() -> None:
    waits = [typing(gap, 0.3).wait_s(line_start=False) for gap in (0.05, 0.15, 0.4)]
    assert waits == sorted(waits) and waits[0] < waits[-1]


def test_a_pause_for_thought_is_no_rhythm() -> None:
    pace = typing(0.1, 0.2)
    before = pace.gap_s
    pace.typed(1_000.0)
    assert pace.gap_s == before


@given(st.lists(st.floats(0, 100), max_size=30), st.lists(st.floats(0, 60)))
def test_a_wait_is_always_bounded(times: list[float], took: list[float]) -> None:
    pace = Pace()
    for now in times:
        pace.typed(now)
    for each in took:
        pace.answered(each)
    assert SHORTEST_S <= pace.wait_s(line_start=False) <= LONGEST_S


def test_the_last_word_of_the_ignore_files_holds(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / ".gitignore").write_text("*.log\n/out/\n")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / ".dlmdignore").write_text("!kept.log\ndata*\n")
    found = {
        name: ignored._verdict(tmp_path / name)
        for name in ("a.log", "out/x.py", "sub/kept.log", "sub/data.py", "data.py")
    }
    assert found == {
        "a.log": True,
        "out/x.py": True,
        "sub/kept.log": False,
        "sub/data.py": True,
        "data.py": False,
    }


def test_above_the_repository_nobody_is_asked(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("*\n")
    (tmp_path / "repo" / ".git").mkdir(parents=True)
    assert ignored._verdict(tmp_path / "repo" / "a.py") is False
    assert ignored._verdict(tmp_path / "other.py") is True
    assert ignored._verdict(Path("relative.py")) is False
