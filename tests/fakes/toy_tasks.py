"""A repository of one-line functions, its tasks, and a room that needs no process.

The room runs a candidate's file in this process: for tests of what learns from verdicts,
never of how verdicts are kept honest. Knows no model.
"""

from collections.abc import Sequence
from pathlib import Path

from dlmd_finetune.sandbox.room import Candidate, Outcome, Score
from dlmd_finetune.tasks.task import Mined, Stage, Task

HEAD = "def f{n}(a):\n    "
BODIES = ("return a", "return a + 1", "return -a", "return 2 * a")


def toy_repository(tree: Path, count: int = 6) -> list[Task]:
    """Functions in files of their own; the last third is held out."""
    tree.mkdir(parents=True, exist_ok=True)
    found = []
    for n in range(count):
        start, body = len(HEAD.format(n=n)), BODIES[n % len(BODIES)]
        (tree / f"m{n}.py").write_text(f"{HEAD.format(n=n)}{body}\n")
        found.append(
            Task(
                id=f"t{n}",
                path=f"m{n}.py",
                function=f"f{n}",
                level="statement",
                start=start,
                end=start + len(body),
                original=body,
                tests=(f"{n}:3", f"{n}:5"),
                held_back=(f"{n}:7",),
                timeout_s=1.0,
                weight=1.0,
                split="train" if n < 2 * count // 3 else "test",
            )
        )
    return found


def toy_mined(tree: Path, count: int = 6) -> Mined:
    tasks = tuple(toy_repository(tree, count))
    stage = Stage(name="valid", unit="functions", left=count)
    return Mined(
        repo=str(tree),
        tree=str(tree),
        commit=None,
        python="python",
        pytest_args=(),
        tasks=tasks,
        funnel=(stage,),
    )


class ToyRoom:
    """A test "n:x" passes when f_n(x) is what the right body gives. Counts what it ran."""

    def __init__(self) -> None:
        self.warm = self.cold = 0

    def evaluate(self, candidates: Sequence[Candidate]) -> list[Outcome]:
        self.warm += len(candidates)
        return [judged(candidate) for candidate in candidates]

    def confirm(self, candidate: Candidate) -> Outcome:
        self.cold += 1
        return judged(candidate)

    def confirm_all(self, candidates: Sequence[Candidate]) -> list[Outcome]:
        return [self.confirm(candidate) for candidate in candidates]


def judged(candidate: Candidate) -> Outcome:
    passed = [test for test in candidate.node_ids if holds(candidate.text, test)]
    failed = [test for test in candidate.node_ids if test not in passed]
    return Score(tuple(passed), tuple(failed))


def holds(text: str, test: str) -> bool:
    n, given = map(int, test.split(":"))
    names: dict[str, object] = {}
    right = HEAD.format(n=n) + BODIES[n % len(BODIES)]
    try:
        exec(right, names)
        expected = names[f"f{n}"](given)  # type: ignore[operator]
        exec(text, names)
        return bool(names[f"f{n}"](given) == expected)  # type: ignore[operator]
    except BaseException:
        return False
