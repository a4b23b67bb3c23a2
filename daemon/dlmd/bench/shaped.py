"""`dlmd bench --shape`: the grid on random weights, without a daemon.

Loads torch only when it runs. Must not know tables.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dlmd.bench.config import BenchConfig
from dlmd.bench.limits import Box
from dlmd.bench.summary import box

if TYPE_CHECKING:
    from dlmd.bench.shapes import Cell

CONTEXTS, HOLES, PREFIXES = (512, 1024, 2048, 4096), (8, 32, 128), (0.9, 0.5, 0.1)
HOLE, PREFIX = 32, 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class ShapeReport:
    box: dict[str, str | int | float]
    shape: str
    parameters: int
    limits: Box
    cells: "tuple[Cell, ...]"


def shaped(config: BenchConfig) -> ShapeReport:
    assert config.shape is not None
    from dlmd.bench.shapes import cell, measured_box, model_of
    from dlmd.model import cuda

    device = cuda.choose(config.device)
    cuda.take(device)
    model, dtype = model_of(config.shape, device, None)
    limits, shape = measured_box(config.shape, device, dtype)
    cells = tuple(
        cell(model, limits, shape, context=context, hole=hole, prefix=prefix)
        for context, hole, prefix in points(config)
    )
    count = sum(weight.numel() for weight in model.parameters())
    return ShapeReport(
        box=box(), shape=config.shape, parameters=count, limits=limits, cells=cells
    )


def points(config: BenchConfig) -> list[tuple[int, int, float]]:
    """Context, hole and share before it: the whole grid, or contexts at one hole."""
    if config.context is not None:
        contexts: tuple[int, ...] = (config.context,)
    else:
        contexts = CONTEXTS if config.grid else CONTEXTS[:2]
    holes = (config.tokens,) if config.tokens else HOLES if config.grid else (HOLE,)
    prefixes = PREFIXES if config.grid else (PREFIX,)
    return [
        (context, hole, prefix)
        for context in contexts
        for hole in holes
        for prefix in prefixes
        if hole < context
    ]
