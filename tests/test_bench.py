"""Every kind of measurement, once, through a real socket and on a real tiny model."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dlmd.bench import BenchConfig, bench
from dlmd.bench.config import SHAPES
from dlmd.bench.runs import varied

from tests.fakes.tiny import tiny_model_folder
from tests.processes import Answer, Home

SMALL = ("--infills", "3", "--tokens", "4", "--context", "64")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A daemon on a tiny model that sees 512 tokens, however slow this machine is."""
    folder = tmp_path_factory.mktemp("bench")
    home = Home(folder)
    tiny_model_folder(folder / "model")
    started = home.run(
        *("serve", "--model", str(folder / "model"), "--detach"),
        DLMD_FIRST_STATE_MS="0",
        DLMD_DTYPE="float32",
    )
    assert started.code == 0, started.err
    yield home
    home.run("stop")


def told(answer: Answer) -> Any:
    assert answer.code == 0, answer.err
    return json.loads(answer.out)


def test_numbers_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="--infills is 0"):
        BenchConfig(infills=0)
    with pytest.raises(ValueError, match="known are embedded, 100m, 1b, 7b"):
        BenchConfig(shape="8b")
    with pytest.raises(ValueError, match="--grid and --busy cannot be measured in one"):
        BenchConfig(grid=True, busy=True)
    with pytest.raises(ValueError, match="--busy with --shape cannot"):
        BenchConfig(shape="7b", busy=True)


@pytest.mark.slow
def test_a_run_says_everything_its_figures_depend_on(home: Home) -> None:
    report = told(home.run("bench", *SMALL, "--mode", "exact", "--json"))
    subject = report["subject"]
    assert (subject["mode"], subject["hole_tokens"]) == ("exact", 4)
    assert subject["dtype"] == "float32"
    assert {"cpu", "cores", "torch", "load_1min"} <= subject["box"].keys()
    assert report["infills"] == len(report["timings"]) == 3
    assert report["context_tokens"][0] >= 64
    for timing in report["timings"]:
        assert 0 < timing["first_ms"] <= timing["total_ms"]
        assert timing["steps"] == timing["forwards_full"] == 4
    for kind in ("cold", "warm"):
        first, total = report[kind]["first_state_ms"], report[kind]["total_ms"]
        assert first["p50"] <= first["p95"] <= first["p99"]
        assert first["p50"] <= total["p50"]
        assert 0 < report[kind]["tokens_per_forward"] <= 4
    assert report["cancel_ms"] is None or report["cancel_ms"]["p50"] > 0
    assert 0 < report["share_of_limit"] < 1
    assert report["agreement"] is None  # exact mode is the measure itself


@pytest.mark.slow
def test_a_faster_mode_is_held_against_exact_mode(home: Home) -> None:
    shown = home.run("bench", *SMALL, "--mode", "quality").out.decode()
    assert "new document, first state" in shown and "next key, whole fill" in shown
    assert "mode quality, holes of 4 tokens" in shown
    assert "agreement with exact mode on 3 of them: " in shown
    assert "of the machine's limit" in shown


@pytest.mark.slow
def test_agreement_on_files_of_the_user(home: Home, tmp_path: Path) -> None:
    source = tmp_path / "mine.py"
    source.write_text("".join(f"def f{n}(x):\n    return x + {n}\n" for n in range(40)))
    report = told(home.run("bench", "--agreement", *SMALL, "--json", str(source)))
    assert report["files"] == [str(source)]
    assert [row["mode"] for row in report["modes"]] == ["quality", "fast"]
    for row in report["modes"]:
        assert row["holes"] == 3
        assert 0 <= row["same_holes"] <= 1 and 0 <= row["same_tokens"] <= 1
        assert row["full_forwards"] > 0 and row["tokens_per_forward"] > 0
    missing = home.run("bench", "--agreement", str(tmp_path / "none.py"))
    assert (missing.code, missing.out) == (1, b"")
    assert missing.err.endswith("none.py: No such file or directory\n")


@pytest.mark.slow
def test_busy_cores_against_idle_ones(home: Home) -> None:
    report = told(home.run("bench", "--busy", *SMALL, "--json"))
    assert report["processes"] >= 1
    assert report["total_ratio"] > 0 and report["first_state_ratio"] > 0


def test_the_grid_goes_as_far_as_the_daemon_sees() -> None:
    whole = varied(BenchConfig(grid=True), 512)
    assert {context for context, _, _ in whole} == {256, 512}
    assert len(whole) == 2 * 3 * 3 - 3  # half of 256 is no hole
    assert varied(BenchConfig(context=96, tokens=4), 0) == [
        (96, 4, prefix) for prefix in (0.9, 0.5, 0.1)
    ]


@pytest.mark.slow
def test_a_grid_through_the_daemon(home: Home) -> None:
    shown = home.run("bench", "--grid", "--context", "96", "--tokens", "4").out.decode()
    rows = [line.split("│")[1:4] for line in shown.splitlines() if "96  " in line]
    assert [[cell.strip() for cell in row] for row in rows] == [
        ["96", "4", split] for split in ("90:10", "50:50", "10:90")
    ]


@pytest.mark.slow
def test_a_shape_needs_no_daemon() -> None:
    from dlmd.bench.shapes import NUMBERS

    assert tuple(NUMBERS) == SHAPES

    def reach() -> None:
        raise AssertionError("no daemon is needed")

    config = BenchConfig(
        shape="embedded", context=96, tokens=4, device="cpu", json=True
    )
    [cell] = json.loads(bench(config, reach))["cells"]
    assert (cell["context"], cell["hole"]) == (96, 4)
    assert cell["total_ms"] >= cell["first_ms"] > 0
    assert cell["step_p95_ms"] >= cell["step_ms"] > 0
