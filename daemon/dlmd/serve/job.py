"""One request between its arrival and its end, and what its client is told.

Pure but for the generator it holds: frames in, messages out. Must not know the queue, whose
turn it is, or threads.
"""

import logging
from collections.abc import Callable, Generator, Hashable
from dataclasses import dataclass, field
from typing import Protocol

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from dlmd.wire import complaints
from dlmd.wire.protocol import (
    Candidate,
    Failure,
    HolePart,
    Infill,
    Pin,
    Result,
    State,
    Usage,
)

log = logging.getLogger(__name__)

SHUTTING_DOWN = "the daemon is stopping; start it again with `dlmd serve`"
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
    def forwards_full(self) -> int: ...
    @property
    def forwards_cached(self) -> int: ...


@dataclass(slots=True, kw_only=True, eq=False)
class Job:
    """One request between its arrival and its end."""

    client: Hashable
    request: Infill
    emit: Emit
    arrived: float
    party: Hashable = None  # clients that take their turns with others as one
    number: int = 0  # given by the queue
    adapter: str | UnsetType | None = UNSET  # the one it asked for, then began with
    frames: Generator[Frame, Pin | None, None] | None = None  # begun
    pins: dict[int, Pin] = field(default_factory=dict)  # by hole, yet to be told
    told: dict[int, Pin] = field(default_factory=dict)  # known to the decoder
    ending: Failure | None = None  # said by any thread, carried out between steps
    ended: bool = False
    first_state: float | None = None
    newest: dict[int, Frame] = field(default_factory=dict)  # by candidate

    @property
    def key(self) -> tuple[Hashable, str]:
        return self.client, self.request.id

    @property
    def deadline(self) -> float | None:
        ms = self.request.deadline_ms
        return None if ms is None else self.arrived + ms / 1000

    def take_pin(self) -> Pin | None:
        if not self.pins:
            return None
        hole, pin = self.pins.popitem()
        self.told[hole] = pin
        return pin

    def take_pins(self) -> dict[int, Pin]:
        self.told, self.pins = self.told | self.pins, {}
        return self.told

    def begin_again(self) -> None:
        """Later, from the start: what it has on the device goes."""
        if self.frames is not None:
            self.frames.close()
        self.frames, self.adapter = None, self.request.adapter
        self.newest.clear()

    def done(self) -> bool:
        final = sum(frame.texts is not None for frame in self.newest.values())
        return final == self.request.n


def pinned(request: Infill, pins: dict[int, Pin]) -> Infill:
    """The request, its holes starting with what the user typed before it began."""
    if not pins:
        return request
    parts: list[str | HolePart] = []
    holes = 0
    for part in request.parts:
        if isinstance(part, HolePart):
            if (pin := pins.get(holes)) is not None:
                part = HolePart(replace(part.hole, initial=pin.text))
            holes += 1
        parts.append(part)
    return replace(request, parts=parts)


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
        forwards_full=max(frame.forwards_full for frame in finals),
        forwards_cached=max(frame.forwards_cached for frame in finals),
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


def discard(message: State | Result | Failure) -> None:
    """The emit of a client that is gone."""


def stopped(id: str) -> Failure:
    return Failure(id=id, code="shutting_down", message=SHUTTING_DOWN)


def too_late(job: Job) -> Failure:
    message = (
        f"request {job.request.id} was not done within its {job.request.deadline_ms} ms; "
        "allow more time or ask for fewer steps"
    )
    return Failure(id=job.request.id, code="deadline", message=message)


def too_many(id: str, waiting: int, most: int) -> Failure:
    message = (
        f"{waiting} requests wait for the model, expected at most {most}; "
        "try again when some have ended"
    )
    return Failure(id=id, code="busy", message=message)


def wrong_model(request: Infill, ours: str) -> Failure:
    message = (
        f"model was {complaints.shown(request.model)}, this daemon serves {ours}; leave model "
        "out, or start the daemon with that one"
    )
    return Failure(id=request.id, code="bad_request", message=message)


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
