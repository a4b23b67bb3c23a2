"""Cached steps on a card against what the card could do: one command, one run.

    python3 bench/gpu.py                              # 7B shape, 2 to 5 minutes on an H200
    python3 bench/gpu.py --shape tiny --device cpu    # the same code, in seconds

Random weights: time does not depend on what they say. Measures the card's memory and
matrix rates first, then bf16, fp8 and int8 at each context: the full forward, the cached
step called and replayed, whole holes by the graphed decoder, and the plain published loop
(full forwards, head on every row) beside them. Prints tables; --out also writes JSON, and
writes it anew after each part. Needs the source tree and PyTorch, no installation.
"""

import argparse
import json
import os
import sys
import time
import traceback
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "daemon"), str(ROOT / "bench")]

import torch  # noqa: E402
from dlmd.decode import Canvas, DecodeSettings, step  # noqa: E402
from dlmd.decode.graphed import Graphed, plan_of  # noqa: E402
from dlmd.decode.static import REACH, Bucket  # noqa: E402
from dlmd.model import Dream, DreamConfig, cuda, fused, quant  # noqa: E402
from dlmd.model.quant import QuantisedLinear  # noqa: E402
from dlmd.model.weights import NoInit  # noqa: E402
from gpu_box import Box, cost, limit_ms, measure  # noqa: E402
from torch import Tensor, nn  # noqa: E402

MASK = 3
SHAPES = {  # hidden, inner, layers, heads, key heads, vocabulary
    "7b": (3584, 18944, 28, 28, 4, 152064),
    "tiny": (64, 128, 2, 4, 2, 512),
}
STEPS = (4, 8, 16, 32)
SCHEMES = ("bf16", "fp8", "int8", "int8 whole")
Row = dict[str, Any]


def config_of(shape: str) -> DreamConfig:
    hidden, inner, layers, heads, kv_heads, vocabulary = SHAPES[shape]
    return DreamConfig(
        hidden_size=hidden,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        vocab_size=vocabulary,
        mask_token_id=MASK,
    )


def model_of(shape: str, scheme: str, device: str) -> Dream:
    """Weights drawn on the device, one by one; eight bits as soon as drawn."""
    with torch.device("meta"), NoInit():
        model = Dream(config_of(shape)).to(torch.bfloat16)
    shapes = {name: weight.shape for name, weight in model.named_parameters()}
    kind = scheme.split()[0]
    kinds = {} if kind == "bf16" else quant.prepare(model, kind, device)
    drawn = torch.Generator(device).manual_seed(0)
    state = {}
    for name, size in shapes.items():
        weight = torch.empty(size, dtype=torch.bfloat16, device=device)
        if name.endswith("norm.weight"):
            weight.fill_(1.0)
        else:
            weight.normal_(std=0.02, generator=drawn)
        state[name] = weight
        if name in kinds:
            state[name], scale = quant.packed(weight, kinds[name])
            state[name.removesuffix("weight") + "scale"] = scale
    model.load_state_dict(state, assign=True)
    for name, module in model.named_modules():
        if isinstance(module, QuantisedLinear):
            module.whole = scheme.endswith("whole") and name != quant.HEAD
    return model.eval().requires_grad_(False)


def canvas_of(model: Dream, context: int, hole: int, device: str) -> Canvas:
    drawn = torch.Generator().manual_seed(context)
    vocabulary = model.config.vocab_size
    tokens_BT = torch.randint(MASK + 1, vocabulary, (1, context), generator=drawn)
    start = (context - hole) * 2 // 3
    tokens_BT[0, start : start + hole] = MASK
    return Canvas(tokens_BT.to(device), mask_id=MASK)


def even(steps: int) -> DecodeSettings:
    return DecodeSettings(schedule="even", steps=steps)


# ---- one number each


def once_ms(run: Any, device: str) -> tuple[float, float]:
    """Wall time to the first state and to the end of a decoder's run."""
    cuda.wait(device)
    began = time.perf_counter()
    next(run)
    first = time.perf_counter()
    for _ in run:
        pass
    cuda.wait(device)
    return (first - began) * 1000, (time.perf_counter() - began) * 1000


def plain_loop(model: Dream, canvas: Canvas, settings: DecodeSettings) -> Any:
    """The published loop: everything through the model at each step, head on all rows."""
    for i in range(settings.steps or canvas.masks_B[0]):
        with torch.no_grad():
            logits_BTV = model(canvas.tokens_BT)
            shifted_BTV = torch.cat([logits_BTV[:, :1], logits_BTV[:, :-1]], dim=1)
            canvas = step(canvas, shifted_BTV, settings, i)
        yield canvas


def full_ms(model: Dream, board: Any, canvas: Canvas, device: str, hole: int) -> float:
    masked = canvas.masked_BT[0].nonzero()[:, 0]
    rows_N = masked - 1

    def forward() -> Tensor:
        return model(canvas.tokens_BT, rows_N=rows_N, cache=board.cache)

    with torch.no_grad():
        forward(), forward()
        return median(cuda.milliseconds(forward, device, 9))


def one_context(
    graphed: Graphed, scheme: str, context: int, hole: int, box: Box, device: str
) -> Row:
    model = graphed.model
    canvas = canvas_of(model, context, hole, device)
    window = min(context, hole + 2 * REACH + 1)
    found = graphed.fitting(even(8), window=window, places=hole, context=context)
    assert found is not None, f"no bucket holds {window} rows of {context}"
    board, replay = found
    row: Row = {"scheme": scheme, "context": context, "hole": hole}
    row["full_ms"] = full_ms(model, board, canvas, device, hole)
    totals: dict[int, list[tuple[float, float]]] = {}
    for steps in [n for n in STEPS if n <= hole]:
        runs = [once_ms(graphed.denoise(canvas, even(steps)), device) for _ in range(4)]
        totals[steps] = runs[1:]
        row[f"total_{steps}_ms"] = median(end for _, end in totals[steps])
    row["first_ms"] = median(first for first, _ in totals[min(totals)])
    # The buffers hold the last run's finished hole: a step costs the same.
    row["replay_ms"] = median(cuda.milliseconds(replay, device, 50))
    with torch.no_grad():
        called = cuda.milliseconds(lambda: board.step(even(8)), device, 10)
    row["called_ms"] = median(called)
    plain = [once_ms(plain_loop(model, canvas, even(8)), device)[1] for _ in range(2)]
    row["plain_8_ms"] = min(plain)
    as_whole = scheme in ("fp8", "int8 whole")
    for name, q in (("full", context), ("replay", window)):
        what = cost(model.config, scheme.split()[0], q=q, S=context, r=hole)
        inputs = as_whole and not (name == "replay" and scheme == "int8 whole")
        kind = scheme.split()[0]
        limit = limit_ms(box, what, kind, eight_bit_inputs=inputs)
        row[f"{name}_limit_ms"], row[f"{name}_share"] = (
            limit,
            limit / row[f"{name}_ms"],
        )
    row["total_8_limit_ms"] = row["full_limit_ms"] + 7 * row["replay_limit_ms"]
    row["total_8_share"] = row["total_8_limit_ms"] / row["total_8_ms"]
    row["same_tokens"] = same_tokens(graphed, canvas, device)
    return row


def same_tokens(graphed: Graphed, canvas: Canvas, device: str) -> float:
    """The share of tokens that the decoder without captured steps puts as well."""
    replays, graphed.replays = graphed.replays, {}
    states = [list(graphed.denoise(canvas, even(8)))[-1].tokens_BT.cpu()]
    graphed.replays = replays
    states.append(list(graphed.denoise(canvas, even(8)))[-1].tokens_BT.cpu())
    hole = canvas.masked_BT.cpu()
    return float((states[0] == states[1])[hole].float().mean())


def linears(model: Dream, scheme: str, device: str, box: Box) -> list[Row]:
    """Each kind of linear at the rows of a window: layer after layer, so that no cache
    holds the weights."""
    kinds: dict[str, list[nn.Module]] = {}
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear | QuantisedLinear):
            kinds.setdefault(name.rpartition(".")[2], []).append(module)
    rows = []
    for kind, modules in kinds.items():
        for count in (33, 48, 65, 80, 129, 144, 288):
            x = torch.randn(count, modules[0].in_features, device=device)
            x = x.to(torch.bfloat16)

            def run(x: Tensor = x, modules: list[nn.Module] = modules) -> None:
                for module in modules:
                    module(x)

            with torch.no_grad():
                replay = cuda.Graphs(device).capture(run)
                each = median(cuda.milliseconds(replay, device, 20)) / len(modules)
            bytes_read = modules[0].weight.nbytes / (each / 1000)
            rows.append(
                {
                    "scheme": scheme,
                    "linear": kind,
                    "rows": count,
                    "us": each * 1000,
                    "of_memory": bytes_read / box.memory,
                }
            )
    return rows


def kernel_times(graphed: Graphed, device: str) -> str:
    """Where a cached step and a full forward spend the card's time."""
    if not device.startswith("cuda"):
        return ""
    from torch.profiler import ProfilerActivity, profile

    board, tables = graphed.boards[-1], []
    tokens = board.tokens_1S[:, : board.bucket.capacity - 64]
    rows_N = torch.arange(32, device=device)
    for run in (
        lambda: board.step(even(8)),
        lambda: graphed.model(tokens, rows_N=rows_N, cache=board.cache),
    ):
        with torch.no_grad(), profile(activities=[ProfilerActivity.CUDA]) as seen:
            run()
            cuda.wait(device)
        averages = seen.key_averages()
        tables.append(str(averages.table(sort_by="cuda_time_total", row_limit=16)))
    return "\n".join(tables)


# ---- everything


def one_scheme(scheme: str, args: argparse.Namespace, report: Row, box: Box) -> None:
    device = args.device
    cuda.give_back()
    cuda.forget_most(device)
    began = time.perf_counter()
    model = model_of(args.shape, scheme, device)
    cuda.wait(device)
    built = time.perf_counter()
    window = 80 if args.hole <= 47 else 144
    sizes = [
        Bucket(window=window, capacity=context + 64)
        for context in sorted(args.contexts, reverse=True)
    ]
    graphed = Graphed(model, sizes)
    list(graphed.warm([even(8)]))
    warmed = time.perf_counter()
    row: Row = {
        "scheme": scheme,
        "draw_s": built - began,
        "warm_s": warmed - built,
        "graphs": graphed.graphs.captured,
        "kernels": fused.forms(),
    }
    report["schemes"].append(row)
    for context in args.contexts:
        found = one_context(graphed, scheme, context, args.hole, box, device)
        report["contexts"].append(found)
        print(json.dumps(found), flush=True)
        write(args.out, report)
    row["compiled_later"] = graphed.late_forms
    memory = cuda.memory(device)
    row["most_bytes"] = memory.most if memory else None
    assert plan_of(even(8)) == plan_of(even(4))
    if scheme != "int8 whole":
        report["linears"] += linears(model, scheme, device, box)
        report["kernels"][scheme] = kernel_times(graphed, device)


def write(out: str | None, report: Row) -> None:
    if out:
        Path(out).write_text(json.dumps(report, indent=1))


def table(rows: list[Row], columns: list[str]) -> str:
    def cell(value: Any) -> str:
        return f"{value:.3g}" if isinstance(value, float) else str(value)

    lines = [" | ".join(columns), " | ".join("---" for _ in columns)]
    lines += [" | ".join(cell(row.get(c, "")) for c in columns) for row in rows]
    return "\n".join(f"| {line} |" for line in lines)


def tables(report: Row) -> str:
    contexts = report["contexts"]
    forwards = ["scheme", "context", "full_ms", "full_limit_ms", "full_share"]
    steps = ["called_ms", "replay_ms", "replay_limit_ms", "replay_share"]
    holes = [f"total_{n}_ms" for n in STEPS]
    whole = ["scheme", "context", "first_ms", *holes, "total_8_share", "plain_8_ms"]
    schemes = ["scheme", "draw_s", "warm_s", "graphs", "kernels", "compiled_later"]
    return "\n\n".join(
        [
            json.dumps(report["box"]),
            table(contexts, forwards + steps),
            table(contexts, [*whole, "same_tokens"]),
            table(report["schemes"], [*schemes, "most_bytes", "error"]),
            table(report["linears"], ["scheme", "linear", "rows", "us", "of_memory"]),
            *report["kernels"].values(),
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    out = os.environ.get("OUT")
    parser.add_argument("--shape", choices=SHAPES, default="7b")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--schemes", nargs="+", choices=SCHEMES, default=SCHEMES)
    parser.add_argument("--contexts", nargs="+", type=int, default=[1024, 2048, 4096])
    parser.add_argument("--hole", type=int, default=32)
    parser.add_argument("--out", default=f"{out}/gpu.json" if out else None)
    args = parser.parse_args()
    args.device = cuda.choose(args.device)
    cuda.take(args.device)
    box = measure(args.device, small=args.shape == "tiny")
    report: Row = {"box": asdict(box), "schemes": [], "contexts": [], "linears": []}
    report["kernels"] = {}
    print(json.dumps(report["box"]), flush=True)
    for scheme in args.schemes:
        try:
            one_scheme(scheme, args, report, box)
        except Exception as failure:
            # A rented card is there for minutes: one number type that fails must not cost
            # the others.
            report["schemes"].append({"scheme": scheme, "error": repr(failure)[:300]})
            traceback.print_exc()
        write(args.out, report)
    print(tables(report))


if __name__ == "__main__":
    main()
