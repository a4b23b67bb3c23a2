"""`dlmd bench`: how long a person waits, what it costs in fidelity, and what the machine
could do at best.

Asks the running daemon through its socket, as an editor does; with --shape it times
random weights in this process. Nothing here loads torch before it is needed.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

from dlmd.bench import report, runs
from dlmd.bench.config import BenchConfig
from dlmd.settings import Mode, load
from dlmd.wire.client import Client, Endpoint

__all__ = ["BenchConfig", "bench"]

Measure = Callable[[Client, BenchConfig, Mode], Awaitable[Any]]


def bench(config: BenchConfig, reach: Callable[[], Endpoint | None]) -> str:
    """The report, as a table or as JSON. `reach` says where the daemon is, if one is needed."""
    if config.shape is not None:
        from dlmd.bench.shaped import shaped

        return told(config, shaped(config), report.shape_text)
    measure, text = chosen(config)
    return told(config, asyncio.run(_measured(measure, config, reach())), text)


def chosen(config: BenchConfig) -> tuple[Measure, Callable[[Any], str]]:
    if config.agreement:
        return runs.agreements, report.agreement_text
    if config.busy:
        return runs.busy, report.busy_text
    if config.grid:
        return runs.grid, report.grid_text
    return runs.usual, report.usual_text


async def _measured(
    measure: Measure, config: BenchConfig, endpoint: Endpoint | None
) -> Any:
    async with Client.connect(endpoint) as client:
        return await measure(client, config, config.mode or load().mode)


def told(config: BenchConfig, measured: Any, text: Callable[[Any], str]) -> str:
    return json.dumps(asdict(measured)) if config.json else text(measured)
