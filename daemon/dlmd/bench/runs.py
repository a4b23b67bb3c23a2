"""The measurements of `dlmd bench`, each from a connection to a report.

Everything goes through the daemon's socket, one infill at a time, but for `shape`, which
needs no daemon. Must not know tables.
"""

from dataclasses import dataclass, replace

from dlmd.bench.agreement import COMPARED, ORACLE, Agreement, agreement
from dlmd.bench.asked import Timing, asked_all, cancelled_ms, ready, typed_on
from dlmd.bench.busy import blocks, cores, loaded
from dlmd.bench.config import BenchConfig
from dlmd.bench.limits import Box
from dlmd.bench.places import Place, encoder, places, sources, spread
from dlmd.bench.summary import (
    Encode,
    Subject,
    Summary,
    folder_of,
    share_of_limit,
    subject,
    summary,
)
from dlmd.wire.client import Client
from dlmd.wire.protocol import Mode, Status

WARM_UP = 3
AGREED = 20  # infills asked in exact mode too
CANCELLED = 10
GRID_CONTEXTS, GRID_HOLES, GRID_PREFIXES = (
    (256, 512, 1024),
    (8, 32, 128),
    (0.9, 0.5, 0.1),
)
GRID_INFILLS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    subject: Subject
    infills: int
    context_tokens: tuple[int, int]
    cold: Summary
    warm: Summary
    first_request_ms: float
    cancel_ms: dict[str, float] | None
    limits: Box | None
    share_of_limit: float | None
    agreement: Agreement | None
    timings: tuple[Timing, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BusyReport:
    subject: Subject
    infills: int
    processes: int
    idle: Summary
    busy: Summary
    first_state_ratio: float
    total_ratio: float
    sees_after: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AgreementReport:
    subject: Subject
    files: tuple[str, ...]
    modes: tuple[Agreement, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class GridPoint:
    context: int
    hole: int
    prefix: float
    summary: Summary


@dataclass(frozen=True, slots=True, kw_only=True)
class GridReport:
    subject: Subject
    infills: int
    points: tuple[GridPoint, ...]


async def usual(client: Client, config: BenchConfig, mode: Mode) -> Report:
    """Cold, warm, cancelled, against exact mode and against the machine's limit."""
    status, encode, found = await begun(client, config, WARM_UP + config.infills)
    first = await asked_all(client, config, "first", found[:WARM_UP], mode)
    found = found[WARM_UP:]
    cold, warm = [], []
    for number, place in enumerate(found):
        cold += await asked_all(client, config, f"cold-{number}", [place], mode)
        warm += await asked_all(
            client, config, f"warm-{number}", [typed_on(place)], mode
        )
    ends = [
        await cancelled_ms(client, f"cancelled-{number}", place)
        for number, place in enumerate(found[:CANCELLED])
    ]
    said = [ms for ms in ends if ms is not None]
    agreed = None
    if mode != ORACLE:
        plain = replace(config, steps=None, tokens_per_step=None)
        exact = await asked_all(client, plain, "exact", found[:AGREED], ORACLE)
        agreed = agreement(mode, cold[:AGREED], exact, encode)
    limits, share = share_of_limit(cold, config, client.status)
    contexts = [timing.context for timing in cold]
    return Report(
        subject=subject(status, mode, config),
        infills=len(cold),
        context_tokens=(min(contexts), max(contexts)),
        cold=summary(cold, encode),
        warm=summary(warm, encode),
        first_request_ms=first[0].total_ms,
        cancel_ms=spread(said) if said else None,
        limits=limits,
        share_of_limit=share,
        agreement=agreed,
        timings=tuple(cold),
    )


async def busy(client: Client, config: BenchConfig, mode: Mode) -> BusyReport:
    """Every infill on idle cores and on loaded ones, in turns."""
    status, encode, found = await begun(client, config, WARM_UP + config.infills)
    await asked_all(client, config, "first", found[:WARM_UP], mode)
    found = found[WARM_UP:]
    timings: dict[bool, list[Timing]] = {False: [], True: []}
    for number, (is_loaded, which) in enumerate(blocks(len(found))):
        with loaded(cores() if is_loaded else 0):
            chosen = [found[index] for index in which]
            timings[is_loaded] += await asked_all(
                client, config, f"block-{number}", chosen, mode
            )
    idle, under = summary(timings[False], encode), summary(timings[True], encode)
    return BusyReport(
        subject=subject(status, mode, config),
        infills=len(found),
        processes=cores(),
        idle=idle,
        busy=under,
        first_state_ratio=under.first_state_ms["p50"] / idle.first_state_ms["p50"],
        total_ratio=under.total_ms["p50"] / idle.total_ms["p50"],
        sees_after=client.status.context,
    )


async def agreements(
    client: Client, config: BenchConfig, mode: Mode
) -> AgreementReport:
    """Quality and fast against exact, at the pace that each has by itself."""
    status, encode, found = await begun(client, config, config.infills)
    exact = await asked_all(client, config, ORACLE, found, ORACLE)
    modes = []
    for compared in COMPARED:
        timings = await asked_all(client, config, compared, found, compared)
        modes.append(agreement(compared, timings, exact, encode))
    files = tuple(str(file) for file in config.files or ())
    about = subject(status, ORACLE, config)
    return AgreementReport(subject=about, files=files, modes=tuple(modes))


async def grid(client: Client, config: BenchConfig, mode: Mode) -> GridReport:
    """Context, hole and prefix:suffix varied, as far as the daemon sees."""
    status = await ready(client)
    encode = encoder(folder_of(status.model))
    await asked_all(client, config, "first", [*found_for(config, encode, 256, 3)], mode)
    points = []
    for context, hole, prefix in varied(config, status.context):
        # A line more than was asked for would be cropped by the daemon.
        room = int(0.9 * (context - hole))
        found = found_for(config, encode, room, GRID_INFILLS, prefix)
        fixed, name = replace(config, tokens=hole), f"{context}-{hole}-{prefix}"
        timings = await asked_all(client, fixed, name, found, mode)
        told = summary(timings, encode)
        points.append(
            GridPoint(context=context, hole=hole, prefix=prefix, summary=told)
        )
    about = subject(status, mode, config)
    return GridReport(subject=about, infills=GRID_INFILLS, points=tuple(points))


def varied(config: BenchConfig, sees: int) -> list[tuple[int, int, float]]:
    """Context, hole and share before it; what the flags name stays fixed."""
    most = sees or max(GRID_CONTEXTS)
    contexts = [context for context in GRID_CONTEXTS if context <= most] or [most]
    return [
        (context, hole, prefix)
        for context in ([config.context] if config.context else contexts)
        for hole in ([config.tokens] if config.tokens else GRID_HOLES)
        for prefix in GRID_PREFIXES
        if hole < context / 2
    ]


async def begun(
    client: Client, config: BenchConfig, wanted: int
) -> tuple[Status, Encode, list[Place]]:
    status = await ready(client)
    encode = encoder(folder_of(status.model))
    context = config.context or status.context or 512
    return status, encode, found_for(config, encode, context, wanted)


def found_for(
    config: BenchConfig, encode: Encode, context: int, wanted: int, prefix: float = 0.5
) -> list[Place]:
    def count(text: str) -> int:
        return len(encode(text))

    texts = sources(config.files or ())
    return list(places(texts, wanted, context, count, prefix=prefix))
