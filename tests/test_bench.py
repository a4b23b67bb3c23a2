"""Which holes are measured, how times are summed up, and one run through a real socket."""

import json
from pathlib import Path

import pytest
from dlmd import bench
from dlmd.bench import BenchConfig, percentile, places

from tests.fakes.tiny import tiny_model_folder
from tests.processes import Home


def words(text: str) -> int:
    return len(text.split())


TEXT = "".join(f"    name_{n} = call ( {n} )  # why\n" for n in range(400))


def test_holes_are_distinct_and_have_the_context_that_was_asked_for() -> None:
    found = list(places([TEXT, TEXT.replace("name", "other")], 20, 60, words))
    assert len(set(found)) == 20
    for before, after, context in found:
        assert context == words(before) + words(after)
        assert 60 <= context <= 60 + 2 * 7
        assert before.endswith("\n    ") and after.startswith("\n")
        assert before in TEXT or before in TEXT.replace("name", "other")


def test_comments_and_empty_lines_are_no_holes() -> None:
    text = "x = 1\n# no\n\n" * 40
    for before, after, _ in places([text], 10, 10**6, words):
        assert (before + after).count("x = 1") == 39
    with pytest.raises(ValueError, match="1000 distinct holes were asked for"):
        list(places([text], 1000, 4, words))


def test_percentiles_by_nearest_rank() -> None:
    assert percentile([3.0], 0.95) == 3.0
    assert percentile([4.0, 1.0, 3.0, 2.0], 0.5) == 2.0
    assert percentile([float(n) for n in range(1, 101)], 0.95) == 95.0


def test_the_standard_library_has_more_holes_than_anybody_measures() -> None:
    assert len(list(places(bench.sources(), 1000, 1, words))) == 1000


def test_numbers_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="--infills is 0"):
        BenchConfig(infills=0)


@pytest.mark.slow
def test_a_run_says_everything_its_figures_depend_on(tmp_path: Path) -> None:
    home = Home(tmp_path)
    tiny_model_folder(tmp_path / "model")
    try:
        assert (
            home.run("serve", "--model", str(tmp_path / "model"), "--detach").code == 0
        )
        told = home.run(
            "bench", "--infills", "3", "--tokens", "4", "--context", "64", "--json"
        )
        shown = home.run("bench", "--infills", "2", "--tokens", "4", "--context", "64")
    finally:
        home.run("stop")
    report = json.loads(told.out)
    assert (report["infills"], len(report["timings"]), report["hole_tokens"]) == (
        3,
        3,
        4,
    )
    assert report["context_tokens"][0] >= 64
    for timing in report["timings"]:
        assert 0 < timing["first_ms"] <= timing["total_ms"]
        assert timing["forwards"] >= timing["steps"] == 4
    assert report["first_state_ms"]["p50"] <= report["first_state_ms"]["p95"]
    assert {"cpu", "cores", "torch", "load_1min"} <= report["box"].keys()
    text = shown.out.decode()
    assert "first state" in text and "2 infills" in text and "holes 4 tokens" in text
