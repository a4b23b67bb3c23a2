"""A model of a given shape with random weights, timed in this process.

For machines and sizes whose weights are not at hand: time does not depend on what the
weights say, but how many tokens a model commits at a step does, so every step here commits
one. Must not know daemons or text.

Shapes: B rows, T positions.
"""

from dataclasses import dataclass
from statistics import median
from time import perf_counter
from typing import Any

import torch

from dlmd.bench.limits import Box, Shape, measure_box, shape_of
from dlmd.bench.places import percentile
from dlmd.decode import Canvas, DecodeSettings, denoise, denoise_cached
from dlmd.model import Dream, DreamConfig, cpu, cuda
from dlmd.model.weights import NoInit

MASK = 3
PLENTY_S = 20.0  # of one cell; a longer one is cut off, and says so
EXACT_STEPS = 4  # a step of exact mode costs what the one before it did
NAMES = ("hidden_size", "intermediate_size", "num_hidden_layers")
HEADS = ("num_attention_heads", "num_key_value_heads", "vocab_size")
# Qwen2.5-Coder-7B's body, which DiffuCoder and Dream have; the others are like it.
NUMBERS: dict[str, tuple[int, int, int, int, int, int]] = {
    "embedded": (256, 768, 6, 4, 2, 4096),
    "100m": (768, 2048, 12, 12, 4, 32_000),
    "1b": (2048, 8192, 16, 16, 4, 151_936),
    "7b": (3584, 18_944, 28, 28, 4, 152_064),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One point of the grid."""

    context: int
    hole: int
    prefix: float
    first_ms: float  # full forward, and the first token
    step_ms: float  # a cached step, median
    step_p95_ms: float
    total_ms: float | None  # one full forward, then cached steps; None: cut off
    exact_step_ms: float  # a step of exact mode, median
    first_of_limit: float
    step_of_limit: float


def model_of(name: str, device: str, dtype: torch.dtype | None) -> tuple[Dream, str]:
    """The model, and its number type."""
    numbers: dict[str, Any] = dict(zip(NAMES + HEADS, NUMBERS[name], strict=True))
    config = DreamConfig(mask_token_id=MASK, max_position_embeddings=1 << 17, **numbers)
    choice = cpu.choose(config, dtype) if device == "cpu" else None
    dtype = choice.dtype if choice else dtype or torch.bfloat16
    with torch.device("meta"), NoInit():
        model = Dream(config)
    model = model.to(dtype).to_empty(device=device).eval().requires_grad_(False)
    drawn = torch.randn(1 << 20, device=device).mul_(0.02).to(dtype)
    for weight in model.parameters():
        flat = weight.data.view(-1)
        for at in range(0, len(flat), len(drawn)):  # drawing them all takes minutes
            flat[at : at + len(drawn)] = drawn[: len(flat) - at]
    if choice is not None:
        cpu.watch(model, choice)
    return model, str(dtype).removeprefix("torch.")


def measured_box(name: str, device: str, dtype: str) -> tuple[Box, Shape]:
    shape = shape_of(dict(zip(NAMES + HEADS, NUMBERS[name], strict=True)))
    return measure_box(device, dtype, shape), shape


def cell(
    model: Dream, box: Box, shape: Shape, *, context: int, hole: int, prefix: float
) -> Cell:
    """Time one point: `context` positions in all, `hole` of them masked."""
    device = next(model.parameters()).device
    start = max(1, min(round((context - hole) * prefix), context - hole))
    tokens_BT = torch.randint(
        MASK + 1, model.config.vocab_size, (1, context), device=device
    )
    tokens_BT[:, start : start + hole] = MASK
    canvas = Canvas(tokens_BT, mask_id=MASK)
    settings = DecodeSettings(schedule="even")
    first, steps, done = timed(denoise_cached(model, canvas, settings), device)
    if steps:  # once more: the first run also found its memory
        first, steps, done = timed(denoise_cached(model, canvas, settings), device)
    _, exact, _ = timed(denoise(model, canvas, settings), device, EXACT_STEPS)
    window = min(context, hole + 2 * settings.reach + 1)
    full_s = box.limit_s(shape, context, context, hole)
    step_s = box.limit_s(shape, window, context, hole)
    step = median(steps) if steps else float("nan")
    return Cell(
        context=context,
        hole=hole,
        prefix=prefix,
        first_ms=first * 1000,
        step_ms=step * 1000,
        step_p95_ms=(percentile(steps, 0.95) if steps else step) * 1000,
        total_ms=(first + sum(steps)) * 1000 if done else None,
        exact_step_ms=(median(exact) if exact else float("nan")) * 1000,
        first_of_limit=full_s / first,
        step_of_limit=step_s / step,
    )


def timed(
    states: Any, device: torch.device, most: int | None = None
) -> tuple[float, list[float], bool]:
    """Seconds of the first state and of each later one; whether it came to the end."""
    times: list[float] = []
    began = last = perf_counter()
    for _ in states:
        cuda.wait(device)
        now = perf_counter()
        times.append(now - last)
        last = now
        if now - began > PLENTY_S or len(times) == most:
            states.close()
            return times[0], times[1:], False
    return times[0], times[1:], True
