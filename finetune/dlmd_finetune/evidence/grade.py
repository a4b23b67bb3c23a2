"""Answers to outcomes: each program run in a room, each result put in the ledger once.

A task may be answered several times; each of these samples has its own row, but programs that
are alike run once. The model answers on this thread while programs run on a few others, which
only wait for processes. A fault of the room is tried again and then left out of the ledger, so
that it is no score and a later run tries it once more. Must not know models or scores.
"""

import platform
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass
from typing import Any

from dlmd_finetune.evidence.answers import Answerer
from dlmd_finetune.evidence.ledger import Ledger, Row, key_of, whole
from dlmd_finetune.evidence.tasks import Task, counted
from dlmd_finetune.sandbox import Outcome, Room

TRIES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """How programs are run, whoever wrote them."""

    room: Room
    name: str
    timeout_s: float
    memory_mb: int
    workers: int

    @property
    def identity(self) -> dict[str, Any]:
        return {
            "sandbox": self.name,
            "timeout_s": self.timeout_s,
            "memory_mb": self.memory_mb,
            "python": platform.python_version(),
        }

    def run(self, source: str, after: str) -> Outcome:
        limits = {"timeout_s": self.timeout_s, "memory_mb": self.memory_mb}
        for _ in range(TRIES):
            outcome = self.room(source, checks=after, **limits)
            if outcome.kind != "infrastructure":
                break
        return outcome


def result_key(task: Task, answerer: Answerer, bench: Bench, number: int = 0) -> str:
    return key_of(asdict(task), answerer.identity, bench.identity, number)


def grade(
    tasks: Sequence[Task],
    answerer: Answerer,
    bench: Bench,
    ledger: Ledger,
    samples: int = 1,
) -> Iterator[Row]:
    """A row for each sample of each task, in the order of their ends; those known already
    come first."""
    missing: list[tuple[Task, dict[int, str]]] = []
    for task in tasks:
        keys = {n: result_key(task, answerer, bench, n) for n in range(samples)}
        for key in keys.values():
            if key in ledger.rows:
                yield whole(ledger.rows[key], ledger.path)
        unknown = {n: key for n, key in keys.items() if key not in ledger.rows}
        if unknown:
            missing.append((task, unknown))
    pool = ThreadPoolExecutor(bench.workers)
    pending: dict[Future[Outcome], list[Row]] = {}
    begun: dict[tuple[str, str], Future[Outcome]] = {}  # of the task at hand
    try:
        for task, keys in missing:
            begun.clear()
            answers = answerer.answer(task, list(keys))
            for (n, key), answer in zip(keys.items(), answers, strict=True):
                source = answerer.program(task, counted(task, answer.text))
                alike = (source, task.checks)
                if alike not in begun:
                    begun[alike] = pool.submit(bench.run, *alike)
                about = {"key": key, "task": task.task_id, "sample": n}
                row = about | {"problem": task.problem} | asdict(answer)
                pending.setdefault(begun[alike], []).append(row)
                yield from _settle(pending, ledger, leave=2 * bench.workers)
        yield from _settle(pending, ledger, leave=0)
    finally:
        pool.shutdown(cancel_futures=True)


def _settle(
    pending: dict[Future[Outcome], list[Row]], ledger: Ledger, *, leave: int
) -> Iterator[Row]:
    while pending:
        timeout = None if len(pending) > leave else 0
        done, _ = wait(pending, timeout=timeout, return_when=FIRST_COMPLETED)
        if not done:
            return
        for future in done:
            outcome = future.result()
            for about in pending.pop(future):
                row = about | asdict(outcome)
                if outcome.kind != "infrastructure":
                    ledger.add(row)
                yield row
