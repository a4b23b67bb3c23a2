"""Rewards: what a repository's own tests say of a fill, in a room.

Each distinct fill of a task is run once, whoever wrote it. Warm first; whatever passed a
test is run again cold, together with the tests that are held back, and only what holds
there counts. Three outcomes: a score, a policy fault (no reward), an infrastructure fault
(dropped: it says nothing about the fill). Must not know models or tokens.
"""

import ast
import hashlib
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
Key = tuple[str, str]  # task, and a fill or its shape


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
        """Of fills that differ in spaces and comments alone one is run for all."""
        before = text_of(self.tree, task.path)
        texts = {fill: filled(before, task, fill) for fill in fills}
        shapes = {fill: (task.id, shape(texts[fill])) for fill in fills}
        first: dict[Key, str] = {}
        for fill, key in shapes.items():
            if key[1] and key not in self.known:
                first.setdefault(key, fill)
        found = dict(zip(first, self._run(task, texts, [*first.values()]), strict=True))
        self.known |= {k: j for k, j in found.items() if j.reward is not None}
        wrong = Judged(reward=0.0, fault="syntax")
        return [
            (found.get(key) or self.known[key]) if key[1] else wrong
            for key in shapes.values()
        ]

    def _run(self, task: Task, texts: dict[str, str], fills: list[str]) -> list[Judged]:
        def candidate(
            fill: str, tests: tuple[str, ...], more_s: float = 0.0
        ) -> Candidate:
            return Candidate(
                path=task.path,
                text=texts[fill],
                node_ids=tests,
                timeout_s=task.timeout_s + more_s,
            )

        outcomes = self.room.evaluate([candidate(f, task.tests) for f in fills])
        self.asked += len(fills)
        judged = [graded(outcome, task) for outcome in outcomes]
        paid = [
            n
            for n, warm in enumerate(judged)
            if warm.reward is not None and warm.reward > PARSES
        ]
        tests = task.tests + task.held_back
        colds = self.room.confirm_all(
            [candidate(fills[n], tests, STARTING_S) for n in paid]
        )
        for n, cold in zip(paid, colds, strict=True):
            judged[n] = confirmed(judged[n], cold, task)
        return judged

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)


def shape(text: str) -> str:
    """The same for texts that Python reads alike, and no fill; empty when it cannot."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of candidates, none of our business
            read = ast.dump(ast.parse(text))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ""
    return "\0" + hashlib.sha256(read.encode(errors="surrogatepass")).hexdigest()
