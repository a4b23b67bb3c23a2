"""`dlmd bench`: how long a person waits for the first state and for the whole fill.

Asks the running daemon through its socket, as an editor does: one infill at a time, each
with another hole in the standard library's source. Measures time, not quality. Must not
know how the model computes.
"""

import asyncio
import json
import os
import platform
import sysconfig
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from math import ceil
from pathlib import Path

from rich.console import Console
from rich.table import Table

from dlmd.profiles import EMBEDDED_FOLDER
from dlmd.wire.client import Client, Endpoint
from dlmd.wire.protocol import Infill, Mode, Result, State, Status, hole

SOURCES = ("argparse.py", "difflib.py", "inspect.py", "tarfile.py", "textwrap.py")
WARM_UP = 3
MODE: Mode = "exact"
SHARES = {"p50": 0.5, "p95": 0.95}


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchConfig:
    infills: int = field(
        default=40, metadata={"help": "Infills measured, after 3 that are not."}
    )
    context: int = field(
        default=512, metadata={"help": "Tokens around a hole, at least."}
    )
    tokens: int | None = field(
        default=None,
        metadata={"help": "Length of a hole; without it the model finds its own."},
    )
    tokens_per_step: float | None = field(
        default=None, metadata={"help": "Tokens committed at a step."}
    )
    steps: int | None = field(default=None, metadata={"help": "Denoising steps."})
    json: bool = field(
        default=False, metadata={"help": "One JSON object, for scripts."}
    )

    def __post_init__(self) -> None:
        if self.infills < 1 or self.context < 2:
            raise ValueError(
                f"--infills is {self.infills} and --context {self.context}; "
                "expected at least 1 and at least 2"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """One infill, timed at the client."""

    context: int
    first_ms: float
    total_ms: float
    steps: int
    forwards: int
    fill_chars: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was measured, and everything it depends on."""

    box: dict[str, str | int | float]
    model: str
    device: str
    mode: str
    infills: int
    context_tokens: tuple[int, int]
    hole_tokens: int | None
    fill_chars_p50: float
    steps_p50: float
    forwards_p50: float
    first_state_ms: dict[str, float]
    total_ms: dict[str, float]
    timings: tuple[Timing, ...]


Place = tuple[str, str, int]  # text before the hole, text after it, tokens in both


def bench(config: BenchConfig, endpoint: Endpoint | None) -> str:
    """The report, as a table or as JSON."""
    status, timings = asyncio.run(_measure(config, endpoint))
    report = _report(config, status, timings)
    return json.dumps(asdict(report)) if config.json else _table(report)


async def _measure(
    config: BenchConfig, endpoint: Endpoint | None
) -> tuple[Status, list[Timing]]:
    async with Client.connect(endpoint) as client:
        async for status in client.watch_status():
            if status.phase in ("ready", "busy"):
                break
            if status.phase in ("failed", "stopping"):
                raise ValueError(
                    f"the daemon is {status.phase}: {status.detail or status.fix}"
                )
        wanted = WARM_UP + config.infills
        found = places(sources(), wanted, config.context, counter(status.model))
        timings = [
            await _timed(client, config, index, place)
            for index, place in enumerate(found)
        ]
        return client.status, timings[WARM_UP:]


async def _timed(
    client: Client, config: BenchConfig, index: int, place: Place
) -> Timing:
    before, after, context = place
    request = Infill(
        id=f"bench-{index}",
        parts=[before, hole(length=config.tokens), after],
        mode=MODE,
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
        context=context,
        first_ms=((first or end) - start) * 1000,
        total_ms=(end - start) * 1000,
        steps=message.usage.steps,
        forwards=message.usage.forwards_full + message.usage.forwards_cached,
        fill_chars=len(message.candidates[0].holes[0]),
    )


def places(
    texts: Sequence[str], wanted: int, context: int, count: Callable[[str], int]
) -> Iterator[Place]:
    """Distinct holes, spread over the texts: one line's code taken out, enough kept around it."""
    spots = [
        (lines, number)
        for lines in (text.splitlines(keepends=True) for text in texts)
        for number in range(len(lines) // 4, 3 * len(lines) // 4)
        if lines[number].strip() and not lines[number].lstrip().startswith("#")
    ]
    if len(spots) < wanted:
        raise ValueError(
            f"{wanted} distinct holes were asked for, there are {len(spots)}; ask for fewer"
        )
    for index in range(wanted):
        lines, number = spots[index * len(spots) // wanted]
        line = lines[number]
        code = line.strip()
        indent = line[: line.index(code[0])]
        before, seen = _enough([indent, *reversed(lines[:number])], context / 2, count)
        after, more = _enough(["\n", *lines[number + 1 :]], context / 2, count)
        yield "".join(reversed(before)), "".join(after), seen + more


def _enough(
    lines: Sequence[str], tokens: float, count: Callable[[str], int]
) -> tuple[list[str], int]:
    kept: list[str] = []
    total = 0
    for line in lines:
        if total >= tokens:
            break
        kept.append(line)
        total += count(line)
    return kept, total


def sources() -> list[str]:
    folder = Path(sysconfig.get_paths()["stdlib"])
    found = [folder / name for name in SOURCES if (folder / name).is_file()]
    if not found:
        raise ValueError(
            f"no source of the standard library in {folder}; install it to measure"
        )
    return [path.read_text(encoding="utf-8") for path in found]


def counter(model: str) -> Callable[[str], int]:
    """Counts tokens as the served model does; the embedded model's own count for any other
    whose tokenizer is not at hand."""
    from tokenizers import Tokenizer

    file = Path(model) / "tokenizer.json"
    tokenizer = Tokenizer.from_file(
        str(file if file.is_file() else EMBEDDED_FOLDER / file.name)
    )
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False))


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share does not exceed (nearest rank)."""
    return sorted(values)[max(0, ceil(share * len(values)) - 1)]


def _report(config: BenchConfig, status: Status, timings: Sequence[Timing]) -> Report:
    contexts = [timing.context for timing in timings]
    return Report(
        box=box(),
        model=status.model,
        device=status.device,
        mode=MODE,
        infills=len(timings),
        context_tokens=(min(contexts), max(contexts)),
        hole_tokens=config.tokens,
        fill_chars_p50=percentile([timing.fill_chars for timing in timings], 0.5),
        steps_p50=percentile([timing.steps for timing in timings], 0.5),
        forwards_p50=percentile([timing.forwards for timing in timings], 0.5),
        first_state_ms=_spread([timing.first_ms for timing in timings]),
        total_ms=_spread([timing.total_ms for timing in timings]),
        timings=tuple(timings),
    )


def _spread(times: Sequence[float]) -> dict[str, float]:
    return {name: round(percentile(times, share), 2) for name, share in SHARES.items()}


def box() -> dict[str, str | int | float]:
    """Where this was measured. The load says whether anything else was running."""
    affinity = getattr(os, "sched_getaffinity", None)
    return {
        "cpu": _cpu_name(),
        "cores": len(affinity(0)) if affinity else os.cpu_count() or 1,
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": version("torch"),
        "dlmd": version("dlmd"),
        "load_1min": round(os.getloadavg()[0], 2),
    }


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [
        line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")
    ]
    return names[0] if names else platform.machine()


def _table(report: Report) -> str:
    table = Table("", *SHARES, title="dlmd bench", title_justify="left")
    for name, times in (
        ("first state", report.first_state_ms),
        ("total", report.total_ms),
    ):
        table.add_row(name, *(f"{times[share]:.0f} ms" for share in SHARES))
    console = Console(width=100, color_system=None)
    with console.capture() as captured:
        console.print(table)
    low, high = report.context_tokens
    length = (
        f"{report.hole_tokens} tokens" if report.hole_tokens else "of their own length"
    )
    lines = (
        f"model {report.model} on {report.device}, mode {report.mode}",
        f"{report.infills} infills one after another, {low} to {high} tokens of context",
        f"holes {length}; medians: {report.steps_p50:g} steps, {report.forwards_p50:g} forwards, "
        f"{report.fill_chars_p50:g} characters",
        ", ".join(f"{name} {value}" for name, value in report.box.items()),
    )
    return captured.get() + "\n".join(lines)
