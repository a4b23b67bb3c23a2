"""Which model `auto` stands for: the 7B where it was pulled, is sound and has room, else the
embedded.

Nothing is ever downloaded for it. Must not know torch: who asks says how much room there is.
"""

from collections.abc import Callable
from dataclasses import dataclass

from dlmd.profiles import PROFILES
from dlmd.store import shelf

PREFERRED = "diffucoder-7b-cpgrpo"
# A seventh on top of the weights: activations, keys and values, the allocator.
ROOM = 8 / 7
# Of the bytes in bf16; embeddings and norms stay whole when the rest is halved.
EIGHT_BITS = 0.54


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    name: str
    eight_bits: bool = False  # it has room only so


def needed(name: str = PREFERRED, *, eight_bits: bool = False) -> int:
    """Bytes of free accelerator memory that the model takes."""
    size = PROFILES[name].size or 0
    return int(size * (EIGHT_BITS if eight_bits else 1) * ROOM)


def candidate() -> str:
    """What `auto` comes to if there is room: read from the disk, in no time."""
    here = shelf.find(PREFERRED) is not None and not shelf.doubted(PREFERRED)
    return PREFERRED if here else "embedded"


def choose(room: Callable[[], int | None], *, eight_bits: bool = False) -> Choice:
    """What `auto` stands for now; `eight_bits` when the weights will be halved anyway.

    `room` gives the free bytes of a CUDA or Apple GPU, None without one; it is called only
    when the answer depends on it.
    """
    if candidate() == "embedded":
        return Choice(name="embedded")
    free = room() or 0
    if not eight_bits and free >= needed():
        return Choice(name=PREFERRED)
    if free >= needed(eight_bits=True):
        return Choice(name=PREFERRED, eight_bits=True)
    return Choice(name="embedded")
