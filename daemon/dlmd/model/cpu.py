"""What a CPU computes best with: the number type and how many threads, by measuring.

One layer of the model's own widths stands for all of them, so that a large model costs no
more than seconds to find out about. Weights that are all alike: time does not depend on
them. Must not know files, decoding or requests.
"""

import ctypes
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from time import perf_counter

import torch

from dlmd.model.dream import Dream, DreamConfig
from dlmd.model.packed import pack
from dlmd.model.threads import Pace, Watch, calibrate, counts, stand_before_layers
from dlmd.model.weights import NoInit

DOCUMENT, HOLE = 256, 48  # rows of a forward over a document, and of a step over a hole
VOCABULARY = 256
REPEATS = 5
MOST = torch.get_num_threads()  # cores, or what OMP_NUM_THREADS allows
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # as malloc.h numbers them
KEPT = 256 << 20
LARGEST = 32 << 20  # bytes of one tensor that is kept
WORTH = 1.5  # how much faster bfloat16 must be: it costs more agreement than any cache


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    dtype: torch.dtype
    tried: tuple[int, ...]  # numbers of threads
    wide: int  # the fastest for a document
    narrow: int  # the fastest for a hole


def keep_freed_memory() -> None:
    """Have the C library keep what a forward frees for the next one, up to KEPT bytes. By
    itself it hands megabytes back to the system after every layer, and faulting them in
    again takes a fifth of a forward (`bench/cached_steps.py`). Nothing where there is no
    glibc."""
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_TRIM_THRESHOLD, KEPT)
        mallopt(M_MMAP_THRESHOLD, LARGEST)


def choose(config: DreamConfig, dtype: torch.dtype | None = None) -> Choice:
    """Measure this machine. `dtype` is kept where it was chosen already."""
    tried = counts(MOST)
    torch.set_num_threads(1)  # the number type is no matter of who else computes
    dtype = dtype or faster_dtype(config)
    layer = sample(config, dtype)
    narrow = calibrate(forward(layer, HOLE), tried)
    wide = calibrate(forward(layer, DOCUMENT), tried)
    return Choice(dtype=dtype, tried=tuple(tried), wide=wide, narrow=narrow)


def faster_dtype(config: DreamConfig) -> torch.dtype:
    """bfloat16 where the CPU multiplies it natively, which few say of themselves."""
    exact = seconds(forward(sample(config, torch.float32), DOCUMENT))
    short = seconds(forward(sample(config, torch.bfloat16), DOCUMENT))
    return torch.bfloat16 if short * WORTH < exact else torch.float32


def watch(model: Dream, choice: Choice) -> Watch:
    """Keeps the number of threads right as long as the model lives."""
    tried = list(choice.tried)
    watching = Watch(Pace(tried, choice.wide), Pace(tried, choice.narrow))
    if len(tried) > 1:
        stand_before_layers(model, watching.before)
    return watching


def sample(config: DreamConfig, dtype: torch.dtype) -> Dream:
    """A model of one layer as wide as the real one's."""
    small = replace(config, num_hidden_layers=1, vocab_size=VOCABULARY)
    with torch.device("meta"), NoInit():
        model = Dream(small)
    model = model.to(dtype).to_empty(device="cpu")
    for weight in model.parameters():
        weight.data.fill_(0.01)
    pack(model, fewest=0)
    return model.eval().requires_grad_(False)


def forward(model: Dream, rows: int) -> Callable[[], object]:
    tokens_BT = torch.ones(1, rows, dtype=torch.long, device="cpu")

    def run() -> object:
        with torch.no_grad():
            return model(tokens_BT)

    return run


def seconds(run: Callable[[], object]) -> float:
    """The shortest of a few runs: what the machine can, whatever else it does."""
    run()
    times = []
    for _ in range(REPEATS):
        began = perf_counter()
        run()
        times.append(perf_counter() - began)
    return min(times)
