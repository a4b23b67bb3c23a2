"""What a verdict is made of: the tasks that all models were judged on, and the last rollouts."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from dlmd_finetune import judging
from dlmd_finetune.rl.measure import Measured
from dlmd_finetune.rl.reward import Judged
from dlmd_finetune.rl.rollout import Rollout

from tests.fakes.toy_tasks import toy_repository

REPO = Path(__file__).resolve().parent.parent


def measured(tmp_path: Path, passes: Sequence[Sequence[bool]]) -> list[Measured]:
    """One task each; nothing where the room could not judge."""
    tasks = toy_repository(tmp_path, len(passes))
    return [
        Measured(
            task=task,
            rollouts=tuple(
                Rollout(
                    task=task.id,
                    number=n,
                    text=task.original if good else "pass",
                    before=(1,),
                    tokens=(2, 3, 4),
                    after=(),
                    order=(0, 1, 2),
                )
                for n, good in enumerate(each)
            ),
            judged=tuple(Judged(reward=float(good), passed=good) for good in each),
        )
        for task, each in zip(tasks, passes, strict=True)
    ]


def test_every_number_is_of_the_tasks_that_count(tmp_path: Path) -> None:
    drawn = measured(tmp_path, [[True, False], [], [True, True]])
    sure = measured(tmp_path, [[True], [True], [False]])
    answers = judging.Answers(drawn=drawn, greedy={1: sure, 2: sure})
    told = judging.summed(answers, [0, 2], 2)
    assert told["shares"] == [0.5, 1.0] and told["pass_at_1"] == 0.75
    assert told["pass_at_k"] == {1: 0.75, 2: 1.0}
    assert told["exact"] == 0.75 and told["greedy_1"] == 0.5
    assert told["local_arness"] == 1.0
    alone = judging.summed(answers, [2], 2)
    assert alone["shares"] == [1.0] and alone["exact"] == 1.0
    assert alone["greedy_2"] == 0.0
    assert judging.summed(answers, [], 2)["pass_at_k"] == {}


def rollouts(folder: Path, rank: int, rows: Sequence[tuple[int, str]]) -> None:
    """Steps and faults, as one process journals them."""
    lines = [
        json.dumps(
            {"step": step, "task": f"t{rank}", "number": n, "judged": {"fault": fault}}
        )
        for n, (step, fault) in enumerate(rows)
    ]
    (folder / f"rollouts-{rank}.jsonl").write_text("\n".join(lines) + "\n")


def test_the_audit_counts_the_last_steps_of_every_process(tmp_path: Path) -> None:
    """By the names of their files the last two hundred were all process nine's."""
    early, late = [(0, "audit")] * 150, [(1, "")] * 90 + [(1, "policy")] * 10
    for rank in (9, 10):
        rollouts(tmp_path, rank, early + late)
    caught = judging.cheating(tmp_path)
    assert caught.rules == pytest.approx(0.1) and caught.audit == 0.0
    assert caught.rules_at_first == 0.0


def test_a_rollout_that_a_kill_had_written_twice_counts_once(tmp_path: Path) -> None:
    rollouts(tmp_path, 0, [(0, "audit"), (0, "")])
    whole = (tmp_path / "rollouts-0.jsonl").read_text()
    first = whole.splitlines(keepends=True)[0]
    (tmp_path / "rollouts-0.jsonl").write_text(whole + first)
    assert judging.cheating(tmp_path).audit == 0.5
    assert judging.cheating(tmp_path / "nothing").audit == 0.0


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_processes_that_disagree_about_the_time_judge_the_same_tasks(
    tmp_path: Path,
) -> None:
    line = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    line += ["--nproc-per-node=2", "-m", "tests.fakes.judging_run", str(tmp_path)]
    told = subprocess.run(line, cwd=REPO, capture_output=True, text=True)
    assert told.returncode == 0, told.stderr[-2000:]
    counts: Any = json.loads(told.stdout.splitlines()[-1])
    assert counts == [6, 6]
