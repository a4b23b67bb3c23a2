"""How much memory a model would take, and how much is free where it would run.

Must not open weights.
"""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dlmd.serve import which
from dlmd.settings import Settings
from dlmd.store.automatic import EIGHT_BITS

FLOAT32 = 2.0  # of the bfloat16 in the file


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    bytes: int
    free: int | None  # None: nobody knows
    where: str

    @property
    def fits(self) -> bool:
        return self.free is None or self.bytes <= self.free

    @property
    def seen(self) -> str:
        if self.free is None:
            return "nothing is known of it here"
        return f"{self.bytes / 1e9:.2f} GB wanted of {self.free / 1e9:.1f} GB free in {self.where}"


def need(chosen: Settings) -> Need:
    from dlmd.model import cuda

    folder = which.configured(chosen.model).folder
    weights = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    picked = cuda.choose(chosen.device)
    on_card = cuda.memory(picked)
    share = 1.0
    twice = picked == "cpu" and chosen.dtype == "auto" and not tight(weights)
    if chosen.quantise != "none":
        share = EIGHT_BITS
    elif twice or chosen.dtype == "float32":
        share = FLOAT32
    return Need(
        bytes=int(weights * (share + 0.1)),
        free=_free_memory() if on_card is None else on_card.free,
        where="memory" if on_card is None else f"the memory of {picked}",
    )


def tight(weights: int) -> bool:
    """Whether there is no room to hold these bytes of bfloat16 in float32."""
    free = _free_memory()
    return free is not None and weights * (FLOAT32 + 0.1) > free


def _free_memory() -> int | None:
    with contextlib.suppress(OSError, ValueError, LookupError):
        lines = Path("/proc/meminfo").read_text().splitlines()
        told: Mapping[str, str] = dict(line.split(":", 1) for line in lines)
        return int(told["MemAvailable"].split()[0]) * 1024
    return None
