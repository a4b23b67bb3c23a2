"""What a run will need of the device, told before it starts; and whether that fits.

Estimates from the model's numbers alone. Must not load a model or ask a daemon.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dlmd.model import cuda
from dlmd.model.config import read_config

from dlmd_finetune.rl.policy import LARGE, TWICE_BYTES

GIB = 2**30
HEADROOM = 1.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Bytes, by what they hold."""

    weights: int
    writing: int  # the second copy, where there is one
    adapter: int  # with gradients and both moments
    activations: int
    logits: int
    free: int | None  # None: nobody can say
    bits: int = 16  # of the frozen weights

    @property
    def total(self) -> int:
        parts = self.weights + self.writing + self.adapter
        return int(HEADROOM * (parts + self.activations + self.logits))

    @property
    def fits(self) -> bool:
        return self.free is None or self.total <= self.free

    def text(self, device: str) -> str:
        parts = [
            ("weights", self.weights),
            ("merged copy that writes", self.writing),
            ("adapter, gradients, moments", self.adapter),
            ("activations", self.activations),
            ("logits", self.logits),
        ]
        told = ", ".join(f"{name} {size / GIB:.2f}" for name, size in parts if size)
        if self.bits == 8:
            told = told.replace("weights", "weights in eight bits", 1)
        free = "unknown" if self.free is None else f"{self.free / GIB:.1f}"
        return (
            f"memory on {device}, GiB: {told}; {self.total / GIB:.2f} in all with "
            f"headroom, {free} free"
        )


def planned(
    folder: Path,
    device: str,
    *,
    rank: int,
    batch_tokens: int,
    free: int | None = None,
    bits: int = 16,
) -> Budget:
    config = read_config(folder)
    wide, inner, layers = (
        config.hidden_size,
        config.intermediate_size,
        config.num_hidden_layers,
    )
    keys = config.num_key_value_heads * config.head_dim
    layer = 2 * wide * wide + 2 * wide * keys + 3 * wide * inner
    table = config.vocab_size * wide
    own_head = not config.tie_word_embeddings
    parameters = layers * layer + table * (2 if own_head else 1)
    size = 2 if device.startswith("cuda") else 4
    whole = weights = parameters * size
    if bits == 8:  # embeddings stay as they are; one product at a time is turned back
        eight = layers * layer + own_head * table
        largest = max(wide * inner, own_head * table)
        weights = eight + (parameters - eight + largest) * size
    ends = 4 * 2 * wide - 2 * (wide - keys) + 3 * (wide + inner)
    kept = wide if parameters >= LARGE else 12 * wide + 3 * inner  # of each token
    return Budget(
        weights=weights,
        writing=whole if whole <= TWICE_BYTES and bits != 8 else 0,
        adapter=4 * 4 * rank * layers * ends,
        activations=batch_tokens * size * (layers * kept + 16 * wide + 4 * inner),
        logits=min(2**28, batch_tokens * config.vocab_size * 4) * 3,
        free=free if free is not None else free_bytes(device),
        bits=bits,
    )


def fitting(bits: int | None, plan: Callable[[int], Budget]) -> Budget:
    """The plan with that many bits; without a wish in eight where only that fits."""
    if bits is not None:
        return plan(bits)
    whole = plan(16)
    small = whole if whole.fits else plan(8)
    return small if small.fits else whole


def free_bytes(device: str) -> int | None:
    if (card := cuda.memory(device)) is not None:
        return card.free
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    table = dict(line.split(":", 1) for line in lines)
    return int(table["MemAvailable"].split()[0]) * 1024


def refuse_too_large(budget: Budget, device: str) -> None:
    """ValueError with advice, where a run would end for want of memory."""
    if budget.fits:
        return
    advice = "--base-bits 8, or a smaller model"
    if budget.activations + budget.logits > budget.total // 4:
        advice = "a smaller --context"
    if budget.weights < (budget.free or 0):
        advice += (
            ", or fewer programs beside it (`dlmd sleep` frees the daemon's device)"
        )
    assert budget.free is not None
    raise ValueError(
        f"tuning needs {budget.total / GIB:.1f} GiB on {device} and "
        f"{budget.free / GIB:.1f} are free; try {advice}"
    )
