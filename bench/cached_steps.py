"""What the decoder saves on a CPU: exact and cached modes against the plain published loop.

    .venv/bin/python bench/cached_steps.py

One run, ratios of what was timed in it. A random model of about 100M parameters, a hole
of 32 tokens in the middle of the context, one token a step. The plain loop runs the model
over everything and the head on all rows, at every step. Weights are random, so nothing is
said about fidelity. Run it when nothing else runs. Knows no daemon.
"""

import argparse
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from time import perf_counter
from typing import Any

import torch
from dlmd.decode import Canvas, DecodeSettings, denoise, denoise_cached, step
from dlmd.model import Dream, DreamConfig
from dlmd.model.cpu import keep_freed_memory
from dlmd.model.packed import PackedLinear, pack

MASK = 3
SHAPE = DreamConfig(
    vocab_size=32_000,
    hidden_size=768,
    intermediate_size=2048,
    num_hidden_layers=12,
    num_attention_heads=12,
    num_key_value_heads=4,
    mask_token_id=MASK,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    total_s: float
    first_s: float  # until the first state
    step_s: float  # median of the others
    full: int
    cached: int
    rows: int


def canvas_of(context: int, hole: int) -> Canvas:
    generator = torch.Generator().manual_seed(1)
    row = torch.randint(4, SHAPE.vocab_size, (1, context), generator=generator)
    row[0, (context - hole) // 2 :][:hole] = MASK
    return Canvas(row, mask_id=MASK)


def published_loop(
    model: Dream, canvas: Canvas, settings: DecodeSettings
) -> Iterator[Canvas]:
    """As published: a forward over everything, the head on every row, shifted logits."""
    for i in range(canvas.masks_B[0]):
        with torch.no_grad():
            logits_BTV = model(canvas.tokens_BT)
            shifted_BTV = torch.cat([logits_BTV[:, :1], logits_BTV[:, :-1]], dim=1)
            canvas = step(canvas, shifted_BTV, settings, i)
        yield canvas


def timed(states: Iterator[Canvas]) -> Timing:
    marks, state = [perf_counter()], None
    for state in states:  # noqa: B007
        marks.append(perf_counter())
    assert state is not None, "a hole of at least one mask"
    times = [after - before for before, after in pairwise(marks)]
    return Timing(
        total_s=marks[-1] - marks[0],
        first_s=times[0],
        step_s=statistics.median(times[1:]),
        full=state.forwards_full or len(times),
        cached=state.forwards_cached,
        rows=state.query_rows or len(times) * state.tokens_BT.numel(),
    )


def plain_linears(model: Dream) -> Dream:
    """The same weights in linears as PyTorch has them."""
    twin = Dream(SHAPE).eval()
    twin.load_state_dict(model.state_dict())
    return twin


def row(name: str, found: Timing, base: Timing) -> str:
    return (
        f"| {name} | {found.full} + {found.cached} | {found.rows} | {found.first_s * 1000:.0f} ms "
        f"| {found.step_s * 1000:.1f} ms | {found.total_s:.2f} s "
        f"| {base.total_s / found.total_s:.2f} |"
    )


def modes(model: Dream, context: int, hole: int) -> None:
    canvas = canvas_of(context, hole)
    runs: dict[str, dict[str, Any]] = {
        "cached, no refresh": {},
        "cached, one refresh": {"refresh_share": 0.5},
        "cached, four full forwards": {"refresh_share": 0.25},
    }
    even = DecodeSettings(schedule="even")
    for states in (denoise(model, canvas, even), denoise_cached(model, canvas, even)):
        for _ in range(2):  # both kinds of forward once, untimed
            next(states)
    base = timed(published_loop(model, canvas, even))
    print(f"context {context}, hole {hole}, one token a step\n")
    print(
        "| decoder | forwards full + cached | query rows | first state | a later step | total | times the plain loop |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- |")
    print(row("plain published loop", base, base), flush=True)
    if any(isinstance(module, PackedLinear) for module in model.modules()):
        slower = timed(published_loop(plain_linears(model), canvas, even))
        print(row("the same, PyTorch's own linears", slower, base), flush=True)
    print(row("exact", timed(denoise(model, canvas, even)), base), flush=True)
    for name, choice in runs.items():
        how = DecodeSettings(schedule="even", **choice)
        print(row(name, timed(denoise_cached(model, canvas, how)), base), flush=True)


def contexts(model: Dream, hole: int) -> None:
    """Cached steps by context, interleaved so that a disturbance meets them all."""
    how = DecodeSettings(schedule="even")
    sizes = (512, 1024, 2048, 4096)
    runs = {size: denoise_cached(model, canvas_of(size, hole), how) for size in sizes}
    times: dict[int, list[float]] = {size: [] for size in sizes}
    for states in runs.values():
        next(states)
    for _ in range(hole - 1):
        for size, states in runs.items():
            began = perf_counter()
            next(states)
            times[size].append(perf_counter() - began)
    least = statistics.median(times[sizes[0]])
    print("\n| context | a cached step | times the one at 512 |\n| --- | --- | --- |")
    for size in sizes:
        median = statistics.median(times[size])
        print(f"| {size} | {median * 1000:.1f} ms | {median / least:.2f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--context", type=int, default=1024)
    parser.add_argument("--hole", type=int, default=32)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    given = parser.parse_args()
    keep_freed_memory()  # as the daemon does, for all decoders alike
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    model = Dream(SHAPE).eval().requires_grad_(False)
    count = sum(weight.numel() for weight in model.parameters())
    linears = "packed" if pack(model) else "PyTorch's own"
    print(
        f"{count / 1e6:.0f}M parameters, {given.threads} threads, torch {torch.__version__}, "
        f"linears: {linears}\n"
    )
    modes(model, given.context, given.hole)
    contexts(model, given.hole)


if __name__ == "__main__":
    main()
