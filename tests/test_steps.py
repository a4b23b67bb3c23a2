"""Reinforcement as a whole: killed and resumed it ends the same, and two processes compute
what one does."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from dlmd_finetune.rl import steps
from dlmd_finetune.rl.measure import Measured, spread
from dlmd_finetune.rl.policy import open_policy
from dlmd_finetune.rl.reward import Judged
from dlmd_finetune.rl.rollout import Rollout
from dlmd_finetune.rl.steps import Plan, chosen, taught
from dlmd_finetune.rl.update import Learning
from dlmd_finetune.tasks.task import Task

from tests.fakes.learning_run import HashJudge
from tests.fakes.tiny import tiny_model_folder
from tests.fakes.toy_tasks import toy_repository

REPO = Path(__file__).resolve().parent.parent
RUN = [sys.executable, "-m", "tests.fakes.learning_run"]
TWO = [
    sys.executable,
    "-m",
    "torch.distributed.run",
    "--standalone",
    "--nproc-per-node=2",
]


def ran(command: list[str], folder: Path, *more: str) -> dict[str, Any]:
    told = subprocess.run(
        [*command, str(folder), *more], cwd=REPO, capture_output=True, text=True
    )
    assert told.returncode == 0, told.stderr[-2000:]
    found: dict[str, Any] = json.loads(told.stdout.splitlines()[-1])
    return found


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_killed_at_any_point_it_ends_bit_by_bit_as_if_nothing_had_been(
    tmp_path: Path,
) -> None:
    """Three kills here; `python -m tests.fakes.learning_run FOLDER --kills 20` does more."""
    told = ran(RUN, tmp_path, "--kills", "3")
    assert told["killed"] == 3
    assert len(told["digests"]) > 1 and len(set(told["digests"])) == 1
    for journals in told["written"]:  # nothing twice, though some of it came twice
        assert journals["steps"] == [1, 2, 3, 4, 5]
        assert len(journals["rollouts"]) == 5 * 2 * 4
        assert len({tuple(row) for row in journals["rollouts"]}) == 5 * 2 * 4


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_processes_compute_what_one_does(tmp_path: Path) -> None:
    one = ran(RUN, tmp_path / "one")["losses"]
    two = ran([*TWO, *RUN[1:]], tmp_path / "two")["losses"]
    assert len(one) == len(two) == 5
    assert two == pytest.approx(one, abs=1e-5)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_processes_with_half_of_the_weights_each_compute_what_one_does(
    tmp_path: Path,
) -> None:
    one = ran(RUN, tmp_path / "one", "--how", "single")["losses"]
    two = ran([*TWO, *RUN[1:]], tmp_path / "two", "--how", "shard")["losses"]
    assert len(one) == len(two) == 5 and len(set(one)) > 1
    assert two == pytest.approx(one, abs=1e-5)


class Kind(HashJudge):
    """Passes whatever it sees."""

    def judge(self, task: Task, fill: str) -> Judged:
        return Judged(reward=1.0, passed=True)


@pytest.mark.slow
@pytest.mark.parametrize(("count", "stops"), [(8, 0), (7, 4)])
def test_where_nothing_fails_any_more_it_ends_if_enough_was_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int, stops: int
) -> None:
    monkeypatch.setattr(steps, "DEV_EVERY", 2)
    found = tuple(toy_repository(tmp_path / "tree", count + 2))
    judge: Any = Kind(tmp_path / "tree")
    model = tiny_model_folder(tmp_path / "model")
    plan = Plan(train=found[:2], dev=found[2:], steps=4, tasks=1, group=2)
    for _ in range(2):  # the second time there is nothing left to do
        run = steps.Reinforcement(
            plan=plan,
            policy=open_policy(model, rank=4, mode="exact", context=64),
            judge=judge,
            folder=tmp_path / "run",
        )
        for _ in steps.reinforce(run):
            pass
        assert run.step == stops


# ---- parts


def groups(tmp_path: Path, rewards: list[list[float]]) -> list[Measured]:
    tasks = toy_repository(tmp_path, len(rewards))
    return [
        Measured(
            task=task,
            rollouts=tuple(
                Rollout(
                    task=task.id, number=n, text="", before=(1,), tokens=(2,), after=()
                )
                for n in range(len(group))
            ),
            judged=tuple(Judged(reward=reward) for reward in group),
        )
        for task, group in zip(tasks, rewards, strict=True)
    ]


def test_a_group_that_agrees_teaches_nothing(tmp_path: Path) -> None:
    found = groups(tmp_path, [[0.5, 0.5], [0.0, 1.0], [1.0]])
    lessons = taught(Plan(train=()), 0, found)
    assert [(t.rollout.task, t.advantage) for t in lessons] == [("t1", -1), ("t1", 1)]


def test_shuffled_rewards_are_the_same_ones_elsewhere(tmp_path: Path) -> None:
    found = groups(tmp_path, [[0.0, 1.0, 2.0, 3.0], [4.0, 5.0, 6.0, 7.0]])
    plain = [t.advantage for t in taught(Plan(train=()), 0, found)]
    dealt = [t.advantage for t in taught(Plan(train=(), shuffle=True), 0, found)]
    assert len(dealt) == 8 and dealt != plain


def test_all_tasks_come_before_any_comes_again(tmp_path: Path) -> None:
    tasks = tuple(toy_repository(tmp_path, 6))
    plan = Plan(train=tasks, tasks=2)
    first = [task.id for step in range(3) for task in chosen(plan, step)]
    second = [task.id for step in range(3, 6) for task in chosen(plan, step)]
    assert sorted(first) == sorted(second) == sorted(task.id for task in tasks)
    assert first != second
    assert chosen(plan, 4) == chosen(plan, 4)


def test_fewer_tasks_than_a_step_takes(tmp_path: Path) -> None:
    tasks = tuple(toy_repository(tmp_path, 2))
    plan = Plan(train=tasks, tasks=8, learning=Learning())
    assert {task.id for task in chosen(plan, 3)} == {"t0", "t1"}


def test_some_tasks_of_many_are_spread_from_end_to_end(tmp_path: Path) -> None:
    tasks = tuple(toy_repository(tmp_path, 6))
    assert [task.id for task in spread(tasks, 3)] == ["t0", "t2", "t4"]
    assert spread(tasks, 9) == tasks
