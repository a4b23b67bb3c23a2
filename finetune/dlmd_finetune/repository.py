"""`dlmd eval repo PATH`: how well a model fills holes in one repository.

Holes are single lines drawn from its files, compared with what stands there; with `--tasks`
they are the test tasks that `dlmd tune` mined, and their tests judge. Nothing is written into
the repository. Resumable, as all of `dlmd eval`. Must not know how a canvas is decoded or a
candidate confined.
"""

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from dlmd_finetune.evidence.answers import Answer, Answerer, canonical
from dlmd_finetune.evidence.asking import Choices, check_drawing, from_model
from dlmd_finetune.evidence.evaluate import cached
from dlmd_finetune.evidence.ledger import Row, key_of, open_ledger, whole
from dlmd_finetune.evidence.tasks import (
    CONSTANTS,
    Task,
    constant_text,
    counted,
    is_exact,
    parses,
    program,
    similarity,
)
from dlmd_finetune.sandbox import open_room
from dlmd_finetune.sandbox.room import Candidate, InfraFault, Score
from dlmd_finetune.tasks.task import Mined, filled, load, text_of

MOST_CHARACTERS = 200_000
NOT_ITS_OWN = {"site-packages", "node_modules", "build", "dist", "venv"}
Judge = Callable[[Task, str], dict[str, str]]  # kind and detail of an answer


@dataclass(frozen=True, slots=True, kw_only=True)
class RepositoryConfig:
    repo: Path = field(metadata={"help": "The repository; it is only read."})
    model: str = field(
        default="embedded",
        metadata={"help": "`embedded`, the name of a pulled model, or a folder."},
    )
    adapter: str | None = field(
        default=None, metadata={"help": "The folder of an adapter for the model."}
    )
    answers: str = field(
        default="model",
        metadata={"help": "Who answers: model, or canonical (must give 100 %)."},
    )
    tasks: Path | None = field(
        default=None,
        metadata={"help": "tasks.json of `dlmd tune`: its test tasks, by their tests."},
    )
    mode: str = field(
        default="quality", metadata={"help": "exact, quality or fast decoding."}
    )
    length: str = field(
        default="auto",
        metadata={"help": "auto: the model's own; oracle: the right one; or tokens."},
    )
    temperature: float = field(
        default=0.0, metadata={"help": "0 takes the likeliest token, above it draws."}
    )
    limit: int = field(
        default=200, metadata={"help": "So many holes at most, drawn by --seed."}
    )
    seed: int = field(
        default=0, metadata={"help": "Draws the holes, tokens and bootstrap samples."}
    )
    out: Path | None = field(
        default=None,
        metadata={"help": "Where results are kept and found again; default: cache."},
    )
    json: bool = field(default=False, metadata={"help": "Print figures as JSON."})
    device: str = field(
        default="auto", metadata={"help": "auto, cpu, mps, cuda or cuda:1."}
    )
    sandbox: str = field(
        default="bubblewrap",
        metadata={
            "help": "Room for the tests of --tasks: bubblewrap, subprocess, e2b."
        },
    )

    def __post_init__(self) -> None:
        if self.limit < 1:
            raise ValueError(f"--limit is {self.limit}; expected 1 or more holes")
        if self.answers not in ("model", "canonical"):
            raise ValueError(
                f"--answers is {self.answers!r}; expected model or canonical"
            )
        if self.seed < 0:
            raise ValueError(f"--seed is {self.seed}; expected 0 or more")
        check_drawing(self.mode, self.temperature)
        if self.tasks is not None and not tasks_file(self.tasks).is_file():
            raise ValueError(
                f"there are no tasks at {self.tasks}; mine them with `dlmd tune REPO "
                "--dry-run --out FOLDER` and give that folder"
            )
        if not self.repo.is_dir():
            raise ValueError(f"{self.repo} is no folder; name a repository")


def main(config: RepositoryConfig) -> int:
    figures = measure(config)
    print(json.dumps(figures, indent=2) if config.json else text(figures))
    return 0


def measure(config: RepositoryConfig) -> dict[str, Any]:
    mined = None if config.tasks is None else load(tasks_file(config.tasks))
    asked = lines_of(config) if mined is None else tested(mined, config)
    answerer = _answerer(config)
    tests = mined and {t.id: [*t.tests, *t.held_back] for t in mined.of("test")}
    identity = [answerer.identity, str(config.repo.resolve()), tests, config.sandbox]
    path = config.out or cached(f"{answerer.name}-{key_of(*identity)}.jsonl")
    with open_ledger(path, wait=False) as ledger, judge(mined, config) as judged:
        keys = {t: key_of(asdict(t), *identity) for t in asked}
        known = sum(key in ledger.rows for key in keys.values())
        print(
            f"{answerer.name}: {len(asked)} holes of {config.repo}, {known} of them "
            f"answered before; results in {ledger.path}",
            file=sys.stderr,
        )
        rows = []
        for task, key in keys.items():
            if key not in ledger.rows:
                row = {"key": key, "task": task.task_id, "sample": 0}
                row |= {"problem": file_of(task)}
                row |= _answered(answerer, task, judged)
                if row["kind"] == "infrastructure":
                    continue  # no score: the same command tries it again
                ledger.add(row)
            rows.append((task, whole(ledger.rows[key], ledger.path)))
    if not rows:
        raise ValueError("the sandbox could run none of the tests; see `dlmd doctor`")
    return summed(config, answerer, rows, len(asked)) | {
        "judged": "as it stands there" if mined is None else "by tests",
        "results": str(path),
    }


def file_of(task: Task) -> str:
    return task.task_id.partition(":")[0]


def _answered(answerer: Answerer, task: Task, judged: Judge) -> Row:
    answer: Answer = answerer.answer(task, [0])[0]
    return asdict(answer) | judged(task, counted(task, answer.text))


def _answerer(config: RepositoryConfig) -> Answerer:
    if config.answers == "canonical":
        return canonical()
    choices = Choices(
        mode=config.mode,
        temperature=config.temperature,
        length=config.length,
        seed=config.seed,
    )
    return from_model(config.model, config.device, choices, config.adapter)


# ---- holes ----


def lines_of(config: RepositoryConfig) -> list[Task]:
    """Lines with something on them, of files that parse: all alike likely."""
    texts = dict(sources(config.repo))
    places = [
        (path, number)
        for path, known in texts.items()
        for number, line in enumerate(known.split("\n"))
        if len(line.strip()) > 2 and not line.lstrip().startswith("#")
    ]
    if not places:
        raise ValueError(f"{config.repo} holds no Python source; name a repository")
    chosen = random.Random(config.seed).sample(places, min(config.limit, len(places)))
    return [one_line(path, number, texts[path]) for path, number in sorted(chosen)]


def one_line(path: str, number: int, known: str) -> Task:
    lines = known.split("\n")
    above, below = (f"{line}\n" for line in lines[:number]), lines[number + 1 :]
    return Task(
        task_id=f"{path}:{number + 1}",
        kind="line",
        entry_point="",
        prompt="".join(above),
        suffix="\n".join(below),
        canonical_solution=f"{lines[number]}\n",
        checks="",
    )


def sources(repo: Path) -> Iterator[tuple[str, str]]:
    for path in listed(repo):
        try:
            known = (repo / path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            continue
        if len(known) <= MOST_CHARACTERS and parses(known):
            yield path, known


def listed(repo: Path) -> list[str]:
    """What git tracks; where there is no git, all but what is hidden or not its own."""
    git = ["git", "-C", str(repo), "ls-files", "-z", "*.py"]
    done = subprocess.run(git, capture_output=True)
    if done.returncode == 0 and done.stdout:
        return sorted(os.fsdecode(done.stdout).strip("\0").split("\0"))
    found = (path.relative_to(repo) for path in repo.rglob("*.py"))
    return sorted(
        path.as_posix()
        for path in found
        if not any(p.startswith(".") or p in NOT_ITS_OWN for p in path.parts)
    )


def tasks_file(path: Path) -> Path:
    return path / "tasks.json" if path.is_dir() else path


def tested(mined: Mined, config: RepositoryConfig) -> list[Task]:
    """The test tasks of a mined repository, which tuning never sees."""
    chosen = list(mined.of("test"))
    if not chosen:
        raise ValueError(
            f"{config.tasks} holds no test tasks; mine more with `dlmd tune REPO --dry-run`"
        )
    if len(chosen) > config.limit:
        chosen = random.Random(config.seed).sample(chosen, config.limit)
    found = []
    for task in chosen:
        known = text_of(mined.tree, task.path)
        found.append(
            Task(
                task_id=task.id,
                kind="span" if task.level == "statement" else "body",
                entry_point=task.function,
                prompt=known[: task.start],
                suffix=known[task.end :],
                canonical_solution=task.original,
                checks="",
            )
        )
    return found


# ---- verdicts ----


@contextmanager
def judge(mined: Mined | None, config: RepositoryConfig) -> Iterator[Judge]:
    if mined is None:
        yield as_it_stands
        return
    known = {task.id: task for task in mined.tasks}
    ids = [node for task in mined.of("test") for node in (*task.tests, *task.held_back)]
    with open_room(
        config.sandbox,
        Path(mined.tree),
        mined.python,
        at=Path(mined.repo),
        tests=list(dict.fromkeys(ids)),
        pytest_args=mined.pytest_args,
    ) as room:

        def by_tests(task: Task, fill: str) -> dict[str, str]:
            told = known[task.task_id]
            candidate = Candidate(
                path=told.path,
                text=filled(text_of(mined.tree, told.path), told, fill),
                node_ids=(*told.tests, *told.held_back),
                timeout_s=told.timeout_s,
            )
            match room.evaluate([candidate])[0]:
                case Score(failed=failed):
                    kind = "failed" if failed else "passed"
                    return {"kind": kind, "detail": ", ".join(failed[:3])}
                case InfraFault(reason=reason):
                    return {"kind": "infrastructure", "detail": reason}
                case fault:
                    return {"kind": "failed", "detail": fault.reason}

        yield by_tests


def as_it_stands(task: Task, fill: str) -> dict[str, str]:
    return {"kind": "passed" if is_exact(task, fill) else "failed", "detail": ""}


# ---- figures ----


def summed(
    config: RepositoryConfig,
    answerer: Answerer,
    rows: Sequence[tuple[Task, Row]],
    asked: int,
) -> dict[str, Any]:
    from dlmd_finetune.evidence.statistics import share_interval

    files = [file_of(task) for task, _ in rows]
    texts = [(task, counted(task, row["text"])) for task, row in rows]

    def over(values: Sequence[float]) -> dict[str, float]:
        return asdict(share_interval(values, files, seed=config.seed))

    return {
        "answers": answerer.name,
        "repo": str(config.repo),
        "holes": len(rows),
        "not_judged": asked - len(rows),
        "files": len(set(files)),
        "passed": over([float(row["kind"] == "passed") for _, row in rows]),
        "exact_match": over([float(is_exact(*pair)) for pair in texts]),
        "similarity": over([similarity(*pair) for pair in texts]),
        "parse_rate": over([float(parses(program(*pair))) for pair in texts]),
        "constants": {
            name: over([float(is_exact(t, constant_text(t, name))) for t, _ in rows])
            for name in CONSTANTS
        },
    }


def text(figures: dict[str, Any]) -> str:
    def line(name: str, rate: dict[str, float]) -> str:
        value, low, high = (
            f"{100 * rate[end]:.1f}" for end in ("value", "low", "high")
        )
        return f"{name:22}{value:>6} %  [{low}, {high}]"

    rows = [line("passes its tests", figures["passed"])]
    if figures["judged"] != "by tests":
        rows = []
    return "\n".join(
        [
            f"{figures['answers']}: {figures['holes']} holes in {figures['files']} files of "
            f"{figures['repo']}, judged {figures['judged']}; "
            "95 % intervals by bootstrap over files",
            "",
            *rows,
            line("exact match", figures["exact_match"]),
            line("edit similarity", figures["similarity"]),
            line("whole file parses", figures["parse_rate"]),
            *(
                line(f"exact: {name}", rate)
                for name, rate in figures["constants"].items()
            ),
            *(
                [f"NOT JUDGED: {figures['not_judged']}, by faults of the sandbox"]
                if figures["not_judged"]
                else []
            ),
        ]
    )
