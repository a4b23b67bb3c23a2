"""The funnel as it is drawn, and what is said where there is too little."""

import io
from dataclasses import replace

from dlmd_finetune.evidence.gate import fewest_clusters
from dlmd_finetune.evidence.statistics import TAIL
from dlmd_finetune.tasks.funnel import ENOUGH_FILES, advice, draw, losses
from dlmd_finetune.tasks.task import Mined, Split, Stage, Task
from rich.console import Console


def task(number: int, split: Split) -> Task:
    return Task(
        id=f"m.py::f{number}::body@1-2",
        path=f"m{number % 9}.py",
        function=f"f{number}",
        level="body",
        start=0,
        end=1,
        original="x",
        tests=("t",),
        held_back=("u",),
        timeout_s=5,
        weight=1,
        split=split,
    )


def mined(train: int, dev: int, test: int) -> Mined:
    counts: dict[Split, int] = {"train": train, "dev": dev, "test": test}
    sides = [side for side, count in counts.items() for _ in range(count)]
    lost = losses({"m.py::g": "no test runs it", "m.py::h": "no test runs it"})
    return Mined(
        repo="r",
        tree="t",
        commit=None,
        python="p",
        pytest_args=(),
        tasks=tuple(task(n, side) for n, side in enumerate(sides)),
        funnel=(
            Stage(name="found", unit="functions", left=train + dev + test + 2),
            Stage(
                name="covered", unit="functions", left=train + dev + test, losses=lost
            ),
        ),
        notes=("A note.",),
    )


def drawn(found: Mined) -> str:
    out = io.StringIO()
    draw(found, Console(file=out, width=100))
    return out.getvalue()


def test_each_loss_stands_with_its_reason() -> None:
    text = drawn(mined(60, 10, 30))
    assert "functions found" in text and "102" in text
    assert "-2" in text and "no test runs it  (m.py::g, m.py::h)" in text
    assert "A note." in text and "needed for a verdict" not in text
    assert any(line.split() == ["body", "60", "10", "30"] for line in text.splitlines())


def test_a_bar_is_as_long_as_its_share() -> None:
    lines = drawn(mined(60, 10, 30)).splitlines()
    full, part = (lines[n].count("█") for n in (0, 1))
    assert full == 24 and part == round(24 * 100 / 102)


def test_too_few_are_told_so_and_what_would_help() -> None:
    first, files, second = advice(mined(3, 1, 2))
    assert first.startswith(
        "6 functions can be learnt from or judged by (3 to learn, 2"
    )
    assert second == ("What would help: tests for the 2 functions that no test runs.")
    assert files.startswith("Those to judge by stand in 2 files; of fewer than 6 ")
    assert first in " ".join(drawn(mined(3, 1, 2)).split())


def test_so_many_files_are_asked_for_as_the_verdict_needs() -> None:
    assert fewest_clusters(TAIL) == ENOUGH_FILES
    assert advice(mined(60, 10, 30)) == []
    enough = mined(60, 10, 30)
    few = tuple(
        replace(each, path=f"m{n % 5}.py") for n, each in enumerate(enough.tasks)
    )
    files, _ = advice(replace(enough, tasks=few))
    assert "stand in 5 files" in files and "`not enough evidence`" in files


def test_none_at_all_can_be_drawn() -> None:
    assert "0 functions" in drawn(mined(0, 0, 0))


def test_losses_are_sorted_by_how_many() -> None:
    found = losses({"a": "x", "b": "y", "c": "y", "d": "y"})
    assert [(loss.reason, loss.count, loss.examples) for loss in found] == [
        ("y", 3, ("b", "c")),
        ("x", 1, ("a",)),
    ]
