"""What was measured, summed up: who, where, how long, at what share of the limit.

Must not know clients or tables.
"""

import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from dlmd.bench.agreement import tokens_per_forward
from dlmd.bench.asked import Timing
from dlmd.bench.busy import cores
from dlmd.bench.config import BenchConfig
from dlmd.bench.limits import Box, Shape, measure_box, shape_of_folder
from dlmd.bench.places import percentile, spread
from dlmd.profiles import EMBEDDED_FOLDER
from dlmd.store import shelf
from dlmd.wire.protocol import Mode, Status

HOLE, REACH = (
    32,
    16,
)  # a hole's width where none is given; what a window adds to each side

Encode = Callable[[str], list[int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Infills of one kind."""

    first_state_ms: dict[str, float]
    total_ms: dict[str, float]
    forwards_full: float  # mean
    forwards_cached: float
    tokens_per_forward: float
    fill_tokens_p50: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Who was measured, and where."""

    box: dict[str, str | int | float]
    model: str
    device: str
    dtype: str
    mode: Mode
    sees: int  # tokens of a document, by the daemon's own budget
    hole_tokens: int | None


def folder_of(model: str) -> Path:
    """Where the served model's config and tokenizer lie, if it is on this machine."""
    if model == "embedded":
        return EMBEDDED_FOLDER
    path = Path(model)
    return path if path.is_dir() else shelf.find(model) or path


def subject(status: Status, mode: Mode, config: BenchConfig) -> Subject:
    return Subject(
        box=box(),
        model=status.model,
        device=status.device,
        dtype=status.dtype,
        mode=mode,
        sees=status.context,
        hole_tokens=config.tokens,
    )


def summary(timings: Sequence[Timing], encode: Encode) -> Summary:
    fills = [len(encode(timing.fill)) for timing in timings]
    return Summary(
        first_state_ms=spread([timing.first_ms for timing in timings]),
        total_ms=spread([timing.total_ms for timing in timings]),
        forwards_full=sum(t.forwards_full for t in timings) / len(timings),
        forwards_cached=sum(t.forwards_cached for t in timings) / len(timings),
        tokens_per_forward=tokens_per_forward(timings, encode),
        fill_tokens_p50=percentile(fills, 0.5),
    )


def share_of_limit(
    timings: Sequence[Timing], config: BenchConfig, status: Status
) -> tuple[Box | None, float | None]:
    """The machine's limits, and the shortest time its forwards could take by the time the
    infills took; None where the model's numbers are not on this machine."""
    folder = folder_of(status.model)
    if not (folder / "config.json").is_file():
        return None, None
    shape = shape_of_folder(folder)
    measured = measure_box(status.device, status.dtype or "float32", shape)
    least = sum(least_s(timing, config, status, measured, shape) for timing in timings)
    return measured, 1000 * least / sum(timing.total_ms for timing in timings)


def least_s(
    timing: Timing, config: BenchConfig, status: Status, box: Box, shape: Shape
) -> float:
    hole = config.tokens or HOLE
    seen = min(timing.context + hole, status.context or timing.context + hole)
    window = min(seen, hole + 2 * REACH + 1)
    full = box.limit_s(shape, seen, seen, hole)
    cached = box.limit_s(shape, window, seen, hole)
    return timing.forwards_full * full + timing.forwards_cached * cached


def box() -> dict[str, str | int | float]:
    """Where this was measured. The load says whether anything else was running."""
    return {
        "cpu": cpu_name(),
        "cores": cores(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": version("torch"),
        "dlmd": version("dlmd"),
        "load_1min": round(os.getloadavg()[0], 2),
    }


def cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [
        line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")
    ]
    return names[0] if names else platform.machine()
