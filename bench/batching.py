"""What is gained by computing together: candidates and holes of one request, and requests.

    .venv/bin/python bench/batching.py

The embedded model on this CPU. Candidates: `n` rows in one batch against `n` requests of
one row. Holes: one document with two holes against a request for each. Rows: a full
forward over documents of several clients, padded to one length, against one each. Together
and apart take turns; each figure is the median of the ratios. Knows no daemon.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from dlmd.decode import Hole, InfillSettings, Tokenizer, infill
from dlmd.model import Dream, cpu, load, read_config
from dlmd.profiles import EMBEDDED_FOLDER, for_folder

BEFORE = "def total(prices):\n    value = 0\n    for price in prices:\n        "
AFTER = "\n    return value\n\n\n"
LINES = "names = [name for name in sorted(found) if name]\n"


class Bench:
    def __init__(self, folder: Path, lines: int) -> None:
        config = read_config(folder)
        chosen = cpu.choose(config, None)
        self.model: Dream = load(folder, dtype=chosen.dtype)
        cpu.watch(self.model, chosen)
        self.tokenizer = Tokenizer.load(folder)
        self.profile = for_folder(folder)
        self.context = LINES * lines

    def fill(self, mode: str, *, n: int = 1, holes: int = 1, seed: int = 1) -> None:
        blank = Hole(length=12)
        parts: list[Any] = [self.context]
        for _ in range(holes):
            parts += [BEFORE, blank, AFTER]
        settings = InfillSettings(
            mode=mode,  # type: ignore[arg-type]
            temperature=0.2,
            seed=seed,
            n=n,
            steps=6,
        )
        for _ in infill(self.model, self.tokenizer, self.profile, parts, settings):
            pass

    def forward(self, rows: int) -> None:
        length = len(self.tokenizer.encode(self.context + BEFORE + AFTER)) + 12
        tokens_BT = torch.full((rows, length), 100)
        rows_N = torch.cat([torch.arange(12) + row * length for row in range(rows)])
        with torch.no_grad():
            self.model(tokens_BT, rows_N=rows_N)


def ratio(
    together: Callable[[], None], apart: Callable[[], None], times: int
) -> tuple[float, float, float]:
    """Medians: ms together, ms apart, and of each pair's ratio."""
    pairs = [(took(together), took(apart)) for _ in range(times + 2)][2:]
    one, many = zip(*pairs, strict=True)
    shares = statistics.median(a / b for a, b in pairs)
    return statistics.median(one), statistics.median(many), shares


def took(act: Callable[[], None]) -> float:
    began = time.perf_counter()
    act()
    return (time.perf_counter() - began) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=EMBEDDED_FOLDER)
    parser.add_argument("--lines", type=int, default=12, help="of context")
    parser.add_argument("--times", type=int, default=9)
    options = parser.parse_args()
    bench = Bench(options.model, options.lines)
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}")
    print(
        "| what | together, ms | apart, ms | together / apart |\n| --- | --- | --- | --- |"
    )

    def row(name: str, one: Callable[[], None], many: Callable[[], None]) -> None:
        first, second, share = ratio(one, many, options.times)
        print(f"| {name} | {first:.0f} | {second:.0f} | {share:.2f} |", flush=True)

    def times(count: int, act: Callable[[int], None]) -> None:
        for number in range(count):
            act(number)

    for mode in ("fast", "exact"):
        for n in (2, 4):
            row(
                f"{n} candidates, {mode}",
                lambda n=n, mode=mode: bench.fill(mode, n=n),  # type: ignore[misc]
                lambda n=n, mode=mode: times(  # type: ignore[misc]
                    n, lambda seed: bench.fill(mode, seed=seed)
                ),
            )
        row(
            f"2 holes of one document, {mode}",
            lambda mode=mode: bench.fill(mode, holes=2),  # type: ignore[misc]
            lambda mode=mode: times(2, lambda seed: bench.fill(mode, seed=seed)),  # type: ignore[misc]
        )
    for rows in (2, 4, 8):
        row(
            f"full forward of {rows} documents",
            lambda rows=rows: bench.forward(rows),  # type: ignore[misc]
            lambda rows=rows: times(rows, lambda seed: bench.forward(1)),  # type: ignore[misc]
        )


if __name__ == "__main__":
    main()
