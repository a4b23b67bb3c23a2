"""What mining hands on: tasks, the funnel that led to them, and where the copy lies.

A task is a hole in one file of the copy and the tests that judge what fills it. Offsets
count characters of `text_of`, which translates no line ends. Kept as JSON, so that
every later stage reads the same. Must not know rooms, git or models.
"""

import json
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

Level = Literal["statement", "block", "body"]
Split = Literal["train", "dev", "test"]
LEVELS: tuple[Level, ...] = ("statement", "block", "body")
SPLITS: tuple[Split, ...] = ("train", "dev", "test")
VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """`start` stands after the indentation of the hole's first line, `end` before the
    line end of its last."""

    id: str
    path: str  # within the repository, with "/"
    function: str  # qualified, as in "Stack.push"
    level: Level
    start: int
    end: int
    original: str
    tests: tuple[str, ...]  # each fails on a stub; their share is the reward
    held_back: tuple[str, ...]  # never a reward; one that fails makes the score 0
    timeout_s: float  # for all of its tests together
    weight: float  # 1, or a half where the tests notice few mutants
    split: Split


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """What did not pass one stage, for one reason."""

    reason: str
    count: int
    examples: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What was left after one stage, and what was lost in it."""

    name: str
    unit: str  # "functions", "tests"
    left: int
    losses: tuple[Loss, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Mined:
    repo: str  # where the user's tree lies; never written to
    tree: str  # the copy in which everything runs
    commit: str | None  # None without git
    python: str  # the repository's interpreter
    pytest_args: tuple[str, ...]  # what the suite needs beyond node ids
    tasks: tuple[Task, ...]
    funnel: tuple[Stage, ...]
    notes: tuple[str, ...] = ()  # sentences for the user
    seconds: float = 0.0

    def of(self, split: Split, level: Level | None = None) -> tuple[Task, ...]:
        return tuple(
            task
            for task in self.tasks
            if task.split == split and level in (None, task.level)
        )


# ---- texts ----


def text_of(tree: Path | str, path: str) -> str:
    """A file as its bytes have it: no line end translated, a byte order mark kept."""
    return (Path(tree) / path).read_bytes().decode("utf-8")


def filled(text: str, task: Task, fill: str) -> str:
    """The whole file with `fill` in the hole, in the file's own line ends."""
    assert text[task.start : task.end] == task.original, f"{task.path} has changed"
    ending = line_end(text)
    if ending != "\n":
        fill = fill.replace("\r\n", "\n").replace("\n", ending)
    return f"{text[: task.start]}{fill}{text[task.end :]}"


def line_end(text: str) -> str:
    found = Counter(
        {
            "\r\n": text.count("\r\n"),
            "\n": text.count("\n") - text.count("\r\n"),
            "\r": text.count("\r") - text.count("\r\n"),
        }
    )
    return found.most_common(1)[0][0] if text else "\n"


# ---- files ----


def save(mined: Mined, path: Path) -> None:
    """Written whole or not at all."""
    told = json.dumps({"version": VERSION} | asdict(mined), indent=1)
    fresh = path.with_name(path.name + ".part")
    fresh.write_text(told, encoding="utf-8")
    fresh.replace(path)


def load(path: Path) -> Mined:
    try:
        table: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if table.pop("version") != VERSION:
            raise KeyError("version")
        tasks = tuple(_task(row) for row in table.pop("tasks"))
        funnel = tuple(_stage(row) for row in table.pop("funnel"))
        arguments, notes = (tuple(table.pop(n)) for n in ("pytest_args", "notes"))
        return Mined(
            tasks=tasks, funnel=funnel, pytest_args=arguments, notes=notes, **table
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} holds no tasks of this version of dlmd; mine again with "
            "`dlmd tune REPO --dry-run`"
        ) from error


def _task(row: dict[str, Any]) -> Task:
    row["tests"], row["held_back"] = tuple(row["tests"]), tuple(row["held_back"])
    return Task(**row)


def _stage(row: dict[str, Any]) -> Stage:
    losses = (
        Loss(**each | {"examples": tuple(each["examples"])})
        for each in row.pop("losses")
    )
    return Stage(losses=tuple(losses), **row)
