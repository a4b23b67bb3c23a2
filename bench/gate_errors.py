"""How often the verdict errs, on repositories resampled from outcomes that runs recorded.

    .venv/bin/python bench/gate_errors.py RUN/verdict.json …

Each made-up repository draws whole files, with what the base did on their held-out tasks,
until it has --tasks of them. Where nothing changed, both sides are drawn from the same
recorded samples; where there is a true gain, samples that failed are turned into passes so often
that --gain points are gained on average. Prints how many of each were called better.
"""

import argparse
import json
from collections import defaultdict
from pathlib import Path

import numpy as np
from dlmd_finetune.evidence.gate import verdict

Outcomes = list[list[bool]]  # of each task, one for each recorded sample


def recorded(files: list[Path]) -> list[Outcomes]:
    """The base's outcomes, by files of the repositories."""
    found: dict[tuple[Path, str], Outcomes] = defaultdict(list)
    for file in files:
        told = json.loads(file.read_text())
        outcomes = told["models"]["base"]["passed"]
        for task, passed in zip(told["tasks"], outcomes, strict=True):
            found[file, task["path"]].append(passed)
    return list(found.values())


def repository(
    rng: np.random.Generator, files: list[Outcomes], tasks: int
) -> tuple[Outcomes, list[int]]:
    outcomes: Outcomes = []
    clusters: list[int] = []
    number = 0
    while len(outcomes) < tasks:
        drawn = files[int(rng.integers(len(files)))][: tasks - len(outcomes)]
        outcomes += drawn
        clusters += [number] * len(drawn)
        number += 1
    return outcomes, clusters


def shares(
    rng: np.random.Generator, outcomes: Outcomes, samples: int, turned: float
) -> list[float]:
    """Right samples of each task, drawn anew; failures become passes with that chance."""
    found = []
    for passed in outcomes:
        drawn = rng.choice(passed, size=samples) | (rng.random(samples) < turned)
        found.append(float(drawn.mean()))
    return found


def called_better(
    files: list[Outcomes], given: argparse.Namespace, times: int, gain: float
) -> int:
    rate = float(np.mean([np.mean(passed) for each in files for passed in each]))
    turned = gain / (1 - rate)
    better = 0
    for n in range(times):
        rng = np.random.default_rng((given.seed, n))
        outcomes, clusters = repository(rng, files, given.tasks)
        before = shares(rng, outcomes, given.samples, 0.0)
        after = shares(rng, outcomes, given.samples, turned)
        better += verdict(before, after, clusters, seed=n).word == "better"
    return better


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--tasks", type=int, default=40)
    parser.add_argument("--samples", type=int, default=4)
    parser.add_argument("--nulls", type=int, default=1000)
    parser.add_argument("--gains", type=int, default=100)
    parser.add_argument("--gain", type=float, default=20.0, help="points of pass@1")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    files = recorded(given.files)
    print(f"{len(files)} files, {sum(map(len, files))} tasks as recorded")
    null = called_better(files, given, given.nulls, 0.0)
    print(f"nothing changed: {null} of {given.nulls} called better")
    gained = called_better(files, given, given.gains, given.gain / 100)
    print(f"{given.gain:+.0f} points: {gained} of {given.gains} called better")


if __name__ == "__main__":
    main()
