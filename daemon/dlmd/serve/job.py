"""One request between its arrival and its end, and what its client is told.

Pure but for the generator it holds: frames in, messages out. Must not know the queue, whose
turn it is, or threads.
"""

import logging
from collections.abc import Callable, Generator, Hashable
from dataclasses import dataclass, field
from typing import Protocol

from dlmd.wire.protocol import Candidate, Failure, Infill, Result, State, Usage

log = logging.getLogger(__name__)

Emit = Callable[[State | Result | Failure], None]


class Frame(Protocol):
    """One denoising state of one candidate, as decode's Frame has it."""

    @property
    def candidate(self) -> int: ...
    @property
    def step(self) -> int: ...
    @property
    def of(self) -> int: ...
    @property
    def holes(self) -> list[list[str | int]]: ...
    @property
    def confidence(self) -> list[list[float]]: ...
    @property
    def texts(self) -> list[str] | None: ...
    @property
    def finish(self) -> str: ...
    @property
    def forwards(self) -> int: ...


@dataclass(slots=True, kw_only=True, eq=False)
class Job:
    """One request between its arrival and its end."""

    client: Hashable
    request: Infill
    emit: Emit
    number: int
    arrived: float
    frames: Generator[Frame, None, None] | None = None  # None until its first turn
    ending: Failure | None = None  # said by any thread, carried out between steps
    first_state: float | None = None
    newest: dict[int, Frame] = field(default_factory=dict)  # by candidate

    def done(self) -> bool:
        final = sum(frame.texts is not None for frame in self.newest.values())
        return final == self.request.n


def shown(id: str, frame: Frame) -> State:
    return State(
        id=id,
        candidate=frame.candidate,
        step=frame.step,
        of=frame.of,
        holes=frame.holes,
        confidence=frame.confidence,
    )


def result(job: Job, now: float) -> Result:
    finals = [frame for _, frame in sorted(job.newest.items())]
    assert job.first_state is not None
    usage = Usage(
        forwards_full=max(frame.forwards for frame in finals),
        steps=max(frame.step for frame in finals),
        ms_first_state=(job.first_state - job.arrived) * 1000,
        ms_total=(now - job.arrived) * 1000,
    )
    candidates = [_candidate(frame) for frame in finals]
    return Result(id=job.request.id, candidates=candidates, usage=usage)


def _candidate(frame: Frame) -> Candidate:
    assert frame.texts is not None
    sure = [number for hole in frame.confidence for number in hole]
    mean = sum(sure) / len(sure) if sure else None
    return Candidate(holes=frame.texts, confidence=mean, finish=frame.finish)


def explained(id: str, error: Exception) -> Failure:
    """One sentence about what the backend raised; its details only to the debug log."""
    # An exception's text may quote the user's document, so no more than its kind is logged.
    log.debug("the backend failed", exc_info=error)
    if isinstance(error, ValueError):
        return Failure(id=id, code="bad_request", message=str(error))
    kind = type(error).__name__
    at = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    where = f"{at.tb_frame.f_code.co_filename}:{at.tb_lineno}" if at else "?"
    log.error("the backend failed with %s at %s", kind, where)
    first_line = str(error).strip().split("\n")[0][:200]
    ours = isinstance(error, AssertionError)
    message = (
        f"the model failed ({kind}: {first_line}); try again, and see the daemon's log"
    )
    return Failure(id=id, code="internal" if ours else "model", message=message)
