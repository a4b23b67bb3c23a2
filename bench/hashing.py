"""How fast the check before each load is: sha256 of a model's files, by how many at a time.

    .venv/bin/python bench/hashing.py [GB]

Writes four files into a temporary folder and hashes them from the page cache, as right
after a download; a cold disk is slower by what it reads. Knows no model.
"""

import os
import sys
import tempfile
import time
from pathlib import Path

from dlmd.store import verify


def main() -> None:
    size = int(float(sys.argv[1] if len(sys.argv) > 1 else 2) * 1e9) // 4
    block = os.urandom(1 << 20)
    with tempfile.TemporaryDirectory() as folder:
        names = [f"{n}.safetensors" for n in range(4)]
        for name in names:
            with (Path(folder) / name).open("wb") as out:
                for _ in range(size >> 20):
                    out.write(block)
        for some in (names[:1], names):
            verify.hashes(Path(folder), dict.fromkeys(some))  # once to warm
            verify._hashed.clear()  # what this process remembers
            began = time.perf_counter()
            verify.hashes(Path(folder), dict.fromkeys(some))
            took = time.perf_counter() - began
            total = sum((Path(folder) / name).stat().st_size for name in some)
            print(
                f"{len(some)} at a time: {total / took / 1e9:.2f} GB/s "
                f"({os.cpu_count()} cores)"
            )


if __name__ == "__main__":
    main()
