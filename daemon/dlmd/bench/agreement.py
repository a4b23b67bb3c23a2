"""How often the faster modes write what exact mode writes, on somebody's own files.

Every hole is asked in exact mode at one token a step, then in each other mode. Compared
are the texts, and their tokens place by place, so that one token more or less counts as
everything after it. Must not know how the model decodes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from dlmd.bench.asked import Timing
from dlmd.wire.protocol import Mode

ORACLE: Mode = "exact"
COMPARED: tuple[Mode, ...] = ("quality", "fast")


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """One mode against exact mode."""

    mode: str
    holes: int
    same_holes: float  # share with the same text
    same_tokens: float  # share of the longer text's tokens
    tokens_per_forward: float
    full_forwards: float  # share of exact mode's
    total_ms_p50: float
    exact_ms_p50: float


def agreement(
    mode: str,
    timings: Sequence[Timing],
    exact: Sequence[Timing],
    encode: Callable[[str], list[int]],
) -> Agreement:
    pairs = [
        (encode(timing.fill), encode(oracle.fill))
        for timing, oracle in zip(timings, exact, strict=True)
    ]
    same = sum(
        a == b for mine, theirs in pairs for a, b in zip(mine, theirs, strict=False)
    )
    longer = sum(max(len(mine), len(theirs)) for mine, theirs in pairs)
    return Agreement(
        mode=mode,
        holes=len(pairs),
        same_holes=mean([mine == theirs for mine, theirs in pairs]),
        same_tokens=same / longer if longer else 1.0,
        tokens_per_forward=tokens_per_forward(timings, encode),
        full_forwards=full(timings) / max(1, full(exact)),
        total_ms_p50=median(timing.total_ms for timing in timings),
        exact_ms_p50=median(timing.total_ms for timing in exact),
    )


def tokens_per_forward(
    timings: Sequence[Timing], encode: Callable[[str], list[int]]
) -> float:
    """Tokens of text, without padding, for each forward of either kind."""
    tokens = sum(len(encode(timing.fill)) for timing in timings)
    forwards = sum(t.forwards_full + t.forwards_cached for t in timings)
    return tokens / max(1, forwards)


def full(timings: Sequence[Timing]) -> int:
    return sum(timing.forwards_full for timing in timings)


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 1.0
