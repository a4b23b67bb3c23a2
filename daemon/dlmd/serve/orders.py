"""Commands on their way to the engine, and loans of the device to other jobs.

Pure data and sentences. Must not know how weights come and go, threads or sockets.
"""

from collections.abc import Hashable
from dataclasses import dataclass, field

from dlmd.serve.job import Emit
from dlmd.serve.queue import Queue
from dlmd.wire.protocol import Command, Failure, Result, Sleep, Usage, UseAdapter

LASTING = object()  # holds the loans that outlive the connection which asked for them
# How long what has begun may go on before a command is carried out regardless.
PATIENCE_S = {Sleep: 2.0, UseAdapter: 1.0}


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


def done(order: Order) -> Result:
    return Result(id=order.command.id, candidates=[], usage=Usage())
