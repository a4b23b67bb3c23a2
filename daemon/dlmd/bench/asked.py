"""Infills asked of the daemon through its socket, as an editor asks, and timed here.

Measures time, and what came back. Must not know how the model computes.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from dlmd.bench.config import BenchConfig
from dlmd.bench.places import Place
from dlmd.wire.client import Client, DaemonFailure
from dlmd.wire.messages import SERVING
from dlmd.wire.protocol import HolePart, Infill, Mode, Result, State, Status, hole

LONG_HOLE = 128  # of the requests that are cancelled
TYPED = 1  # characters between two requests of somebody who types


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """One infill, timed at the client."""

    context: int
    first_ms: float
    total_ms: float
    steps: int
    forwards_full: int
    forwards_cached: int
    fill: str


async def ready(client: Client) -> Status:
    async for status in client.watch_status():
        if status.phase in SERVING:
            return status
        if status.phase in ("failed", "stopping"):
            raise ValueError(
                f"the daemon is {status.phase}: {status.detail or status.fix}"
            )
    raise AssertionError("a status comes, or the connection ends with an exception")


async def asked(
    client: Client, config: BenchConfig, id: str, place: Place, mode: Mode | None = None
) -> Timing:
    request = Infill(
        id=id,
        parts=[place.before, hole(length=config.tokens), place.after],
        mode=mode or config.mode,
        steps=config.steps,
        tokens_per_step=config.tokens_per_step,
        temperature=0.0,
    )
    start, first = time.perf_counter(), None
    async for message in client.infill(request):
        if isinstance(message, State):
            first = first or time.perf_counter()
    end = time.perf_counter()
    assert isinstance(message, Result), "an infill ends with a result or an exception"
    return Timing(
        context=place.context,
        first_ms=((first or end) - start) * 1000,
        total_ms=(end - start) * 1000,
        steps=message.usage.steps,
        forwards_full=message.usage.forwards_full,
        forwards_cached=message.usage.forwards_cached,
        fill=message.candidates[0].holes[0],
    )


async def asked_all(
    client: Client,
    config: BenchConfig,
    name: str,
    found: Sequence[Place],
    mode: Mode | None = None,
) -> list[Timing]:
    return [
        await asked(client, config, f"{name}-{index}", place, mode)
        for index, place in enumerate(found)
    ]


def typed_on(place: Place) -> Place:
    """The same document at the next keystroke: the line's first character is there."""
    typed, rest = place.code[:TYPED], place.code[TYPED:]
    return replace(place, before=place.before + typed, code=rest)


async def cancelled_ms(client: Client, id: str, place: Place) -> float | None:
    """From saying cancel, at the first state, until the daemon has ended the request; None
    where it was done before."""
    parts: list[str | HolePart] = [place.before, hole(length=LONG_HOLE), place.after]
    request = Infill(id=id, parts=parts, mode="exact", tokens_per_step=1.0)
    said: float | None = None
    try:
        async for message in client.infill(request):
            if isinstance(message, State) and said is None:
                said = time.perf_counter()
                await client.cancel(id)
    except DaemonFailure as failure:
        if failure.code == "cancelled" and said is not None:
            return (time.perf_counter() - said) * 1000
        raise
    return None
