"""The one thread that owns the device: step(), cancel, supersede, pins, loans, adapters.

`step()` ends what must end, then carries out one command or advances one request by one
frame; `run()` loads the model and calls it until `stop()`. Everything else may be called
from any thread and takes effect between two steps, never inside one. Each accepted request
ends exactly once. Must not know sockets, asyncio, torch or how a frame comes about: that
is the Backend's.
"""

import gc
import math
import threading
import time
from collections.abc import Callable, Hashable
from functools import partial

from dlmd.serve.board import Board
from dlmd.serve.job import (
    SHUTTING_DOWN,
    Emit,
    Frame,
    Job,
    discard,
    explained,
    pinned,
    result,
    shown,
    stopped,
    too_late,
    too_many,
    wrong_model,
)
from dlmd.serve.orders import Order, Orders
from dlmd.serve.queue import Queue, adapter_of
from dlmd.serve.resident import (
    Backend,
    Description,
    LoadingUnwanted,
    Resident,
    Unwanted,
)
from dlmd.wire.protocol import (
    Code,
    Command,
    Failure,
    Infill,
    Pin,
    Result,
    Status,
)

__all__ = ["SHUTTING_DOWN", "Backend", "Description", "Engine"]

MAX_OPEN = 256  # requests of all clients together
STATUS_EVERY_S = 0.1  # of the length of the queue
SETTLE_S = 0.05  # without work before the status says so: not between any two requests
RETRY_S = 10.0  # between two tries to load a model


class Engine:
    def __init__(
        self,
        backend: Backend,
        *,
        on_status: Callable[[Status], None] | None = None,
        max_open: int = MAX_OPEN,
        keep_alive: str | float = "30m",
        adapter: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_open = max_open
        self._clock = clock
        self._told_at = -math.inf
        # Guards everything below. Re-entrant, so that a listener may ask for the status.
        self._changed = threading.Condition()
        first = Status(phase="loading", adapter=adapter, **backend.describe())
        self._board = Board(self._changed, first)
        self._queue = Queue()
        self._stop_at: float | None = None  # stopping: when patience ends
        self._resident = Resident(
            backend, self._board, keep_alive=keep_alive, adapter=adapter, clock=clock
        )
        self._orders = Orders(
            self._changed, self._board, self._queue, self._resident, self._between
        )
        self._end_listeners: list[Callable[[Job, Result | Failure], None]] = []
        if on_status is not None:
            self.watch(on_status)

    # ---- any thread

    @property
    def status(self) -> Status:
        return self._board.status

    def watch(self, listener: Callable[[Status], None]) -> None:
        """Tell `listener` every change of status, on whatever thread it happens."""
        self._board.watch(listener)

    def watch_ends(self, listener: Callable[[Job, Result | Failure], None]) -> None:
        """Tell `listener` how each accepted request ended, on the engine's thread."""
        with self._changed:
            self._end_listeners.append(listener)

    def count(self, text: str) -> int:
        """Tokens of a text; 0 while no model is loaded."""
        return self._resident.backend.count(text)

    def submit(
        self,
        client: Hashable,
        request: Infill,
        emit: Emit,
        *,
        party: Hashable = None,
    ) -> None:
        """Queue a request. A refusal is emitted here, everything else by the engine.

        Parties take turns, then the clients of each; most clients are a party alone."""
        job = Job(
            client=client,
            party=client if party is None else party,
            request=request,
            emit=emit,
            arrived=self._clock(),
            adapter=request.adapter,
        )
        with self._changed:
            assert job.key not in self._queue, "the session lets no id twice"
            if request.supersedes is not None:
                older = self._queue.get((client, request.supersedes))
                message = f"request {request.supersedes} was replaced by {request.id}"
                self._end_soon(older, "superseded", message)
            refusal = self._refusal(job)
            if refusal is None:
                self._queue.add(job)
                self._changed.notify_all()
        if refusal is not None:
            emit(refusal)

    def pin(self, client: Hashable, pin: Pin) -> None:
        """Keep what the user typed, from the next step on."""
        with self._changed:
            job = self._queue.get((client, pin.id))
            if job is not None:
                job.pins[pin.hole] = pin

    def cancel(self, client: Hashable, id: str) -> None:
        with self._changed:
            job = self._queue.get((client, id))
            self._end_soon(job, "cancelled", f"request {id} was cancelled")

    def command(self, client: Hashable, command: Command, emit: Emit) -> None:
        """Carry out a command between two steps, and emit how it ended."""
        order = Order(client=client, command=command, emit=emit, arrived=self._clock())
        with self._changed:
            self._orders.add(order)
            self._changed.notify_all()

    def drop(self, client: Hashable) -> None:
        """The client is gone: end its requests and its loan, and tell nobody."""
        with self._changed:
            for job in self._queue.of(client):
                job.emit = discard
                self._end_soon(job, "cancelled", "the client is gone")
            self._orders.drop(client)

    def stop(self, grace_s: float = 2.0) -> None:
        """Take no more requests; those begun have `grace_s` to finish, the rest fail now."""
        with self._changed:
            if self._stop_at is None:
                self._stop_at = self._clock() + grace_s
            for job in self._queue:
                if job.frames is None:
                    self._end_soon(job, "shutting_down", SHUTTING_DOWN)
            self._board.enter("stopping")
            self._changed.notify_all()

    # ---- the engine's thread

    def run(self) -> None:
        """The thread's body: load, then serve until stop()."""
        self.load()
        # What is here now stays: without it full collections are quick and come soon, and
        # connections that broke off do not pile up until then.
        gc.collect()
        gc.freeze()
        gc.set_threshold(500, 5, 2)
        while not self._over():
            if self._wait(SETTLE_S):
                self.step()
            else:
                self._sweep()
                due = self._rest()
                if not self._resident.warm():
                    self._wait(due)

    def load(self) -> None:
        """Bring the weights to the device. The status tells how far it is, or why not."""
        self._orders.load()
        self._sweep()

    def _between(self) -> None:
        """While weights are read: requests may be cancelled, or all of it be unwanted."""
        self._sweep()
        with self._changed:
            if self._stop_at is not None or self._orders.coming:
                raise LoadingUnwanted

    def step(self) -> bool:
        """End what must end, then carry out one command or advance one request by one frame.
        False: there is no work."""
        swept = self._sweep()
        if self._orders.obey(self._clock(), stopping=self._stop_at is not None):
            return True
        job = self._next()
        if job is None:
            self._rest()
            return swept
        if not self._resident.loaded:
            self.load()
            return True
        self._resident.work()
        self._tell_work()
        self._advance(job)
        return True

    def _advance(self, job: Job) -> None:
        if job.frames is None and self._misses(job):  # the model changed meanwhile
            self._finish(job, wrong_model(job.request, self.status.model))
            return
        try:
            frame = self._frame(job)
        except Unwanted:
            return  # whatever was said about it ends it now
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

    def _frame(self, job: Job) -> Frame:
        with self._changed:
            # What begins now keeps this adapter, whatever is put in force later.
            job.adapter = adapter = adapter_of(job, self._resident.in_force)
        self._resident.use_adapter(adapter)
        pin = None
        if job.frames is not None:
            pin = job.take_pin()
        else:  # what is pinned from here on waits: a generator takes nothing at its start
            with self._changed:
                self._queue.begin(job)
                request = pinned(job.request, job.take_pins())
            job.frames = self._resident.backend.infill(
                request, partial(self._wanted, job)
            )
        frame = next(job.frames, None) if pin is None else job.frames.send(pin)
        assert frame is not None, "the backend ended without a final frame"
        return frame

    def _wanted(self, job: Job) -> bool:
        """Whether it goes on, as far as can be told without the lock."""
        now = self._clock()
        late = job.deadline is not None and job.deadline <= now
        over = self._stop_at is not None and self._stop_at <= now
        return not (late or over or job.ending is not None)

    def _sweep(self) -> bool:
        """Carry out what was asked for since the last step, and deadlines."""
        now = self._clock()
        with self._changed:
            late = [(job, too_late(job)) for job in self._queue.take_overdue(now)]
            ends = [(job, job.ending) for job in self._queue.take_ending()] + late
            if self._stop_at is not None and now >= self._stop_at:
                ends += [(job, stopped(job.request.id)) for job in self._queue]
        for job, failure in ends:
            assert failure is not None
            self._finish(job, failure)
        return bool(ends)

    def _finish(self, job: Job, end: Result | Failure) -> None:
        with self._changed:
            if job.ended:
                return
            self._queue.remove(job)
        if job.frames is not None:
            job.frames.close()
            self._resident.kept(job.request)
        job.emit(end)
        for listener in self._end_listeners:
            listener(job, end)

    def _next(self) -> Job | None:
        with self._changed:
            if self._orders.loans:
                return None
            # While a command waits for what has begun, nothing else begins.
            return self._queue.pick(
                self._resident.adapter,
                self._resident.in_force,
                begun_only=bool(self._orders),
            )

    # ---- waiting

    def _over(self) -> bool:
        with self._changed:
            return self._stop_at is not None and not self._queue and not self._orders

    def _wait(self, timeout: float | None) -> bool:
        """Whether there is work, now or within `timeout`."""
        with self._changed:
            if not self._has_work():
                self._changed.wait(timeout)
            return self._has_work()

    def _has_work(self) -> bool:
        if self._stop_at is not None or self._queue.ending or self._orders:
            return True
        return bool(self._queue) and not self._orders.loans

    def _rest(self) -> float | None:
        """Say that there is no work, and let idle weights go; seconds until something is due."""
        self._resident.rest()
        with self._changed:
            due = [self._queue.next_deadline, self._resident.leave_at, self._stop_at]
        now = self._clock()
        return min((max(0.0, at - now) for at in due if at is not None), default=None)

    def _tell_work(self) -> None:
        now = self._clock()
        if self.status.phase != "busy" or now - self._told_at >= STATUS_EVERY_S:
            self._told_at = now
            self._board.update(phase="busy", queue=len(self._queue), until=None)

    # ---- under the lock

    def _refusal(self, job: Job) -> Failure | None:
        id, status = job.request.id, self._board.status
        if self._stop_at is not None:
            return stopped(id)
        if self._misses(job):
            return wrong_model(job.request, status.model)
        tried_s = self._clock() - self._resident.failed_at
        if status.phase == "failed" and tried_s < RETRY_S:
            return Failure(id=id, code="model", message=status.detail)
        if job.request.priority == "interactive":
            loans, coming = self._orders.loans, self._orders.coming
            if loans or coming:
                return loans.refusal(id, *coming)
        if self._queue.waiting >= self._max_open:
            return too_many(id, self._queue.waiting, self._max_open)
        return None

    def _misses(self, job: Job) -> bool:
        ours = self._board.status.model, self._board.status.profile
        return job.request.model not in (None, *ours)

    def _end_soon(self, job: Job | None, code: Code, message: str) -> None:
        if job is not None:
            end = Failure(id=job.request.id, code=code, message=message)
            if self._queue.end_soon(job, end):
                self._changed.notify_all()
