"""Commands on their way to the engine, and loans of the device to other jobs.

Carried out between two steps, one after the other. Fields are guarded by the engine's
lock; obey() is called on its thread. Must not know clients' sockets or how turns are taken.
"""

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

from dlmd.serve.board import Board
from dlmd.serve.job import Emit, discard, explained, stopped
from dlmd.serve.queue import Queue
from dlmd.serve.resident import Resident
from dlmd.wire.protocol import (
    Command,
    Failure,
    Result,
    Sleep,
    Usage,
    UseAdapter,
    UseModel,
    Wake,
)

LASTING = object()  # holds the loans that outlive the connection which asked for them
# How long what has begun may go on before a command is carried out regardless.
PATIENCE_S: dict[type, float] = {Sleep: 2.0, UseAdapter: 1.0, UseModel: 2.0}


@dataclass(slots=True)
class Loans:
    """Who has borrowed the device; it is lent while there is one."""

    _by: dict[Hashable, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self._by)

    @property
    def to(self) -> str:
        return ", ".join(dict.fromkeys(self._by.values()))

    def lend(self, client: Hashable, sleep: Sleep) -> None:
        self._by[LASTING if sleep.lasting else client] = sleep.by or "another job"

    def give_back(self, client: Hashable, *, lasting: bool) -> bool:
        """Whether this ended the last loan."""
        before = bool(self._by)
        self._by.pop(client, None)
        if lasting:
            self._by.pop(LASTING, None)
        return before and not self._by

    def refusal(self, id: str, *coming: str) -> Failure:
        to = self.to or ", ".join(filter(None, coming)) or "another job"
        message = f"the device is lent to {to}; ask again when that has ended"
        return Failure(id=id, code="busy", message=message)


@dataclass(slots=True, kw_only=True, eq=False)
class Order:
    """One command between its arrival and its end."""

    client: Hashable
    command: Command
    emit: Emit
    arrived: float
    gone: bool = False  # nobody waits for it any more

    def waits(self, queue: Queue, loans: Loans, now: float) -> bool:
        """Whether what has begun goes first."""
        patience_s = PATIENCE_S.get(type(self.command), 0.0)
        if self.gone or loans or now >= self.arrived + patience_s:
            return False
        if isinstance(self.command, UseAdapter):
            begun = queue.begun("interactive")
            return any(job.adapter != self.command.adapter for job in begun)
        return bool(queue.begun())


class Orders:
    def __init__(
        self,
        lock: threading.Condition,
        board: Board,
        queue: Queue,
        resident: Resident,
        between: Callable[[], None],
    ) -> None:
        self.loans = Loans()
        self._lock = lock
        self._board = board
        self._queue = queue
        self._resident = resident
        self._between = between  # called now and then while weights are read
        self._orders: deque[Order] = deque()

    # ---- under the lock

    def __bool__(self) -> bool:
        return bool(self._orders)

    def add(self, order: Order) -> None:
        self._orders.append(order)

    def drop(self, client: Hashable) -> None:
        for order in self._orders:
            if order.client == client:
                order.gone, order.emit = True, discard
        self._give_back(client, lasting=False)

    @property
    def coming(self) -> list[str]:
        """Who is about to borrow the device."""
        orders = (order.command for order in self._orders if not order.gone)
        return [order.by for order in orders if isinstance(order, Sleep)]

    def _give_back(self, client: Hashable, *, lasting: bool) -> None:
        if self.loans.give_back(client, lasting=lasting):
            self._board.enter("idle")
            self._lock.notify_all()
        elif self.loans:
            self._board.update(lent_to=self.loans.to)

    # ---- the engine's thread

    def load(self, *, fail: bool = True) -> None:
        """Bring the weights; the status tells what came of it, and where they cannot be
        had, those who wait for them."""
        why = self._resident.load(self._between)
        if why and fail:
            with self._lock:
                for job in self._queue:
                    end = Failure(id=job.request.id, code="model", message=why)
                    self._queue.end_soon(job, end)

    def obey(self, now: float, *, stopping: bool) -> bool:
        """Carry out the oldest command, unless it waits for what has begun."""
        with self._lock:
            order = self._orders[0] if self._orders else None
            if order is None:
                return False
            if not stopping and order.waits(self._queue, self.loans, now):
                return False
        end = stopped(order.command.id) if stopping else self._carried_out(order)
        with self._lock:
            self._orders.popleft()
        order.emit(end)
        return True

    def _carried_out(self, order: Order) -> Result | Failure:
        command, failure = order.command, None
        if order.gone:
            pass
        elif isinstance(command, Sleep):
            self._lend(order, command)
        elif isinstance(command, Wake):
            with self._lock:
                self._give_back(order.client, lasting=True)
            failure = self._unready(command.id)
        elif isinstance(command, UseAdapter):
            failure = self._unready(command.id) or self._use_adapter(command)
        else:
            failure = self._use_model(command)
        return failure or Result(id=command.id, candidates=[], usage=Usage())

    def _lend(self, order: Order, sleep: Sleep) -> None:
        with self._lock:
            if order.gone:  # meanwhile: nobody would give the device back
                return
            self.loans.lend(order.client, sleep)
            self._board.enter("sleeping", lent_to=self.loans.to)
            for job in self._queue.begun():
                job.begin_again()
                self._queue.set_back(job)
            for job in self._queue:
                if job.request.priority == "interactive":
                    self._queue.end_soon(job, self.loans.refusal(job.request.id))
        if self._resident.loaded:
            self._resident.unload()

    def _use_adapter(self, command: UseAdapter) -> Failure | None:
        try:
            self._resident.use_adapter(command.adapter)
        except Exception as error:
            return explained(command.id, error)
        self._resident.in_force = command.adapter
        self._board.update(adapter=command.adapter)
        return None

    def _use_model(self, command: UseModel) -> Failure | None:
        """The other model, or if it cannot be loaded the one before."""
        if self.loans:
            return self.loans.refusal(command.id)
        backend = self._resident.backend
        before = backend.describe()["model"]
        try:
            backend.use_model(command.model)
        except ValueError as error:
            return explained(command.id, error)
        with self._lock:
            for job in self._queue.begun():
                job.begin_again()  # on the new model
                self._queue.set_back(job)
        self._resident.unload()
        self.load(fail=False)
        if (status := self._board.status).phase != "failed":
            return self._unready(command.id)
        # Where that one was removed meanwhile, the failure stays until somebody asks again.
        with contextlib.suppress(ValueError):
            backend.use_model(before)
            self.load()
        return Failure(id=command.id, code="model", message=status.detail)

    def _unready(self, id: str) -> Failure | None:
        """Have the weights on the device, or say why they are not."""
        if not self.loans and not self._resident.loaded:
            self.load()
        if self._resident.loaded:
            return None
        status = self._board.status
        if status.phase == "failed":
            return Failure(id=id, code="model", message=status.detail)
        return self.loans.refusal(id)
