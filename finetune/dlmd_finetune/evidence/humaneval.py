"""HumanEval-Infilling, single-line: its tasks, its protocol, its constant answers.

A task is a function with one line cut out, indentation and line end included. The
hole stands where a cursor would: prompt, hole, newline, suffix; no indentation is
given away. An answer ends at its first newline, and is right when the whole program
passes the problem's tests. Must not know models or how programs are run.
"""

import ast
import gzip
import json
import random
import warnings
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

FIELDS = ("task_id", "entry_point", "prompt", "suffix", "canonical_solution", "test")
CONSTANTS = ("empty line", "pass", "raise")


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    task_id: str
    entry_point: str
    prompt: str
    suffix: str
    canonical_solution: str
    test: str

    @property
    def problem(self) -> str:
        """The problem a task was cut from: "…/HumanEval/7/L3" and "…/L4" share one."""
        return self.task_id.rpartition("/")[0] or self.task_id

    @property
    def reference(self) -> str:
        return self.canonical_solution.rstrip("\n")


def read_tasks(path: Path) -> list[Task]:
    """All tasks of a .jsonl or .jsonl.gz file, in its order."""
    try:
        tasks = [_task(path, n, line) for n, line in _lines(path)]
    except FileNotFoundError as error:
        raise ValueError(
            f"no data at {path}; give HumanEval-SingleLineInfilling.jsonl.gz"
        ) from error
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise ValueError(
            f"cannot read {path}: {error}; expected JSON lines, plain or in gzip"
        ) from error
    if not tasks:
        raise ValueError(f"{path} holds no tasks; expected one JSON object per line")
    if len({task.task_id for task in tasks}) < len(tasks):
        raise ValueError(f"{path} names a task_id twice; expected each task once")
    return tasks


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    with path.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
    with gzip.open(path, "rt", encoding="utf-8") if packed else path.open() as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield number, line


def _task(path: Path, number: int, line: str) -> Task:
    where = f"line {number} of {path}"
    try:
        row = json.loads(line)
        task = Task(**{name: row[name] for name in FIELDS})
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{where} is not a task of HumanEval-Infilling; "
            f"expected a JSON object with {', '.join(FIELDS)}"
        ) from error
    if not all(isinstance(row[name], str) for name in FIELDS):
        raise ValueError(f"{where} has a field that is not text; all fields are text")
    one_line = "\n" not in task.reference and task.prompt.endswith("\n")
    if not (one_line and task.canonical_solution.endswith("\n")):
        raise ValueError(
            f"{where} cuts out more or less than one whole line; only the single-line "
            "set is measured, use HumanEval-SingleLineInfilling.jsonl.gz"
        )
    return task


def sample(tasks: Sequence[Task], limit: int | None, seed: int) -> list[Task]:
    """`limit` tasks drawn by `seed`, in the order of the file; all without a limit."""
    if limit is None or limit >= len(tasks):
        return list(tasks)
    if limit < 1:
        raise ValueError(f"--limit is {limit}; expected 1 or more tasks")
    chosen = random.Random(seed).sample(range(len(tasks)), limit)
    return [tasks[i] for i in sorted(chosen)]


def answer_line(text: str) -> str:
    """What of a hole's text counts."""
    return text.split("\n", 1)[0]


def program(task: Task, line: str) -> str:
    return f"{task.prompt}{line}\n{task.suffix}\n"


def checks(task: Task) -> str:
    return f"{task.test}\ncheck({task.entry_point})\n"


def constant_line(task: Task, name: str) -> str:
    """An answer that knows nothing but, generously, the right indentation."""
    indentation = task.reference[: -len(task.reference.lstrip()) or None]
    return {
        "empty line": "",
        "pass": f"{indentation}pass",
        "raise": f"{indentation}raise",
    }[name]


def without_function(task: Task) -> str:
    """The right program, and after it lines that take the function away again."""
    raising = f"def {task.entry_point}(*_, **__):\n    raise NotImplementedError\n"
    return f"{program(task, task.reference)}\n{raising}"


def parses(source: str) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a model's odd escapes are its own affair
            ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def is_exact(task: Task, line: str) -> bool:
    """The reference, letter for letter; blanks at the end of the line aside."""
    return line.rstrip() == task.reference.rstrip()
