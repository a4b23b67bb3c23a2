"""`dlmd eval infilling`: how good a model is at filling single lines, and how sure.

Greedy, with the model's own length, through the product's decoder; resumable: each
result is kept as it comes, and the same command goes on where a killed one stopped.
Must not know how a program is confined or a canvas decoded.
"""

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

from dlmd_finetune import sandbox
from dlmd_finetune.evidence import answers
from dlmd_finetune.evidence.answers import Answerer, exact_match_probe
from dlmd_finetune.evidence.grade import Bench, grade, result_key
from dlmd_finetune.evidence.humaneval import CONSTANTS, Task, read_tasks, sample
from dlmd_finetune.evidence.ledger import Ledger, Row, key_of, open_ledger
from dlmd_finetune.evidence.summary import Summary, summarise, text

if TYPE_CHECKING:
    from rich.progress import Progress

__all__ = ["EvalConfig", "evaluate", "exact_match_probe", "main"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalConfig:
    data: Path = field(
        metadata={"help": "HumanEval-SingleLineInfilling.jsonl, plain or .gz."}
    )
    model: str = field(
        default="embedded",
        metadata={"help": "`embedded`, or the path of a model folder."},
    )
    answers: str = field(
        default="model",
        metadata={
            "help": "Who answers: model, or canonical (must give 100 %) or stub "
            "(must give 0 %) to check the ruler itself."
        },
    )
    limit: int | None = field(
        default=None, metadata={"help": "Only so many tasks, drawn by --seed."}
    )
    seed: int = field(
        default=0, metadata={"help": "Draws the tasks and the bootstrap samples."}
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
        default="subprocess",
        metadata={
            "help": "Room in which answers are executed; `subprocess` limits them, "
            "but does not keep them from the network or your files."
        },
    )
    timeout_s: float = field(
        default=5.0, metadata={"help": "Seconds a program may run."}
    )
    memory_mb: int = field(
        default=1024, metadata={"help": "Memory a program may take."}
    )
    workers: int = field(default=2, metadata={"help": "Programs run at a time."})


def main(config: EvalConfig) -> int:
    """Prints the figures; 1 when faults of the sandbox kept tasks from being judged."""
    summary = evaluate(config)
    print(json.dumps(summary, indent=2) if config.json else text(summary))
    return 1 if summary["not_judged"] else 0


def evaluate(config: EvalConfig) -> Summary:
    tasks = sample(read_tasks(config.data), config.limit, config.seed)
    bench = _bench(config)
    answerer = _answerer(config)
    path = config.out or _cache(f"{answerer.name}-{key_of(answerer.identity)}.jsonl")
    with open_ledger(path, wait=False) as ledger:
        _announce(tasks, answerer, bench, ledger)
        found = grade(tasks, answerer, bench, ledger)
        rows = list(_watched(found, len(tasks), answerer.name))
    constants = _constants(tasks, bench)
    summary = summarise(answerer.name, tasks, rows, constants, seed=config.seed)
    return summary | {
        "data": config.data.name,
        "limit": config.limit,
        "seed": config.seed,
        "room": bench.identity,
        "identity": answerer.identity,
        "results": str(path),
    }


def _constants(tasks: list[Task], bench: Bench) -> dict[str, list[Row]]:
    """Run once for each task and kept, whoever is measured beside them."""
    found = {}
    with open_ledger(_cache("constants.jsonl"), wait=True) as ledger:
        for name in CONSTANTS:
            rows = grade(tasks, answers.constant(name), bench, ledger)
            found[name] = list(_watched(rows, len(tasks), name))
    return found


def _bench(config: EvalConfig) -> Bench:
    if config.workers < 1:
        raise ValueError(f"--workers is {config.workers}; expected 1 or more")
    return Bench(
        room=sandbox.find(config.sandbox),
        name=config.sandbox,
        timeout_s=config.timeout_s,
        memory_mb=config.memory_mb,
        workers=config.workers,
    )


def _answerer(config: EvalConfig) -> Answerer:
    if config.answers == "model":
        return answers.from_model(config.model, config.device)
    if config.answers == "canonical":
        return answers.canonical()
    if config.answers == "stub":
        return answers.stub()
    raise ValueError(
        f"--answers is {config.answers!r}; expected model, canonical or stub"
    )


def _cache(name: str) -> Path:
    return platformdirs.user_cache_path("dlmd") / "eval" / name


def _announce(
    tasks: list[Task], answerer: Answerer, bench: Bench, ledger: Ledger
) -> None:
    known = sum(result_key(task, answerer, bench) in ledger.rows for task in tasks)
    print(
        f"{answerer.name}: {len(tasks)} tasks, {known} of them answered before; "
        f"results in {ledger.path}\n"
        f"programs run in the room `{bench.name}` for at most {bench.timeout_s:g} s",
        file=sys.stderr,
    )


def _watched(rows: Iterable[Row], total: int, name: str) -> Iterator[Row]:
    """The rows as they come, with a bar on a terminal and nothing elsewhere."""
    passed = 0
    with _bar() as bar:
        line = bar.add_task(name, total=total, passed=0)
        for row in rows:
            passed += row["kind"] == "passed"
            bar.update(line, advance=1, passed=passed)
            yield row


@contextmanager
def _bar() -> Iterator["Progress"]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[passed]} passed"),
        Remaining(),
        console=console,
        disable=not console.is_terminal,
    ) as bar:
        yield bar
