"""Files of tasks, as their publishers write them: JSON lines, plain or in gzip.

infilling   HumanEval-Infilling, single-line, multi-line and random-span
humaneval   HumanEval, and HumanEval+ with `test` or with inputs
mbpp        MBPP, MBPP sanitized, and MBPP+ with `test` or with inputs

Which of the three a file is shows in its fields. Tests given as inputs compare a candidate
with the right solution. Must not know models or how programs are run.
"""

import ast
import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from dlmd_finetune.evidence.tasks import Task

Row = dict[str, Any]
KINDS = {"SingleLine": "line", "MultiLine": "lines", "RandomSpan": "span"}
FORMS = {
    "infilling": ("task_id", "entry_point", "prompt", "suffix", "canonical_solution", "test"),
    "humaneval": ("task_id", "entry_point", "prompt", "canonical_solution"),
    "mbpp": ("task_id",),
}  # fmt: skip
OPTIONAL: tuple[tuple[str, type[Any], str], ...] = (
    ("test", str, "text"),
    ("entry_point", str, "text"),
    ("code", str, "text"),
    ("canonical_solution", str, "text"),
    ("test_setup_code", str, "text"),
    ("test_list", list, "a list of asserts"),
    ("test_imports", list, "a list of imports"),
    ("base_input", list, "a list of arguments"),
    ("plus_input", list, "a list of arguments"),
)
INPUTS = """\
import copy, json, math
def _same(one, other, atol):
    if isinstance(one, float) or isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-07, abs_tol=atol)
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(map(_same, one, other, [atol] * len(one)))
    return one == other
_room = {{}}
exec({solution!r}, _room)
for _given in json.loads({inputs!r}):
    _wanted = _room[{name!r}](*copy.deepcopy(_given))
    assert _same({name}(*copy.deepcopy(_given)), _wanted, {atol!r}), _given
"""


def read_tasks(path: Path, form: str) -> list[Task]:
    """All tasks of a file of that form, in its order."""
    try:
        rows = list(_rows(path))
    except FileNotFoundError as error:
        raise ValueError(
            f"no data at {path}; give the .jsonl or .jsonl.gz that was published"
        ) from error
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise ValueError(
            f"cannot read {path}: {error}; expected JSON lines, plain or in gzip"
        ) from error
    tasks = [_task(form, row, f"line {n} of {path}") for n, row in rows]
    if not tasks:
        raise ValueError(f"{path} holds no tasks; expected one JSON object per line")
    if len({task.task_id for task in tasks}) < len(tasks):
        raise ValueError(f"{path} names a task_id twice; expected each task once")
    return tasks


def _rows(path: Path) -> Iterator[tuple[int, str]]:
    with path.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
    read = gzip.open if packed else open
    with read(path, "rt", encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield number, line


def _task(form: str, line: str, where: str) -> Task:
    wanted = FORMS[form]
    try:
        row = json.loads(line)
        missing = [name for name in wanted if name not in row]
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(
            f"{where} is not JSON; expected one object per line"
        ) from error
    if not isinstance(row, dict) or missing:
        raise ValueError(
            f"{where} is not a task of {form}; expected a JSON object with "
            f"{', '.join(wanted)}"
        )
    if not all(isinstance(row[name], str) for name in wanted if name != "task_id"):
        raise ValueError(f"{where} has a field that is not text; all fields are text")
    for name, kind, expected in OPTIONAL:
        if not isinstance(row.get(name) or kind(), kind):
            raise ValueError(
                f"{where} has the {name} {row[name]!r}; expected {expected}"
            )
    return READERS[form](row | {"task_id": str(row["task_id"])}, where)


def _infilling(row: Row, where: str) -> Task:
    name = row["task_id"].split("Infilling", 1)[0]
    if name not in KINDS:
        raise ValueError(
            f"{where} has the task_id {row['task_id']!r}; expected "
            f"{' or '.join(KINDS)}Infilling/..., as published"
        )
    task = Task(
        task_id=row["task_id"],
        kind=KINDS[name],
        entry_point=row["entry_point"],
        prompt=row["prompt"],
        suffix=row["suffix"],
        canonical_solution=row["canonical_solution"],
        checks=_checked(row),
    )
    whole = task.prompt.endswith("\n") and task.canonical_solution.endswith("\n")
    if task.kind != "span" and not whole:
        raise ValueError(f"{where} cuts out parts of lines; expected whole lines")
    if task.kind == "line" and "\n" in task.reference:
        raise ValueError(f"{where} cuts out several lines; expected one")
    return task


def _humaneval(row: Row, where: str) -> Task:
    if "suffix" in row:
        raise ValueError(
            f"{where} has a suffix, so it is a hole and no function; use `dlmd eval "
            "infilling` for this file"
        )
    solution = row["prompt"] + row["canonical_solution"]
    return Task(
        task_id=row["task_id"],
        kind="body",
        entry_point=row["entry_point"],
        prompt=row["prompt"],
        suffix="",
        canonical_solution=row["canonical_solution"],
        checks=_checked(row) if "test" in row else _compared(row, solution, where),
    )


def _mbpp(row: Row, where: str) -> Task:
    told = row.get("prompt") or row.get("text")
    code = row.get("code") or row.get("canonical_solution") or ""
    asserts = row.get("test_list") or []
    tests = [row.get("test_setup_code") or "", *(row.get("test_imports") or ())]
    tests += asserts
    if not (isinstance(told, str) and code and all(isinstance(t, str) for t in tests)):
        raise ValueError(
            f"{where} is not a task of mbpp; expected text or prompt, code or "
            "canonical_solution, and tests"
        )
    if not (row.get("test") or asserts or "base_input" in row):
        raise ValueError(
            f"{where} has no tests; expected test_list, test or base_input"
        )
    checks = row.get("test") or "\n".join(tests)
    name = row.get("entry_point") or _asked_for(code, checks, where)
    if "base_input" in row:
        checks = _compared({**row, "entry_point": name}, code, where)
    plus = told.lstrip().startswith('"""')  # a description and an example already
    example = next((test for test in tests if test.startswith("assert")), "")
    return Task(
        task_id=row["task_id"],
        kind="module",
        entry_point=name,
        prompt=told if plus else f'"""\n{told.strip()}\n{example}\n"""\n',
        suffix="",
        canonical_solution=code.replace("\r\n", "\n"),
        checks=f"{checks}\n",
    )


def _checked(row: Row) -> str:
    return f"{row['test']}\ncheck({row['entry_point']})\n"


def _compared(row: Row, solution: str, where: str) -> str:
    inputs = [*(row.get("base_input") or ()), *(row.get("plus_input") or ())]
    if not inputs:
        raise ValueError(
            f"{where} has neither test nor inputs; expected one of the two"
        )
    try:
        atol = float(row.get("atol") or 0)
    except (ValueError, TypeError):
        raise ValueError(
            f"{where} has the atol {row['atol']!r}; expected a number"
        ) from None
    return INPUTS.format(
        solution=solution,
        inputs=json.dumps(inputs),
        name=row["entry_point"],
        atol=atol,
    )


def _asked_for(code: str, checks: str, where: str) -> str:
    """The function of the solution that the tests call."""
    try:
        defined = [
            n.name for n in ast.parse(code).body if isinstance(n, ast.FunctionDef)
        ]
    except SyntaxError as error:
        raise ValueError(f"{where} has code that does not parse") from error
    called = [name for name in defined if f"{name}(" in checks]
    if not called:
        raise ValueError(f"{where} has tests that call no function of its code")
    return called[-1]


READERS: dict[str, Callable[[Row, str], Task]] = {
    "infilling": _infilling,
    "humaneval": _humaneval,
    "mbpp": _mbpp,
}
