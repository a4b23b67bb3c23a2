"""The steps of reinforcement: rollouts of some tasks, their rewards, one update; again.

Resumes exactly: what a step does depends on its number and on the adapter alone, verdicts
that the journal holds are not asked for twice, and a checkpoint says after which step the
adapter stood so. Must not know how tasks were found, what a verdict is or how a run looks.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch

from dlmd_finetune.rl import journal, measure, ranks
from dlmd_finetune.rl.loss import leave_one_out
from dlmd_finetune.rl.policy import Policy
from dlmd_finetune.rl.reward import Judge, Judged
from dlmd_finetune.rl.rollout import Draw, seed_of
from dlmd_finetune.rl.staying import anchors
from dlmd_finetune.rl.update import Figures, Learning, Taught, learn
from dlmd_finetune.tasks.task import Task

SAVE_EVERY_S = 60.0
DEV_EVERY = 5  # steps
DEV_TASKS, DEV_SAMPLES = 24, 2
TELLING = 16  # dev fills at least; when all are right there is nothing left to learn


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What reinforcement is told to do."""

    train: tuple[Task, ...]
    dev: tuple[Task, ...] = ()
    steps: int = 300
    tasks: int = 8  # of each step
    group: int = 8  # rollouts of each task
    draw: Draw = field(
        default_factory=lambda: Draw(temperature=1.0, top_p=0.95, explore=True)
    )
    judge_draw: Draw = field(default_factory=lambda: Draw(temperature=0.2))
    learning: Learning = field(default_factory=Learning)
    seed: int = 0
    shuffle: bool = False  # a control: rewards go to rollouts by chance


@dataclass(slots=True, kw_only=True)
class Reinforcement:
    """A run in progress."""

    plan: Plan
    policy: Policy
    judge: Judge
    folder: Path
    step: int = 0  # steps that are done
    best: float = -1.0  # pass rate on the dev tasks
    best_step: int = 0
    solved: bool = False  # nothing fails on the dev tasks any more
    best_adapter: dict[str, torch.Tensor] = field(default_factory=dict)
    book: journal.Journal | None = None
    noted: set[tuple[int, str, int]] = field(default_factory=set)  # step, task, number
    saved: float = field(default_factory=time.monotonic)

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoint.pt"

    def open(self) -> None:
        """Go on where a run in this folder stopped, if one did."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for row in journal.rollouts(self.folder):
            judged = Judged(**row["judged"])
            if judged.reward is not None:
                self.judge.known[row["task"], row["text"]] = judged
            self.noted.add((row["step"], row["task"], row["number"]))
        ranks.gathered(None)  # all have read before anybody writes
        self.book = journal.Journal(self.folder / f"rollouts-{ranks.rank()}.jsonl")
        if (state := journal.kept(self.checkpoint)) is not None:
            self.policy.restore(state["policy"])
            self.step, self.best = state["step"], state["best"]
            self.best_step, self.best_adapter = (
                state["best_step"],
                state["best_adapter"],
            )
            self.solved = state["solved"]
        if ranks.rank() == 0:
            journal.cut(
                self.folder / "steps.jsonl", lambda row: row["step"] <= self.step
            )

    def save(self) -> None:
        if ranks.rank() == 0:
            state = {
                "policy": self.policy.state(),
                "step": self.step,
                "best": self.best,
                "best_step": self.best_step,
                "best_adapter": self.best_adapter,
                "solved": self.solved,
            }
            journal.keep(state, self.checkpoint)
        self.saved = time.monotonic()

    def close(self) -> None:
        if self.book is not None:
            self.book.close()


def reinforce(
    run: Reinforcement, stop: Callable[[float], bool] = lambda seconds: False
) -> Iterator[dict[str, Any]]:
    """Figures of each step, until all are done or `stop` says so, which hears how long
    a step took lately."""
    run.open()
    plan, longest = run.plan, 0.0
    if run.step == 0 and plan.dev and run.best < 0:
        look_at_dev(run)
    # More steps would only lead away from what the model was.
    while run.step < plan.steps and not run.solved and not stop(longest):
        began = time.monotonic()
        figures = one_step(run)
        run.step += 1
        if plan.dev and run.step % DEV_EVERY == 0:
            figures["dev"] = look_at_dev(run)
        seconds = time.monotonic() - began
        longest = max(seconds, 0.7 * longest)
        figures |= {"step": run.step, "of": plan.steps, "seconds": seconds}
        if ranks.rank() == 0:
            append(run.folder / "steps.jsonl", figures)
        if time.monotonic() - run.saved > SAVE_EVERY_S:
            run.save()
        yield figures
    run.save()
    run.close()


def one_step(run: Reinforcement) -> dict[str, Any]:
    plan, policy = run.plan, run.policy
    began = time.monotonic()
    tasks = chosen(plan, run.step)
    asked = run.judge.asked
    found = []
    place = (plan.seed, run.step)
    for each in measure.measure(
        policy.writer, run.judge, ranks.mine(tasks), plan.draw, plan.group, seed=place
    ):
        found.append(each)
        note(run, each)
    rolled = time.monotonic()
    lessons = taught(plan, run.step, found)
    near = anchors(policy.writer, place) if plan.learning.stay else None
    figures = learn(policy.trained, policy.optimiser, lessons, plan.learning, near)
    policy.refresh()
    done = time.monotonic()
    return told(found, figures) | {
        "rollout_s": rolled - began,
        "learn_s": done - rolled,
        "ran": run.judge.asked - asked,
    }


def chosen(plan: Plan, step: int) -> list[Task]:
    """The tasks of a step. In each round every task has one place in an order drawn anew;
    those at its end, too few for a step, sit this round out."""
    count = min(plan.tasks, len(plan.train))
    per_round = len(plan.train) // count
    turn, part = divmod(step, per_round)
    order = np.random.default_rng((plan.seed, turn)).permutation(len(plan.train))
    return [plan.train[n] for n in order[part * count : (part + 1) * count]]


def taught(plan: Plan, step: int, found: Sequence[measure.Measured]) -> list[Taught]:
    """Rollouts of the groups that differ in reward, each with its advantage."""
    rewards = [[float(j.reward or 0.0) for j in each.judged] for each in found]
    if plan.shuffle:  # over the whole step: what is left is nobody's merit
        flat = np.array([reward for group in rewards for reward in group])
        np.random.default_rng((plan.seed, step, ranks.rank(), 1)).shuffle(flat)
        ends = np.cumsum([len(group) for group in rewards])
        rewards = (
            [part.tolist() for part in np.split(flat, ends[:-1])] if len(ends) else []
        )
    lessons = []
    for each, group in zip(found, rewards, strict=True):
        if len(group) < 2 or max(group) == min(group):
            continue
        advantages = leave_one_out(torch.tensor([group]))[0].tolist()
        for rollout, advantage in zip(each.rollouts, advantages, strict=True):
            seed = seed_of(plan.seed, step, rollout.task, rollout.number, "views")
            lessons.append(
                Taught(
                    rollout=rollout,
                    advantage=advantage,
                    seed=seed,
                    weight=each.task.weight,
                )
            )
    return lessons


def told(found: Sequence[measure.Measured], figures: Figures) -> dict[str, Any]:
    """What a step came to, over all processes."""
    parts = ranks.gathered(
        [
            (each.reward, each.share, len({r.text for r in each.rollouts}), len(each.rollouts),
             len({j.reward for j in each.judged}) > 1, [j.fault for j in each.judged])
            for each in found
        ]
    )  # fmt: skip
    groups = [group for part in parts for group in part]
    faults = [fault for group in groups for fault in group[5]]
    count = max(1, len(groups))
    return {
        "reward": fmean([g[0] for g in groups] or [0.0]),
        "passed": fmean([g[1] for g in groups] or [0.0]),
        "distinct": sum(g[2] for g in groups) / max(1, sum(g[3] for g in groups)),
        "telling": sum(g[4] for g in groups) / count,
        "faults": {name: faults.count(name) for name in sorted(set(faults) - {""})},
    } | asdict(figures)


def look_at_dev(run: Reinforcement) -> float:
    """The pass rate on the dev tasks; the best adapter so far is kept."""
    plan = run.plan
    tasks = plan.dev[:DEV_TASKS]
    seed = (plan.seed, "dev")
    found = measure.measure_all(
        run.policy.writer, run.judge, tasks, plan.judge_draw, DEV_SAMPLES, seed=seed
    )
    rate = measure.pass_rate(found)
    run.solved = rate == 1 and sum(len(each.judged) for each in found) >= TELLING
    if rate >= run.best:
        run.best, run.best_step = rate, run.step
        run.best_adapter = dict(run.policy.state()["adapter"])
    return rate


def note(run: Reinforcement, found: measure.Measured) -> None:
    """Every rollout is kept, once: what a killed process wrote already comes again."""
    assert run.book is not None
    for rollout, judged in zip(found.rollouts, found.judged, strict=True):
        if (run.step, rollout.task, rollout.number) in run.noted:
            continue
        run.book.add(
            {
                "step": run.step,
                "task": rollout.task,
                "number": rollout.number,
                "text": rollout.text,
                "tokens": list(rollout.tokens),
                "judged": asdict(judged),
            }
        )


def append(path: Path, row: dict[str, Any]) -> None:
    book = journal.Journal(path)
    book.add(row)
    book.close()
