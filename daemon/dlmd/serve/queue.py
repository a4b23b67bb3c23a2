"""The requests that have not ended, and whose turn it is.

Interactive before batch, then the party served longest ago, of it the client served longest
ago, of that the oldest; what has begun under one adapter ends before the weights change to another. Not thread-safe: the
engine holds its lock. Must not know how a request is computed, or clocks.
"""

import heapq
import itertools
from collections import Counter
from collections.abc import Hashable, Iterator

from msgspec import UnsetType

from dlmd.serve.job import Job
from dlmd.wire.protocol import Failure

Key = tuple[Hashable, str]


class Queue:
    def __init__(self) -> None:
        self._jobs: dict[Key, Job] = {}  # in order of arrival
        # By priority, then by client; the first priority goes first.
        self._lanes: dict[str, dict[Hashable, dict[int, Job]]] = {
            "interactive": {},
            "batch": {},
        }
        self._begun: dict[int, Job] = {}
        self._last_turn: dict[Hashable, int] = {}  # of clients and parties
        self._open: Counter[Hashable] = Counter()  # requests of each
        self._numbers = itertools.count(1)
        self._ending: list[Job] = []
        self._deadlines: list[tuple[float, int, Job]] = []  # a heap, ended ones in it

    def __len__(self) -> int:
        return len(self._jobs)

    def __iter__(self) -> Iterator[Job]:
        return iter(list(self._jobs.values()))

    def __contains__(self, key: Key) -> bool:
        return key in self._jobs

    def of(self, client: Hashable) -> list[Job]:
        lanes = [lane.get(client, {}) for lane in self._lanes.values()]
        return [job for lane in lanes for job in lane.values()]

    def get(self, key: Key) -> Job | None:
        return self._jobs.get(key)

    def add(self, job: Job) -> None:
        job.number = next(self._numbers)
        self._jobs[job.key] = job
        self._lanes[job.request.priority].setdefault(job.client, {})[job.number] = job
        self._open.update({job.client, job.party})
        if job.deadline is not None:
            heapq.heappush(self._deadlines, (job.deadline, job.number, job))
            if len(self._deadlines) > 2 * len(self._jobs) + 64:
                left = [entry for entry in self._deadlines if not entry[2].ended]
                heapq.heapify(left)
                self._deadlines = left

    def remove(self, job: Job) -> None:
        job.ended = True
        del self._jobs[job.key]
        self._begun.pop(job.number, None)
        lane = self._lanes[job.request.priority]
        del lane[job.client][job.number]
        if not lane[job.client]:
            del lane[job.client]
        for who in {job.client, job.party}:
            self._open[who] -= 1
            if not self._open[who]:
                del self._open[who]
                self._last_turn.pop(who, None)

    # ---- ends to come

    def end_soon(self, job: Job | None, failure: Failure) -> bool:
        """Mark a job to be ended between two steps; False: it is already ending."""
        if job is None or job.ending is not None:
            return False
        job.ending = failure
        self._ending.append(job)
        return True

    def take_ending(self) -> list[Job]:
        ending, self._ending = self._ending, []
        return [job for job in ending if not job.ended]

    def take_overdue(self, now: float) -> list[Job]:
        overdue = []
        while self._deadlines and self._deadlines[0][0] <= now:
            job = heapq.heappop(self._deadlines)[2]
            if not job.ended:
                overdue.append(job)
        return overdue

    @property
    def waiting(self) -> int:
        return len(self._jobs) - len(self._ending)

    @property
    def ending(self) -> bool:
        return bool(self._ending)

    @property
    def next_deadline(self) -> float | None:
        return self._deadlines[0][0] if self._deadlines else None

    # ---- turns

    def begin(self, job: Job) -> None:
        self._begun[job.number] = job

    def begun(self, priority: str | None = None) -> list[Job]:
        jobs = self._begun.values()
        return [job for job in jobs if priority in (None, job.request.priority)]

    def set_back(self, job: Job) -> None:
        """As if it had not begun."""
        self._begun.pop(job.number, None)

    def pick(
        self, resident: str | None, in_force: str | None, *, begun_only: bool = False
    ) -> Job | None:
        """Whose turn it is; `resident` is the adapter in the weights, `in_force` that of
        requests which name none."""
        for priority, lane in self._lanes.items():
            begun = self.begun(priority)
            ready = (
                begun if begun_only else [next(iter(x.values())) for x in lane.values()]
            )
            job = min(ready, key=self._rank, default=None)
            if job is None:
                continue
            if adapter_of(job, in_force) != resident:
                staying = [b for b in begun if adapter_of(b, in_force) == resident]
                job = min(staying, key=self._rank, default=job)
            turn = next(self._numbers)
            self._last_turn[job.party] = self._last_turn[job.client] = turn
            return job
        return None

    def _rank(self, job: Job) -> tuple[int, int, int]:
        last = self._last_turn
        return last.get(job.party, 0), last.get(job.client, 0), job.number


def adapter_of(job: Job, in_force: str | None) -> str | None:
    """A request keeps the adapter that it began with."""
    return in_force if isinstance(job.adapter, UnsetType) else job.adapter
