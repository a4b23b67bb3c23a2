"""How often a policy passes: several fills of each task, judged by its tests.

The same tasks, seeds and decoder for every policy that is compared. Must not know how a
policy learns or what a verdict is.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from statistics import fmean

from dlmd_finetune.rl import ranks
from dlmd_finetune.rl.reward import Judge, Judged
from dlmd_finetune.rl.rollout import Draw, Rollout, Writer, roll
from dlmd_finetune.tasks.task import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One task: its fills and what its tests said of each. Faults of the room are out."""

    task: Task
    rollouts: tuple[Rollout, ...]
    judged: tuple[Judged, ...]

    @property
    def passed(self) -> list[bool]:
        return [each.passed for each in self.judged]

    @property
    def share(self) -> float:
        return fmean(self.passed) if self.judged else 0.0

    @property
    def reward(self) -> float:
        return fmean(each.reward or 0.0 for each in self.judged) if self.judged else 0.0


def measure(
    writer: Writer,
    judge: Judge,
    tasks: Sequence[Task],
    draw: Draw,
    count: int,
    *,
    seed: Sequence[int | str],
) -> Iterator[Measured]:
    """In the order of the tasks; this process's share of them. Tests run while the next
    task is decoded."""
    waiting: list[tuple[Task, list[Rollout], Future[dict[str, Judged]]]] = []
    for task in tasks:
        rollouts = roll(writer, judge.tree, task, draw, count, seed=seed)
        future = judge.submit(task, [rollout.text for rollout in rollouts])
        waiting.append((task, rollouts, future))
        while waiting and waiting[0][2].done():
            yield settle(*waiting.pop(0))
    for each in waiting:
        yield settle(*each)


def settle(
    task: Task, rollouts: Sequence[Rollout], future: Future[dict[str, Judged]]
) -> Measured:
    verdicts = future.result()
    pairs = [(rollout, verdicts[rollout.text]) for rollout in rollouts]
    pairs = [(r, judged) for r, judged in pairs if judged.reward is not None]
    return Measured(
        task=task,
        rollouts=tuple(rollout for rollout, _ in pairs),
        judged=tuple(judged for _, judged in pairs),
    )


def measure_all(
    writer: Writer,
    judge: Judge,
    tasks: Sequence[Task],
    draw: Draw,
    count: int,
    *,
    seed: Sequence[int | str],
) -> list[Measured]:
    """All tasks, over all processes."""
    own = list(measure(writer, judge, ranks.mine(tasks), draw, count, seed=seed))
    by_task = {m.task.id: m for part in ranks.gathered(own) for m in part}
    return [by_task[task.id] for task in tasks]


def pass_rate(measured: Sequence[Measured]) -> float:
    """Of the tasks that were judged: where the room failed for all fills nothing is known."""
    shares = [each.share for each in measured if each.judged]
    return fmean(shares) if shares else 0.0


def spread(tasks: Sequence[Task], count: int) -> tuple[Task, ...]:
    """So many of them, from end to end."""
    count = min(count, len(tasks))
    return tuple(tasks[n * len(tasks) // count] for n in range(count))
