"""The one thread that owns the device: queue, priorities, step(), cancel, supersede.

`step()` ends what must end, then advances one request by one frame; `run()` loads the
model and calls it until `stop()`. Everything else may be called from any thread and takes
effect between two steps, never inside one. Each accepted request ends exactly once.
Must not know sockets, asyncio, torch or how a frame comes about: that is the Backend's.
"""

import itertools
import threading
import time
from collections.abc import Callable, Generator, Hashable
from typing import Protocol, TypedDict

import msgspec

from dlmd.serve.job import Emit, Frame, Job, explained, result, shown
from dlmd.wire.protocol import Code, Failure, Infill, Result, State, Status

MAX_OPEN = 256  # requests of all clients together
STATUS_EVERY_S = 0.1  # while loading
Key = tuple[Hashable, str]


class Description(TypedDict):
    model: str
    profile: str
    device: str


class Backend(Protocol):
    """What computes. Called on the engine's thread only, except describe()."""

    def load(self, progress: Callable[[int, int], None]) -> None: ...
    def describe(self) -> Description: ...
    def infill(self, request: Infill) -> Generator[Frame, None, None]: ...


class _Stopped(Exception):
    """Leaves Backend.load() when stop() was called meanwhile."""


class Engine:
    def __init__(
        self,
        backend: Backend,
        *,
        on_status: Callable[[Status], None] | None = None,
        max_open: int = MAX_OPEN,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._backend = backend
        self._listeners = [on_status] if on_status else []
        self._max_open = max_open
        self._clock = clock
        # Guards everything below. Re-entrant, so that a listener may ask for the status.
        self._changed = threading.Condition()
        self._jobs: dict[Key, Job] = {}  # in order of arrival
        self._numbers = itertools.count(1)
        self._last_turn: dict[Hashable, int] = {}
        self._stop_at: float | None = None  # stopping: when patience ends
        self._status = Status(phase="loading", **backend.describe())

    # ---- any thread

    @property
    def status(self) -> Status:
        with self._changed:
            return self._status

    def watch(self, listener: Callable[[Status], None]) -> None:
        """Tell `listener` every change of status, on whatever thread it happens."""
        with self._changed:
            self._listeners.append(listener)

    def submit(self, client: Hashable, request: Infill, emit: Emit) -> None:
        """Queue a request. A refusal is emitted here, everything else by the engine."""
        with self._changed:
            assert (client, request.id) not in self._jobs, (
                "the session lets no id twice"
            )
            if request.supersedes is not None:
                self._end_soon(
                    (client, request.supersedes),
                    "superseded",
                    f"request {request.supersedes} was replaced by {request.id}",
                )
            refusal = self._refusal(request)
            if refusal is None:
                self._jobs[client, request.id] = Job(
                    client=client,
                    request=request,
                    emit=emit,
                    number=next(self._numbers),
                    arrived=self._clock(),
                )
                self._changed.notify_all()
        if refusal is not None:
            emit(refusal)

    def cancel(self, client: Hashable, id: str) -> None:
        with self._changed:
            self._end_soon((client, id), "cancelled", f"request {id} was cancelled")

    def drop(self, client: Hashable) -> None:
        """The client is gone: end its requests and tell nobody."""
        with self._changed:
            for key, job in self._jobs.items():
                if job.client == client:
                    job.emit = _discard
                    self._end_soon(key, "cancelled", "the client is gone")

    def stop(self, grace_s: float = 2.0) -> None:
        """Take no more requests; those begun have `grace_s` to finish, the rest fail now."""
        with self._changed:
            if self._stop_at is None:
                self._stop_at = self._clock() + grace_s
            for key, job in self._jobs.items():
                if job.frames is None:
                    self._end_soon(key, "shutting_down", SHUTTING_DOWN)
            self._publish(self._status, phase="stopping", detail="")
            self._changed.notify_all()

    # ---- the engine's thread

    def run(self) -> None:
        """The thread's body: load, then serve until stop()."""
        self.load()
        while self._wait_for_work():
            self.step()

    def load(self) -> None:
        started = last = self._clock()

        def progress(done: int, total: int) -> None:
            nonlocal last
            self._sweep()  # a request that waits for the model may be cancelled meanwhile
            if self._stop_at is not None:
                raise _Stopped
            now = self._clock()
            if now - last >= STATUS_EVERY_S or done in (0, total):
                last = now
                eta = (now - started) * (total - done) / done if done else None
                counts = {"bytes_done": done, "bytes_total": total, "eta_s": eta}
                self._publish(self.status, **counts)

        try:
            self._backend.load(progress)
        except _Stopped:
            self._sweep()
        except Exception as error:
            self._load_failed(error)
        else:
            self._publish(Status(phase="ready", **self._backend.describe()))

    def step(self) -> bool:
        """End what must end, then advance one request by one frame. False: no work."""
        swept = self._sweep()
        job = self._next()
        if job is None:
            self._rest()
            return swept
        self._publish(self.status, phase="busy")
        self._advance(job)
        self._rest()
        return True

    def _advance(self, job: Job) -> None:
        try:
            if job.frames is None:
                job.frames = self._backend.infill(job.request)
            frame = next(job.frames, None)
            assert frame is not None, "the backend ended without a final frame"
        except Exception as error:
            self._finish(job, explained(job.request.id, error))
            return
        if job.first_state is None:
            job.first_state = self._clock()
        job.newest[frame.candidate] = frame
        if job.request.stream:
            job.emit(shown(job.request.id, frame))
        if job.done():
            self._finish(job, result(job, self._clock()))

    def _sweep(self) -> bool:
        """Carry out what was asked for since the last step, and deadlines."""
        now = self._clock()
        with self._changed:
            ends = [
                (job, job.ending or self._overdue(job, now))
                for job in self._jobs.values()
            ]
        for job, failure in ends:
            if failure is not None:
                self._finish(job, failure)
        return any(failure is not None for _, failure in ends)

    def _finish(self, job: Job, end: Result | Failure) -> None:
        with self._changed:
            del self._jobs[job.client, job.request.id]
            if all(other.client != job.client for other in self._jobs.values()):
                self._last_turn.pop(job.client, None)
        if job.frames is not None:
            job.frames.close()
        job.emit(end)

    def _next(self) -> Job | None:
        """Interactive before batch, then the client served longest ago, then the oldest."""
        with self._changed:
            job = min(self._jobs.values(), key=self._rank, default=None)
            if job is not None:
                self._last_turn[job.client] = next(self._numbers)
            return job

    def _rank(self, job: Job) -> tuple[bool, int, int]:
        batch = job.request.priority == "batch"
        return batch, self._last_turn.get(job.client, 0), job.number

    def _wait_for_work(self) -> bool:
        with self._changed:
            while not self._jobs and self._stop_at is None:
                self._changed.wait()
            return bool(self._jobs)

    def _load_failed(self, error: Exception) -> None:
        failure = explained("", error)
        with self._changed:
            self._publish(
                self._status, phase="failed", detail=failure.message, fix=AFTER_FAILURE
            )
            for key in self._jobs:
                self._end_soon(key, "model", failure.message)
        self._sweep()

    # ---- under the lock

    def _refusal(self, request: Infill) -> Failure | None:
        waiting = sum(job.ending is None for job in self._jobs.values())
        if self._stop_at is not None:
            return Failure(id=request.id, code="shutting_down", message=SHUTTING_DOWN)
        if self._status.phase == "failed":
            return Failure(id=request.id, code="model", message=self._status.detail)
        if waiting >= self._max_open:
            message = (
                f"{waiting} requests wait for the model, expected at most "
                f"{self._max_open}; try again when some have ended"
            )
            return Failure(id=request.id, code="busy", message=message)
        return None

    def _end_soon(self, key: Key, code: Code, message: str) -> None:
        job = self._jobs.get(key)
        if job is not None and job.ending is None:
            job.ending = Failure(id=job.request.id, code=code, message=message)
            self._changed.notify_all()

    def _overdue(self, job: Job, now: float) -> Failure | None:
        id, deadline_ms = job.request.id, job.request.deadline_ms
        if self._stop_at is not None and now >= self._stop_at:
            return Failure(id=id, code="shutting_down", message=SHUTTING_DOWN)
        if deadline_ms is not None and (now - job.arrived) * 1000 >= deadline_ms:
            message = (
                f"request {id} was not done within its {deadline_ms} ms; "
                "allow more time or ask for fewer steps"
            )
            return Failure(id=id, code="deadline", message=message)
        return None

    def _rest(self) -> None:
        with self._changed:
            if not self._jobs and self._status.phase == "busy":
                self._publish(self._status, phase="ready")

    def _publish(self, status: Status, **changes: object) -> None:
        with self._changed:
            after = msgspec.structs.replace(status, **changes)
            if self._status.phase == "stopping" or after == self._status:
                return
            self._status = after
            for listener in self._listeners:
                listener(after)


SHUTTING_DOWN = "the daemon is stopping; start it again with `dlmd serve`"
AFTER_FAILURE = "mend that, then `dlmd stop` and start again"


def _discard(message: State | Result | Failure) -> None:
    """The emit of a client that is gone."""
