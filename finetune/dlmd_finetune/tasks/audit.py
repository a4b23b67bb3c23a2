"""Builds the audit of functions with few tests: their calls, replayed and changed.

The calls were kept while the tests ran on the unchanged code. Answers are recorded twice,
under different hash seeds; what differs between the two is nobody's promise and dropped.
Must not know how a candidate is judged: the audit is one more test file.
"""

import json
import random
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dlmd_finetune.tasks import suite
from dlmd_finetune.tasks.inventory import Function
from dlmd_finetune.tasks.suite import Order, Place

REPLAY = Path(__file__).with_name("replay.py")
NAME = "test_dlmd_audit"
CASES = 16
RAISING = 4  # at most so many of them
LEAST = 2  # fewer cases are no audit
LIMIT_S = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """Of one function: the test to run, and how many calls it replays."""

    test: str
    cases: int


def audits(test: str) -> bool:
    """Whether this test is a replay, and none of the repository's."""
    return test.startswith(f"{NAME}.py::")


def build(
    place: Place, functions: Sequence[Function], calls: Mapping[str, Any]
) -> dict[str, Audit]:
    """By function id; functions whose calls cannot be replayed are not in it."""
    kept = [f for f in functions if calls.get(f.id)]
    rows = [
        {
            "module": calls[f.id][0][1],
            "name": f.name,
            "calls": [data for data, _ in calls[f.id]],
            "cases": [],
        }
        for f in kept
    ]
    if not rows:
        return {}
    _write(place.tree, rows)
    answers = [_recorded(place, len(rows), seed) for seed in (1, 2)]
    agreed = []
    for number, (function, row) in enumerate(zip(kept, rows, strict=True)):
        first, second = (each.get(number, {}) for each in answers)
        cases = [c for call, c in first.items() if second.get(call) == c]
        if len(chosen := _chosen(cases, function.id)) >= LEAST:
            agreed.append((function, row | {"cases": chosen, "calls": []}))
    _write(place.tree, [row for _, row in agreed])
    return {
        function.id: Audit(
            test=f"{NAME}.py::test_it_answers_as_before[{n}]", cases=len(row["cases"])
        )
        for n, (function, row) in enumerate(agreed)
    }


def _chosen(cases: list[dict[str, Any]], key: str) -> list[dict[str, Any]]:
    cases = random.Random(key).sample(cases, len(cases))
    giving = [case for case in cases if not case["raises"]]
    raising = [case for case in cases if case["raises"]]
    kept = giving[: CASES - min(RAISING, len(raising))] + raising[:RAISING]
    return [{"call": c["call"], "answer": c["answer"]} for c in kept] if giving else []


def _write(tree: Path, rows: list[dict[str, Any]]) -> None:
    (tree / f"{NAME}.py").write_bytes(REPLAY.read_bytes())
    (tree / f"{NAME}.json").write_text(json.dumps(rows), encoding="utf-8")


def _recorded(
    place: Place, number: int, seed: int
) -> dict[int, dict[str, dict[str, Any]]]:
    """Of each audit, by call: what it answers."""
    folder = place.work / "answers"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    tests = [f"{NAME}.py::test_it_answers_as_before[{n}]" for n in range(number)]
    suite.run(
        place,
        Order(
            select=tuple(tests),
            hash_seed=seed,
            limit_s=LIMIT_S,
            env=(("DLMD_AUDIT_RECORD", str(folder)),),
        ),
    )
    return {
        int(path.name): {
            case["call"]: case
            for line in path.read_text(encoding="utf-8").splitlines()
            if line.endswith("}") and (case := json.loads(line))
        }
        for path in folder.iterdir()
    }
