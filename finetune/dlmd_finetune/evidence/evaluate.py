"""`dlmd eval infilling`, `humaneval`, `mbpp`: how good a model is, and how sure that is.

Through the product's own decoder, with the model's own length unless told otherwise;
resumable: each result is kept as it comes, and the same command goes on where a killed
one stopped. Must not know how a program is confined or a canvas decoded.
"""

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

from dlmd_finetune import sandbox
from dlmd_finetune.evidence import answers
from dlmd_finetune.evidence.answers import Answerer
from dlmd_finetune.evidence.asking import Choices, check_drawing, from_model
from dlmd_finetune.evidence.formats import read_tasks
from dlmd_finetune.evidence.grade import Bench, grade, result_key
from dlmd_finetune.evidence.ledger import Ledger, Row, key_of, open_ledger
from dlmd_finetune.evidence.renaming import renamed
from dlmd_finetune.evidence.summary import Summary, summarise, text
from dlmd_finetune.evidence.tasks import CONSTANTS, Task, sample

if TYPE_CHECKING:
    from rich.progress import Progress

LONGEST_S = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalConfig:
    data: Path = field(
        metadata={"help": "The published file of tasks, .jsonl or .jsonl.gz."}
    )
    model: str = field(
        default="embedded",
        metadata={"help": "`embedded`, the name of a pulled model, or a folder."},
    )
    adapter: str | None = field(
        default=None, metadata={"help": "The folder of an adapter for the model."}
    )
    answers: str = field(
        default="model",
        metadata={
            "help": "Who answers: model, or canonical (must give 100 %) or stub "
            "(must give 0 %) to check the ruler itself."
        },
    )
    mode: str = field(
        default="exact", metadata={"help": "exact, quality or fast decoding."}
    )
    length: str = field(
        default="auto",
        metadata={"help": "auto: the model's own; oracle: the right one; or tokens."},
    )
    temperature: float = field(
        default=0.0, metadata={"help": "0 takes the likeliest token, above it draws."}
    )
    top_p: float | None = field(
        default=None, metadata={"help": "Draw from the likeliest tokens of this mass."}
    )
    samples: int = field(default=1, metadata={"help": "Answers to each task."})
    k: str = field(default="1", metadata={"help": "pass@k for these k, such as 1,10."})
    limit: int | None = field(
        default=None, metadata={"help": "Only so many tasks, drawn by --seed."}
    )
    renamed: bool = field(
        default=False,
        metadata={
            "help": "Ask with the function's own names changed throughout, so that no "
            "memory of the published text helps."
        },
    )
    seed: int = field(
        default=0, metadata={"help": "Draws the tasks, tokens and bootstrap samples."}
    )
    out: Path | None = field(
        default=None,
        metadata={"help": "Where results are kept and found again; default: cache."},
    )
    json: bool = field(default=False, metadata={"help": "Print figures as JSON."})
    device: str = field(
        default="auto", metadata={"help": "auto, cpu, mps, cuda or cuda:1."}
    )
    dtype: str = field(
        default="auto",
        metadata={
            "help": "float32, bfloat16 (faster on most processors, and other answers where "
            "two are nearly as likely), or auto: bfloat16 on a GPU."
        },
    )
    sandbox: str = field(
        default="auto",
        metadata={
            "help": "Room in which answers are executed; `bubblewrap` shuts them in, "
            "`subprocess` limits them, but leaves them the network and your files; "
            "auto: bubblewrap where this machine has it, and a word where not."
        },
    )
    timeout_s: float = field(
        default=5.0, metadata={"help": "Seconds a program may run."}
    )
    memory_mb: int = field(
        default=1024, metadata={"help": "Memory a program may take."}
    )
    workers: int = field(default=2, metadata={"help": "Programs run at a time."})

    def __post_init__(self) -> None:
        for name, least in (
            ("workers", 1),
            ("samples", 1),
            ("seed", 0),
            ("memory_mb", 64),
        ):
            if getattr(self, name) < least:
                raise ValueError(
                    f"--{name.replace('_', '-')} is {getattr(self, name)}; expected "
                    f"{least} or more"
                )
        if not 0 < self.timeout_s <= LONGEST_S:
            raise ValueError(
                f"--timeout-s is {self.timeout_s:g}; expected seconds above 0, at most "
                f"{LONGEST_S}"
            )
        check_drawing(self.mode, self.temperature, self.top_p)
        if self.samples > 1 and self.answers == "model" and not self.temperature:
            raise ValueError(
                f"--samples is {self.samples} at --temperature 0, where all are alike; "
                "give a temperature such as 0.8, or one sample"
            )
        if not all(1 <= k <= self.samples for k in self.ks):
            raise ValueError(
                f"--k is {self.k} with --samples {self.samples}; expected numbers from 1 "
                "to the number of samples"
            )

    @property
    def ks(self) -> list[int]:
        parts = self.k.split(",")
        if not all(part.strip().isdecimal() for part in parts):
            raise ValueError(f"--k is {self.k!r}; expected numbers such as 1,10")
        return [int(part) for part in parts]

    @property
    def choices(self) -> Choices:
        return Choices(
            mode=self.mode,
            temperature=self.temperature,
            top_p=self.top_p,
            length=self.length,
            seed=self.seed,
            dtype=self.dtype,
        )


def runner(form: str) -> "partial[int]":
    """The command for files of that form."""
    return partial(main, form=form)


def main(config: EvalConfig, form: str = "infilling") -> int:
    """Prints the figures; 1 when faults of the sandbox kept tasks from being judged."""
    summary = evaluate(config, form)
    print(json.dumps(summary, indent=2) if config.json else text(summary))
    return 1 if summary["not_judged"] else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a run found, before it is summed up."""

    tasks: list[Task]
    rows: list[Row]
    answerer: Answerer
    bench: Bench
    results: Path


def run(config: EvalConfig, form: str, answerer: Answerer | None = None) -> Found:
    tasks = asked(config, form)
    bench = _bench(config)
    answerer = answerer or _answerer(config)
    about = (answerer.identity, form, config.data.name, bench.identity)
    own = key_of(*about) + ("-renamed" if config.renamed else "")
    path = config.out or cached(f"{answerer.name}-{own}.jsonl")
    with open_ledger(path, wait=False) as ledger:
        _announce(tasks, answerer, bench, ledger, config.samples)
        found = grade(tasks, answerer, bench, ledger, config.samples)
        rows = list(_watched(found, len(tasks) * config.samples, answerer.name))
    return Found(tasks=tasks, rows=rows, answerer=answerer, bench=bench, results=path)


def asked(config: EvalConfig, form: str) -> list[Task]:
    """The tasks of a run. Renamed ones are those of the same draw, but for holes that cut
    through a name."""
    tasks = sample(read_tasks(config.data, form), config.limit, config.seed)
    if not config.renamed:
        return tasks
    changed = [each for task in tasks if (each := renamed(task)) is not None]
    if not changed:
        raise ValueError(
            f"{config.data} holds no task whose names can be changed; leave out --renamed"
        )
    return changed


def evaluate(
    config: EvalConfig, form: str = "infilling", answerer: Answerer | None = None
) -> Summary:
    """The figures of a run; of an answerer of your own where one is given."""
    found = run(config, form, answerer)
    name, identity = found.answerer.name, found.answerer.identity
    constants = _constants(found.tasks, found.bench)
    summary = summarise(
        name, found.tasks, found.rows, constants, seed=config.seed, ks=config.ks
    )
    return summary | {
        "form": form,
        "data": config.data.name,
        "limit": config.limit,
        "renamed": config.renamed,
        "seed": config.seed,
        "room": found.bench.identity,
        "identity": identity,
        "results": str(found.results),
    }


def _constants(tasks: list[Task], bench: Bench) -> dict[str, list[Row]]:
    """Run once for each task and kept, whoever is measured beside them."""
    found = {}
    path = cached("constants.jsonl")
    with open_ledger(path, wait=True, instead=f"see to {path.parent}") as ledger:
        for name in CONSTANTS:
            rows = grade(tasks, answers.constant(name), bench, ledger)
            found[name] = list(_watched(rows, len(tasks), name))
    return found


def _bench(config: EvalConfig) -> Bench:
    name = config.sandbox
    if name == "auto":
        name, reason = sandbox.strongest()
        if reason:
            print(
                f"programs are not shut in, only limited, because {reason}",
                file=sys.stderr,
            )
    return Bench(
        room=sandbox.find(name),
        name=name,
        timeout_s=config.timeout_s,
        memory_mb=config.memory_mb,
        workers=config.workers,
    )


def _answerer(config: EvalConfig) -> Answerer:
    if config.answers == "model":
        return from_model(config.model, config.device, config.choices, config.adapter)
    if config.answers == "canonical":
        return answers.canonical()
    if config.answers == "stub":
        return answers.stub()
    raise ValueError(
        f"--answers is {config.answers!r}; expected model, canonical or stub"
    )


def cached(name: str) -> Path:
    return platformdirs.user_cache_path("dlmd") / "eval" / name


def _announce(
    tasks: list[Task], answerer: Answerer, bench: Bench, ledger: Ledger, samples: int
) -> None:
    keys = [result_key(t, answerer, bench, n) for t in tasks for n in range(samples)]
    known = sum(key in ledger.rows for key in keys)
    each = "" if samples == 1 else f" x {samples} samples"
    print(
        f"{answerer.name}: {len(tasks)} tasks{each}, {known} of them answered before; "
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
