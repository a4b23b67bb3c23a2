"""What this machine could do at best, measured first, and the time a forward needs then.

A forward takes as long as its multiplications at the machine's matrix rate, or as reading
its weights and keys at the memory's, whichever is longer. No program is faster; how near
one comes is the figure that compares machines. Must not know daemons or decoding rules.

Shapes: D hidden width, L layers, V vocabulary, q query positions, S keys, r head rows.
"""

import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

TRIES, TRY_S = 16, 0.01
ROWS = 512
Run = Callable[[], object]
LEAST_BYTES, MOST_BYTES = 1 << 20, 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """The numbers of a model that its cost depends on."""

    hidden: int
    intermediate: int
    layers: int
    kv_share: float  # key/value heads for each query head
    vocabulary: int

    @property
    def linear(self) -> int:
        """Weights of all layers."""
        D, inner = self.hidden, self.intermediate
        return int(self.layers * (2 * D * D * (1 + self.kv_share) + 3 * D * inner))

    def flop(self, q: int, S: int, r: int) -> float:
        attention = 4 * self.layers * self.hidden * q * S
        return 2.0 * self.linear * q + attention + 2 * self.hidden * self.vocabulary * r

    def read(self, S: int, itemsize: int) -> float:
        """Bytes of one forward: weights, head, keys and values."""
        keys = 2 * self.layers * self.hidden * self.kv_share * S
        return (self.linear + self.hidden * self.vocabulary + keys) * itemsize


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """Measured, in the number type of the model and at the size of its weights."""

    device: str
    dtype: str
    itemsize: int
    matrix_tflops: float
    memory_gbs: float

    def limit_s(self, shape: Shape, q: int, S: int, r: int) -> float:
        return max(
            shape.flop(q, S, r) / (self.matrix_tflops * 1e12),
            shape.read(S, self.itemsize) / (self.memory_gbs * 1e9),
        )


def shape_of(config: dict[str, Any]) -> Shape:
    """From the numbers of a config.json."""
    heads = int(config["num_attention_heads"])
    return Shape(
        hidden=int(config["hidden_size"]),
        intermediate=int(config["intermediate_size"]),
        layers=int(config["num_hidden_layers"]),
        kv_share=int(config["num_key_value_heads"]) / heads,
        vocabulary=int(config["vocab_size"]),
    )


def shape_of_folder(folder: Path) -> Shape:
    return shape_of(json.loads((folder / "config.json").read_bytes()))


def measure_box(device: str, dtype: str, shape: Shape) -> Box:
    """A second or two. The matrix rate at the model's own widths."""
    import torch

    kind = getattr(torch, dtype)
    itemsize = torch.empty(0, dtype=kind, device="cpu").itemsize
    weights = (shape.linear + shape.hidden * shape.vocabulary) * itemsize
    return Box(
        device=device,
        dtype=dtype,
        itemsize=itemsize,
        matrix_tflops=matrix_rate(device, kind, shape) / 1e12,
        memory_gbs=memory_rate(device, int(weights)) / 1e9,
    )


def matrix_rate(device: str, dtype: "torch.dtype", shape: Shape) -> float:
    """Multiplications and additions a second, in the fastest way PyTorch has here."""
    import torch

    D, inner = shape.hidden, shape.intermediate
    x_RD = torch.randn(ROWS, D, device=device).to(dtype)
    w_ID = torch.randn(inner, D, device=device).to(dtype)
    runs: list[Run] = [lambda: torch.nn.functional.linear(x_RD, w_ID)]
    if device == "cpu" and torch.backends.mkldnn.is_available():
        # On some CPUs the other library is the faster one, with weights laid out for it.
        ops: Any = torch.ops.mkldnn
        packed, linear = ops._reorder_linear_weight(w_ID, ROWS), ops._linear_pointwise
        runs.append(lambda: linear(x_RD, packed, None, "none", [], ""))
    return 2.0 * ROWS * D * inner / fastest(runs, device)


def memory_rate(device: str, size: int) -> float:
    """Bytes a second, reading as much as the weights are: small ones stay in a cache."""
    import torch

    count = min(max(size, LEAST_BYTES), MOST_BYTES) // 4
    values = torch.ones(count, device=device, dtype=torch.float32)
    rows = values[: count // 1024 * 1024].view(-1, 1024)
    one = torch.ones(1024, device=device, dtype=torch.float32)
    runs: list[Run] = [values.sum, lambda: torch.mv(rows, one)]
    return 4.0 * count / fastest(runs, device)


def fastest(runs: Sequence[Run], device: str) -> float:
    """Seconds of the best of many short tries: what the machine can, whatever else it does."""
    import torch

    from dlmd.model import cuda

    all_threads = torch.get_num_threads()
    best = float("inf")
    for run, threads in itertools.product(runs, {1, all_threads}):
        torch.set_num_threads(threads)
        run()
        cuda.wait(device)
        took = 0.0
        for _ in range(TRIES):
            often = max(1, min(100, int(TRY_S / took))) if took else 1
            began = perf_counter()
            for _ in range(often):
                run()
            cuda.wait(device)
            took = (perf_counter() - began) / often
            best = min(best, took)
    torch.set_num_threads(all_threads)
    return best
