"""Names changed throughout a task: the same program to its tests, another to the eye."""

import ast
from dataclasses import replace

import pytest
from dlmd_finetune.evidence.renaming import own_names, renamed
from dlmd_finetune.evidence.tasks import Task, program

PROMPT = """\
import math
from typing import List

LIMIT = 3


def widest(rows: List[str], limit: int = LIMIT) -> int:
    \"\"\"The widest of rows.\"\"\"
    best = 0
    for row in rows:
"""
HOLE = "        best = max(best, len(row.strip()))\n"
SUFFIX = """\
    total = sorted([best, limit], key=lambda each: -each)
    try:
        return int(math.floor(total[0]))
    except ValueError as problem:
        raise KeyError(f"{best}") from problem
"""
CHECKS = """\
def check(candidate):
    assert candidate(["a", "bcd "]) == 3
    assert candidate(["a"], 7) == 7
check(widest)
"""


@pytest.fixture
def task() -> Task:
    return Task(
        task_id="SingleLineInfilling/Mine/1/L2",
        kind="line",
        entry_point="widest",
        prompt=PROMPT,
        suffix=SUFFIX,
        canonical_solution=HOLE,
        checks=CHECKS,
    )


def test_names_of_the_inside_change_everywhere_and_no_others() -> None:
    assert own_names(PROMPT + HOLE + SUFFIX) == [
        *("rows", "limit", "row", "total", "problem", "each")
    ]


def test_the_program_still_passes_its_tests(task: Task) -> None:
    changed = renamed(task)
    assert changed is not None
    source = program(changed, changed.reference)
    exec(source + changed.checks, {})
    for name in ("rows", "limit", "row", "total", "problem", "each"):
        words = {n.id for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Name)}
        assert name not in words
    assert "The widest of rows." in changed.prompt, "strings stay as they are"
    assert changed.canonical_solution.startswith("        best = max(best, len(")
    assert changed.canonical_solution != HOLE


def test_a_problem_has_the_same_names_in_all_its_tasks(task: Task) -> None:
    other = replace(task, task_id="SingleLineInfilling/Mine/1/L3")
    third = replace(task, task_id="SingleLineInfilling/Mine/2/L2")
    one, two, three = renamed(task), renamed(other), renamed(third)
    assert one is not None and two is not None and three is not None
    assert one.prompt == two.prompt and one.prompt != three.prompt
    assert renamed(task) == one


@pytest.mark.parametrize(
    "first, last, cuts",
    [(29, 32, False), (30, 32, True), (29, 31, True), (9, 12, False)],
)
def test_a_hole_that_cuts_a_new_name_is_left_out(
    task: Task, first: int, last: int, cuts: bool
) -> None:
    assert HOLE[29:32] == "row"
    span = replace(
        task,
        kind="span",
        prompt=PROMPT + HOLE[:first],
        canonical_solution=HOLE[first:last],
        suffix=HOLE[last:] + SUFFIX,
    )
    assert (renamed(span) is None) == cuts


def test_nothing_to_rename(task: Task) -> None:
    bare = replace(
        task, prompt="def f():\n", canonical_solution="    return 1\n", suffix=""
    )
    assert renamed(bare) is None
    assert renamed(replace(bare, prompt="def f(:\n")) is None
