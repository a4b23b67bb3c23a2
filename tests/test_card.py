"""The card of a model: all of it from what a run left, and the one in docs true of what ships."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from dlmd.profiles import EMBEDDED_FOLDER
from dlmd_finetune.card import card, data, shape

REPO = Path(__file__).resolve().parent.parent
TALLY: dict[str, Any] = {
    "files": 9, "kept": 4, "filtered": 2, "duplicates": 2, "overlapping": 1,
    "bytes": 2_500_000,
    "overlap": {
        "HumanEval.jsonl.gz": {
            "tasks": 164, "files_left_out": 1, "runs_of_20": 10, "runs_of_10": 12,
            "share_of_runs_of_20_before": 0.0026, "share_of_runs_of_10_kept": 0.0341,
        }
    },
    "packages": {
        "click": {"version": "8.5.1", "licence": "BSD-3-Clause", "files": 4, "bytes": 2_500_000}
    },
}  # fmt: skip
RATE = {"value": 0.125, "low": 0.1, "high": 0.15}
FIGURES = {
    "form": "infilling", "data": "HumanEval-SingleLineInfilling.jsonl.gz", "tasks": 200,
    "limit": 200, "renamed": True, "pass_at_1": RATE, "difference": RATE,
    "best_constant": "pass", "constants": {"pass": RATE}, "parse_rate": 0.9,
}  # fmt: skip


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "tally.json").write_text(json.dumps(TALLY))
    config = {"corpus": "packages", "out": "run", "causal_share": 0.64, "seed": 3}
    config |= {"init": None, "library": False, "exclude": ["x"], "learning_rate": 0.004}
    told = {"config": config, "tokens": 50_000_000, "steps": 6104, "seconds": 7200.0}
    (tmp_path / "run.json").write_text(json.dumps(told | {"held_out": 3.25}))
    (tmp_path / "single.json").write_text(json.dumps(FIGURES))
    return tmp_path


def test_a_card_says_all_that_the_run_left(run: Path) -> None:
    told = card(run, EMBEDDED_FOLDER, [run / "single.json"])
    for words in (
        "50,000,000 tokens in 6,104 steps and 2.0 hours: the first 64 % left to right",
        "--causal-share 0.64 --seed 3 --learning-rate 0.004",
        "3.250 nats",
        "12.5 % [10.0, 15.0]; parses 90 %",
        "paired difference +12.5 % [+10.0, +15.0]",
        "--data HumanEval-SingleLineInfilling.jsonl.gz --limit 200 --renamed",
        "| click | 8.5.1 | BSD-3-Clause | 2.50 |",
        "| HumanEval.jsonl.gz | 164 | 1 | 0.26 % | 3.41 % |",
        "## Limits",
    ):
        assert words in told
    assert "None" not in told and "--exclude ['x']" not in told


def test_a_folder_that_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="give a finished run"):
        card(tmp_path, EMBEDDED_FOLDER, [])


def test_packages_stand_in_the_order_of_their_names() -> None:
    about = TALLY["packages"]["click"]
    told = data(TALLY | {"packages": {"Zeta": about, "alpha": about, "beta": about}})
    assert re.findall(r"^\| (\w+) \| 8", told, re.M) == ["alpha", "beta", "Zeta"]


# ---- the one in docs ----


def test_the_card_in_docs_is_of_the_model_that_ships() -> None:
    config = json.loads((EMBEDDED_FOLDER / "config.json").read_text())
    told = (REPO / "docs" / "model-card.md").read_text()
    for line in shape(config, EMBEDDED_FOLDER / "model.safetensors").splitlines():
        assert line in told


def test_the_card_in_docs_has_every_part() -> None:
    told = (REPO / "docs" / "model-card.md").read_text()
    for part in ("Figures", "Limits", "Recipe", "Data"):
        assert f"\n## {part}\n" in told
    assert "dlmd pretrain" in told and "dlmd eval infilling" in told


def test_the_card_in_docs_and_the_one_that_ships_have_the_same_figures() -> None:
    shipped = (EMBEDDED_FOLDER / "README.md").read_text()
    told = (REPO / "docs" / "model-card.md").read_text()
    rate = re.compile(r"\d+\.\d % \[-?\d+\.\d, [+-]?\d+\.\d\]")
    assert set(rate.findall(shipped)) <= set(rate.findall(told))
