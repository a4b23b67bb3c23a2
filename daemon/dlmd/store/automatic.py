"""Which model `auto` stands for: the 7B where it was pulled and has room, else the embedded.

Nothing is ever downloaded for it. Must not know torch: who asks says how much room there is.
"""

from collections.abc import Callable

from dlmd.profiles import PROFILES
from dlmd.store import shelf

PREFERRED = "diffucoder-7b-cpgrpo"
# Weights in bf16, and a seventh on top for activations, caches and the allocator.
ROOM = 8 / 7


def needed(name: str = PREFERRED) -> int:
    """Bytes of free accelerator memory that the model takes in bf16."""
    return int((PROFILES[name].size or 0) * ROOM)


def candidate() -> str:
    """What `auto` comes to if there is room: read from the disk, in no time."""
    return PREFERRED if shelf.find(PREFERRED) is not None else "embedded"


def choose(room: Callable[[], int | None]) -> str:
    """The name that `auto` stands for now.

    `room` gives the free bytes of a CUDA or Apple GPU, None without one; it is called only
    when the answer depends on it.
    """
    if candidate() == "embedded":
        return "embedded"
    free = room()
    return PREFERRED if free is not None and free >= needed() else "embedded"
