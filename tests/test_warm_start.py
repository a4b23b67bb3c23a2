"""The warm start: which files it shows, and that they become likelier."""

from dataclasses import replace
from pathlib import Path

import pytest
from dlmd_finetune.rl.policy import open_policy
from dlmd_finetune.rl.warm import steps_for, train_side, warm_up

from tests.fakes.tiny import tiny_model_folder
from tests.fakes.toy_tasks import toy_mined


def test_a_file_with_a_held_out_task_is_never_shown(tmp_path: Path) -> None:
    mined = toy_mined(tmp_path / "repo", count=6)
    assert len(train_side(mined)) == 4
    shared = [replace(task, path="m0.py") for task in mined.tasks]
    assert train_side(replace(mined, tasks=tuple(shared))) == []


def test_short_and_long_repositories_have_bounds() -> None:
    assert steps_for(["a = 1\n"], 256) == 8
    assert steps_for(["a = 1\n" * 10**6], 256) == 400


@pytest.mark.slow
def test_what_it_shows_becomes_likelier(tmp_path: Path) -> None:
    policy = open_policy(tiny_model_folder(tmp_path / "model"), rank=8, rate=3e-3)
    text = "def f(a):\n    return a\n\n\n" * 300
    losses = [row["loss"] for row in warm_up(policy, [text], seed=0, stay=0.0)]
    assert sum(losses[-4:]) < 0.8 * sum(losses[:4])


@pytest.mark.slow
def test_it_moves_less_on_code_of_others_when_held(tmp_path: Path) -> None:
    text = "def f(a):\n    return a\n\n\n" * 300

    def moved(stay: float) -> float:
        """As the last steps found it, by a weight too small to matter where it is 0."""
        policy = open_policy(tiny_model_folder(tmp_path / "model"), rank=8, rate=3e-3)
        rows = list(warm_up(policy, [text], seed=0, stay=stay or 1e-9))
        return sum(float(row["moved"]) for row in rows[-4:])

    assert moved(10.0) < 0.5 * moved(0.0)
