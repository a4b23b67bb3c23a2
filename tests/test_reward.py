"""Rewards: what counts, what is asked once, and that three outcomes stay three."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from dlmd_finetune.rl.reward import ALL, PARSES, SHARE, Judge, Judged, confirmed, graded
from dlmd_finetune.sandbox.room import (
    Candidate,
    InfraFault,
    Outcome,
    PolicyFault,
    Score,
)
from dlmd_finetune.tasks.task import Task

from tests.fakes.toy_tasks import ToyRoom, toy_repository


@pytest.fixture
def tasks(tmp_path: Path) -> list[Task]:
    return toy_repository(tmp_path)


def test_some_tests_are_worth_less_than_all(tasks: list[Task]) -> None:
    one, two = tasks[0].tests
    rewards = [
        graded(Score(passed, ()), tasks[0]).reward
        for passed in ((), (one,), (one, two))
    ]
    assert rewards == pytest.approx([PARSES, PARSES + SHARE / 2, PARSES + SHARE + ALL])
    # Tests that nobody asked for earn nothing.
    assert graded(Score(("other::test",), ()), tasks[0]).reward == PARSES


def test_a_fault_of_the_room_is_no_reward_and_one_of_the_fill_is_none_either(
    tasks: list[Task],
) -> None:
    assert graded(InfraFault("no room"), tasks[0]).reward is None
    assert graded(PolicyFault("imports os"), tasks[0]).reward == 0


def test_a_right_fill_is_confirmed_cold_and_asked_once(
    tasks: list[Task], tmp_path: Path
) -> None:
    room = ToyRoom()
    judge = Judge(room=room, tree=tmp_path)
    first = judge.judge(tasks[1], ["return a + 1", "return a", "return (", "return a"])
    again = judge.submit(tasks[1], ["return a + 1"]).result()
    judge.close()
    assert (room.warm, room.cold) == (2, 1)
    assert first["return a + 1"].passed and again["return a + 1"].passed
    assert first["return ("].fault == "syntax" and first["return ("].reward == 0
    assert first["return a"].reward == PARSES


def test_fills_that_python_reads_alike_are_run_once(
    tasks: list[Task], tmp_path: Path
) -> None:
    room = ToyRoom()
    judge = Judge(room=room, tree=tmp_path)
    first = judge.judge(tasks[1], ["return a + 1", "return  (a + 1)  # one more"])
    later = judge.judge(tasks[1], ["return (a + 1)", "return 1 + a"])
    assert (room.warm, room.cold, judge.asked) == (2, 2, 2)
    assert all(judged.passed for judged in (*first.values(), *later.values()))


def test_who_fails_what_was_held_back_earns_nothing(
    tasks: list[Task], tmp_path: Path
) -> None:
    special = "return {3: 4, 5: 6}[a]"  # right on the tests that are known
    found = Judge(room=ToyRoom(), tree=tmp_path).judge(tasks[1], [special])[special]
    assert found.reward == 0 and found.fault == "audit" and not found.passed


def test_of_two_runs_the_lower_counts(tasks: list[Task]) -> None:
    task = tasks[0]
    warm = graded(Score(task.tests, ()), task)
    cold = confirmed(warm, Score(task.tests[:1], task.tests[1:]), task)
    assert cold.reward == pytest.approx(PARSES + SHARE / 2)
    assert cold.fault == "unsteady" and not cold.passed
    assert confirmed(warm, InfraFault("gone"), task).reward is None


class Flaky(ToyRoom):
    """Fails as a room does, the first time."""

    def evaluate(self, candidates: Sequence[Candidate]) -> list[Outcome]:
        if not self.warm:
            self.warm = 1
            return [InfraFault("no room") for _ in candidates]
        return super().evaluate(candidates)


def test_a_fault_of_the_room_is_not_remembered(
    tasks: list[Task], tmp_path: Path
) -> None:
    judge = Judge(room=Flaky(), tree=tmp_path)
    fill = "return a"
    assert judge.judge(tasks[0], [fill])[fill].reward is None
    assert judge.judge(tasks[0], [fill])[fill].passed


def test_a_verdict_of_the_journal_is_taken_as_it_stands(
    tasks: list[Task], tmp_path: Path
) -> None:
    room = ToyRoom()
    judge = Judge(room=room, tree=tmp_path)
    judge.known[tasks[0].id, "nonsense"] = Judged(reward=0.5)
    assert judge.judge(tasks[0], ["nonsense"])["nonsense"].reward == 0.5
    assert room.warm == 0
