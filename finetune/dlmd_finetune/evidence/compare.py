"""`dlmd eval compare`: two runs on the same tasks, side by side and paired.

Reads the results that runs have kept; runs and decodes nothing.
"""

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import mean
from typing import Any

from dlmd_finetune.evidence.ledger import read_ledger, whole


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareConfig:
    results: list[Path] = field(
        metadata={"help": "Two files of results, as `dlmd eval` names them."}
    )
    json: bool = field(default=False, metadata={"help": "Print figures as JSON."})
    seed: int = field(default=0, metadata={"help": "Draws the bootstrap samples."})

    def __post_init__(self) -> None:
        if len(self.results) != 2:
            raise ValueError(
                f"{len(self.results)} files are given; name two files of results"
            )


def main(config: CompareConfig) -> int:
    figures = compare(config)
    print(json.dumps(figures, indent=2) if config.json else text(figures))
    return 0


def compare(config: CompareConfig) -> dict[str, Any]:
    """pass@1 of both on the tasks they share, and the second minus the first."""
    from dlmd_finetune.evidence.statistics import paired_difference, share_interval

    (one, problem_of), (two, _) = (scores(path) for path in config.results)
    shared = [task for task in one if task in two]
    if not shared:
        first, second = config.results
        raise ValueError(
            f"{first} and {second} have no task in common; name runs of the same data"
        )
    problems = [problem_of[task] for task in shared]
    before, after = ([known[task] for task in shared] for known in (one, two))
    return {
        "results": [str(path) for path in config.results],
        "tasks": len(shared),
        "left_out": len(one.keys() | two.keys()) - len(shared),
        "pass_at_1": [
            asdict(share_interval(each, problems, seed=config.seed))
            for each in (before, after)
        ],
        "difference": asdict(
            paired_difference(after, before, problems, seed=config.seed)
        ),
        "better": sum(b > a for a, b in zip(before, after, strict=True)),
        "worse": sum(b < a for a, b in zip(before, after, strict=True)),
    }


def scores(path: Path) -> tuple[dict[str, float], dict[str, str]]:
    """The share of right samples of each task, and the problem that each was cut from."""
    found: dict[str, dict[int, bool]] = defaultdict(dict)
    problems: dict[str, str] = {}
    for row in read_ledger(path).values():
        whole(row, path)
        problems[row["task"]] = row.get("problem") or problem_by_name(row["task"])
        known = found[row["task"]]
        if row.get("sample", 0) in known:
            raise ValueError(
                f"{path} holds several runs of {row['task']}; give each run a file of its "
                "own with --out"
            )
        known[row.get("sample", 0)] = row["kind"] == "passed"
    return {task: mean(each.values()) for task, each in found.items()}, problems


def problem_by_name(task: str) -> str:
    """For results from before they named it: "…Infilling/HumanEval/7/L3" and "…/L4"."""
    return task.rpartition("/")[0] if "Infilling/" in task else task


def text(figures: Mapping[str, Any]) -> str:
    def line(name: str, rate: Mapping[str, float], sign: str = "") -> str:
        value, low, high = (
            f"{100 * rate[end]:{sign}.1f}" for end in ("value", "low", "high")
        )
        return f"{name:12}{value:>6} %  [{low}, {high}]"

    first, second = figures["results"]
    one, two = figures["pass_at_1"]
    return "\n".join(
        [
            f"A  {first}",
            f"B  {second}",
            f"{figures['tasks']} tasks in both, {figures['left_out']} in one only",
            "",
            line("pass@1 of A", one),
            line("pass@1 of B", two),
            line("B - A", figures["difference"], "+")
            + f"   paired: {figures['better']} tasks better, {figures['worse']} worse",
        ]
    )
