"""The experiment for a card, on a CPU and a tiny shape: that its one command runs."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parent.parent


@pytest.mark.slow
def test_the_whole_experiment_runs_and_writes_its_figures(tmp_path: Path) -> None:
    out = tmp_path / "gpu.json"
    words = ("--shape", "tiny", "--device", "cpu", "--contexts", "96", "--hole", "8")
    run = subprocess.run(
        [sys.executable, str(REPO / "bench/gpu.py"), *words, "--out", str(out)],
        capture_output=True,
        text=True,
        check=True,
    )
    report = json.loads(out.read_text())
    assert [row.get("error") for row in report["schemes"]] == [None] * 4
    assert [row["scheme"] for row in report["contexts"]] == [
        *("bf16", "fp8", "int8", "int8 whole")
    ]
    for row in report["contexts"]:
        assert row["full_ms"] > 0 < row["replay_ms"]
        assert row["same_tokens"] > 0.5
        assert "total_8_ms" in row and "total_16_ms" not in row
    assert all(row["compiled_later"] == 0 for row in report["schemes"])
    assert "| bf16 | 96 |" in run.stdout
