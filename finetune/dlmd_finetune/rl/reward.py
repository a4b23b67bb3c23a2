"""Rewards: what a repository's own tests say of a fill, in a room.

Each distinct fill of a task is run once, whoever wrote it. Warm first; whatever passed a
test is run again cold, together with the tests that are held back, and only what holds
there counts. Three outcomes: a score, a policy fault (no reward), an infrastructure fault
(dropped: it says nothing about the fill). Must not know models or tokens.
"""

import ast
import warnings
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from dlmd_finetune.sandbox.room import (
    Candidate,
    InfraFault,
    Outcome,
    PolicyFault,
    Room,
    Score,
)
from dlmd_finetune.tasks.task import Task, filled, text_of

PARSES, SHARE, ALL = 0.05, 0.55, 0.4
STARTING_S = (
    30.0  # a cold run starts Python and collects, on a machine that may be busy
)
Key = tuple[str, str]  # task, fill


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """`reward` None: nobody could say. `passed`: all tests, those held back too."""

    reward: float | None
    passed: bool = False
    fault: str = ""  # "", "syntax", "policy", "audit", "unsteady", "infrastructure"
    reason: str = ""


def graded(outcome: Outcome, task: Task) -> Judged:
    """A fill that parses, some of the tests, all of them: each is worth something."""
    if isinstance(outcome, InfraFault):
        return Judged(reward=None, fault="infrastructure", reason=outcome.reason)
    if isinstance(outcome, PolicyFault):
        return Judged(reward=0.0, fault="policy", reason=outcome.reason)
    right = len(set(outcome.passed) & set(task.tests))
    whole = right == len(set(task.tests))
    share = right / max(1, len(set(task.tests)))
    return Judged(reward=PARSES + SHARE * share + ALL * whole, passed=whole)


def confirmed(warm: Judged, cold: Outcome, task: Task) -> Judged:
    """What holds in a fresh process, of what was seen in a warm one."""
    again = graded(cold, task)
    if again.reward is None or again.fault:
        return again
    assert isinstance(cold, Score) and warm.reward is not None
    if again.passed and set(task.held_back) - set(cold.passed):
        return Judged(reward=0.0, fault="audit", reason="a held back test fails")
    if again.reward < warm.reward:  # some runs pass, some do not: the lower one counts
        return Judged(reward=again.reward, passed=False, fault="unsteady")
    return warm


@dataclass(slots=True)
class Judge:
    """Asks one room, from one thread; remembers every answer but the room's own faults."""

    room: Room
    tree: Path
    known: dict[Key, Judged] = field(default_factory=dict)
    asked: int = 0  # candidates that were run
    _pool: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="judge")
    )

    def submit(self, task: Task, fills: Iterable[str]) -> Future[dict[str, Judged]]:
        """The verdicts by fill, while the caller goes on decoding."""
        return self._pool.submit(self.judge, task, list(fills))

    def judge(self, task: Task, fills: Iterable[str]) -> dict[str, Judged]:
        distinct = dict.fromkeys(fills)
        fresh = [fill for fill in distinct if (task.id, fill) not in self.known]
        found = dict(zip(fresh, self._fresh(task, fresh), strict=True))
        for fill, judged in found.items():
            if judged.reward is not None:
                self.known[task.id, fill] = judged
        return {f: found[f] if f in found else self.known[task.id, f] for f in distinct}

    def _fresh(self, task: Task, fills: list[str]) -> list[Judged]:
        before = text_of(self.tree, task.path)
        texts = {fill: filled(before, task, fill) for fill in fills}
        sound = [fill for fill in fills if parses(texts[fill])]

        def candidate(
            fill: str, tests: tuple[str, ...], more_s: float = 0.0
        ) -> Candidate:
            return Candidate(
                path=task.path,
                text=texts[fill],
                node_ids=tests,
                timeout_s=task.timeout_s + more_s,
            )

        outcomes = self.room.evaluate([candidate(f, task.tests) for f in sound])
        self.asked += len(sound)
        judged = {
            fill: graded(outcome, task)
            for fill, outcome in zip(sound, outcomes, strict=True)
        }
        for fill, warm in judged.items():
            if warm.reward is not None and warm.reward > PARSES:
                tests = task.tests + task.held_back
                cold = self.room.confirm(candidate(fill, tests, STARTING_S))
                judged[fill] = confirmed(warm, cold, task)
        wrong = Judged(reward=0.0, fault="syntax")
        return [judged.get(fill, wrong) for fill in fills]

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)


def parses(text: str) -> bool:
    """Whether Python would read it; a look that costs no room."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of candidates, none of our business
            ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True
