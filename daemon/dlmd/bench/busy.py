"""The same infills while the cores are idle and while other processes load them all.

Blocks of both take turns, so that what else changes on the machine hits both. Must not
know how infills are asked.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

ROUNDS = 2
# Ends with whoever started it, however that ends.
LOAD = (
    "import os\nparent = os.getppid()\n"
    "while os.getppid() == parent:\n    for _ in range(10**6): pass"
)


def cores() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


@contextmanager
def loaded(processes: int) -> Iterator[None]:
    """So many processes compute without end, until the context is left."""
    running: list[subprocess.Popen[bytes]] = []
    try:
        for _ in range(processes):
            running.append(subprocess.Popen([sys.executable, "-S", "-c", LOAD]))
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def blocks(infills: int) -> list[tuple[bool, range]]:
    """(loaded?, which infills), in turns; every infill is asked in both states."""
    share = max(1, infills // ROUNDS)
    starts = range(0, infills, share)
    return [
        (is_loaded, range(at, min(at + share, infills)))
        for at in starts
        for is_loaded in (False, True)
    ]
