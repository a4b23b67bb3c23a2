"""A task: text on both sides of a hole, tests that judge the whole, and constant answers.

What is asked for decides what stands after the hole and how much of an answer counts:

line      a whole line, its indentation included: an answer ends at its first newline
lines     whole lines: blank ones at the end do not count
span      any run of characters: all of it counts
body      what stands below a signature: it ends where a line begins at the left edge
module    a whole file

Must not know files, models or how programs are run.
"""

import ast
import random
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

KINDS = ("line", "lines", "span", "body", "module")
CONSTANTS = ("empty line", "pass", "raise")


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    task_id: str
    kind: str
    entry_point: str
    prompt: str
    suffix: str
    canonical_solution: str
    checks: str  # run after the program; an exception says that it is wrong

    @property
    def problem(self) -> str:
        """The problem a task was cut from: "…/HumanEval/7/L3" and "…/L4" share one."""
        if self.kind in ("body", "module"):
            return self.task_id
        return self.task_id.rpartition("/")[0] or self.task_id

    @property
    def reference(self) -> str:
        if self.kind == "span":
            return self.canonical_solution
        return self.canonical_solution.rstrip("\n")

    @property
    def after(self) -> str:
        """What stands after the hole."""
        return f"\n{self.suffix}" if self.kind in ("line", "lines") else self.suffix


def counted(task: Task, text: str) -> str:
    """What of a hole's text counts."""
    match task.kind:
        case "line":
            return text.split("\n", 1)[0]
        case "span":
            return text
        case "body":
            return upto_left_edge(text).rstrip()
    return text.rstrip()


def upto_left_edge(text: str) -> str:
    """The lines before the first that begins at the left edge, where a body has ended."""
    lines = text.split("\n")
    ends = (
        n
        for n, line in enumerate(lines)
        if n and line[:1].strip() and line[0] not in "#)]}"
    )
    return "\n".join(lines[: next(ends, len(lines))])


def program(task: Task, text: str) -> str:
    """The whole file with that text in its hole."""
    return f"{task.prompt}{counted(task, text)}{task.after}\n"


def without_function(task: Task) -> str:
    """The right program, and after it lines that take the function away again."""
    raising = f"def {task.entry_point}(*_, **__):\n    raise NotImplementedError\n"
    return f"{program(task, task.reference)}\n{raising}"


def constant_text(task: Task, name: str) -> str:
    """An answer that knows nothing but, generously, the right indentation."""
    indentation = task.reference[: -len(task.reference.lstrip()) or None]
    return {
        "empty line": "",
        "pass": f"{indentation}pass",
        "raise": f"{indentation}raise",
    }[name]


def sample(tasks: Sequence[Task], limit: int | None, seed: int) -> list[Task]:
    """`limit` tasks drawn by `seed`, in the order of the file; all without a limit."""
    if limit is None or limit >= len(tasks):
        return list(tasks)
    if limit < 1:
        raise ValueError(f"--limit is {limit}; expected 1 or more tasks")
    chosen = random.Random(seed).sample(range(len(tasks)), limit)
    return [tasks[i] for i in sorted(chosen)]


# ---- figures that need no run ----


def parses(source: str) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a model's odd escapes are its own affair
            ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def is_exact(task: Task, text: str) -> bool:
    """The reference, letter for letter; blanks at the end aside."""
    return counted(task, text).rstrip() == task.reference.rstrip()


def similarity(task: Task, text: str) -> float:
    """How much of the reference an edit away: twice the characters in common, in order,
    by all characters (Ratcliff and Obershelp)."""
    ours, theirs = counted(task, text).strip(), task.reference.strip()
    return SequenceMatcher(None, ours, theirs, autojunk=False).ratio()
