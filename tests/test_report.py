"""The report: everything a reader needs on one page, and nothing that runs."""

import re
from pathlib import Path
from typing import Any

import pytest
from dlmd_finetune.evidence.report import page
from dlmd_finetune.judging import text
from dlmd_finetune.tasks.task import Loss, Mined, Stage

pytestmark = pytest.mark.slow  # matplotlib takes a second


def model(shares: list[float]) -> dict[str, Any]:
    return {
        "shares": shares,
        "passed": [[share > 0.5] for share in shares],
        "texts": [["return <a>"] for _ in shares],
        "pass_at_1": sum(shares) / len(shares),
        "pass_at_k": {1: 0.5, 2: 0.75},
        "exact": 0.25,
        "local_arness": 0.5,
        "global_arness": 0.75,
        "greedy_1": 0.5,
        "greedy_2": 0.25,
    }


FOUND: dict[str, Any] = {
    "verdict": "not better",
    "reasons": ["pass@1 changed by <nothing>"],
    "looks": 2,
    "tasks": [{"path": "a.py", "function": "f", "original": "return a"}] * 2,
    "left_out": 3,
    "models": {"base": model([0.0, 1.0]), "tuned": model([0.5, 1.0])},
    "comparisons": {
        "tuned": {
            "word": "not better",
            "p": 0.2,
            "difference": {"value": 0.25, "low": -0.1, "high": 0.5},
        }
    },
    "foreign_nats": {"value": 0.01, "low": -0.02, "high": 0.03},
    "everyday_passes": {"value": 0.0, "low": -0.05, "high": 0.05},
    "foreign": {"base": {"nats": 2.0, "passes": 0.5}, "tuned": {"nats": 1.9, "passes": 0.5}},
    "foreign_holes": 500,
    "caught": {"audit": 0.005, "rules": 0.03, "rules_at_first": 0.02},
}  # fmt: skip
STEPS = [
    {"step": n, "reward": 0.1 * n, "passed": 0.05 * n, "rollout_s": 1.0, "learn_s": 2.0}
    for n in range(1, 6)
]
MINED = Mined(
    repo="/home/<somebody>/repo",
    tree="/copy",
    commit=None,
    python="python",
    pytest_args=(),
    tasks=(),
    funnel=(
        Stage(name="found", unit="functions", left=9, losses=(Loss(reason="too <long>", count=2),)),
        Stage(name="valid", unit="functions", left=4),
    ),
    notes=("There is no git history.",),
)  # fmt: skip


def test_it_says_what_was_found() -> None:
    text = page(FOUND, [*STEPS, STEPS[0] | {"step": 6, "dev": 0.4}], [{"step": 1, "loss": 2.0}], MINED)  # fmt: skip
    for said in ("not better", "+25.0", "50.0 %", "2 too &lt;long&gt;", "0.5 %", "look 2", "There is no git history", "3 held-out tasks were left out"):  # fmt: skip
        assert said in text, said
    assert text.count("<svg") == 6


def test_what_models_and_repositories_write_stays_text() -> None:
    text = page(FOUND, STEPS, [], MINED)
    assert "return &lt;a&gt;" in text and "&lt;somebody&gt;" in text
    assert not re.search(r"<(a>|somebody|script|nothing|long)", text)


def test_a_check_that_could_find_nothing_is_called_so() -> None:
    said = "none of the everyday functions right before"
    where = Path("run")
    assert said not in page(FOUND, [], [], MINED) and said not in text(FOUND, where)
    base = FOUND["foreign"]["base"] | {"passes": 0.0}
    none = FOUND | {"foreign": FOUND["foreign"] | {"base": base}}
    assert said in page(none, [], [], MINED) and said in text(none, where)


def test_a_run_without_steps_has_a_report_too() -> None:
    assert page(FOUND, [], [], MINED).count("<svg") == 3
