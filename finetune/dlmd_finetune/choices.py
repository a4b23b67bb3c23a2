"""What `dlmd tune` may be told, and what a run is called by it.

Each field is a flag. Loads nothing heavy; must not know how anything is done.
"""

import hashlib
import json
import math
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from dlmd_finetune.tasks.folder import folder_of
from dlmd_finetune.tasks.task import LEVELS

ESTIMATORS = ("coupled", "indep", "released")


@dataclass(frozen=True, slots=True, kw_only=True)
class TuneConfig:
    """What `dlmd tune` may be told."""

    repo: Path = field(metadata={"help": "A repository with tests that pytest runs."})
    dry_run: bool = field(
        default=False,
        metadata={"help": "Stop before learning: say which tasks the tests give."},
    )
    python: str | None = field(
        default=None,
        metadata={
            "help": "The repository's interpreter; else one is looked for: .venv, venv, "
            "Poetry's, uv's, tox's, the active one."
        },
    )
    sandbox: str = field(
        default="bubblewrap",
        metadata={
            "help": "Where candidates run: bubblewrap, e2b (a rented machine) or "
            "subprocess (limits only)."
        },
    )
    send: bool = field(
        default=False,
        metadata={"help": "With --sandbox e2b: send the files without asking."},
    )
    template: str | None = field(
        default=None,
        metadata={"help": "Of E2B, with the dependencies of the repository's tests."},
    )
    test_command: str | None = field(
        default=None,
        metadata={
            "help": "Judges in place of pytest: a command that writes JUnit XML to {junit}."
        },
    )
    trust: bool = field(
        default=False, metadata={"help": "Run this repository's code without asking."}
    )
    functions: int = field(
        default=400,
        metadata={"help": "Try at most so many functions, drawn by --seed."},
    )
    out: Path | None = field(
        default=None,
        metadata={"help": "Folder for the copy, the tasks and what follows from them."},
    )
    seed: int = field(default=0, metadata={"help": "Draws orders, tasks and mutants."})
    model: str = field(
        default="embedded",
        metadata={"help": "`embedded`, the name of a pulled model, or a folder."},
    )
    device: str = field(default="auto", metadata={"help": "auto, cpu, cuda or cuda:1."})
    base_bits: int | None = field(
        default=None,
        metadata={
            "help": "Of the frozen weights: 16 or 8; default: 8 where only that fits."
        },
    )
    shard: bool = field(
        default=False,
        metadata={
            "help": "With torchrun: while a step is learnt the frozen weights lie in parts, "
            "one in each process (FSDP2)."
        },
    )
    budget: float = field(
        default=240.0,
        metadata={"help": "Minutes for everything, the report included."},
    )
    steps: int = field(
        default=200, metadata={"help": "Steps of reinforcement, at most."}
    )
    tasks: int = field(default=8, metadata={"help": "Tasks of each step."})
    group: int = field(default=8, metadata={"help": "Fills of each task in a step."})
    level: str = field(
        default="auto",
        metadata={
            "help": "What is taken out: statement, block or body; auto: where the model "
            "passes between 5 and 60 % of its tries."
        },
    )
    context: int | None = field(
        default=None,
        metadata={
            "help": "Tokens the model sees while it learns; default: all it can."
        },
    )
    estimator: str = field(
        default="coupled",
        metadata={"help": "Log-probabilities by coupled, indep or released views."},
    )
    kl: float = field(
        default=0.02,
        metadata={"help": "Pull towards the model without the adapter."},
    )
    stay: float = field(
        default=10.0,
        metadata={"help": "Pull towards that model on code of others."},
    )
    learning_rate: float | None = field(
        default=None, metadata={"help": "Default: by the model's size."}
    )
    no_warm_start: bool = field(
        default=False, metadata={"help": "Do not show the repository's files first."}
    )
    samples: int = field(
        default=4, metadata={"help": "Fills of each held-out task that are judged."}
    )
    shuffle_rewards: bool = field(
        default=False,
        metadata={"help": "A control: deal the rewards out by chance. Must not help."},
    )
    activate: bool = field(
        default=False,
        metadata={"help": "Serve the adapter of the last run, if it is better."},
    )
    rollback: bool = field(
        default=False,
        metadata={"help": "Serve what was served before the last --activate."},
    )

    def __post_init__(self) -> None:
        if self.level not in (*LEVELS, "auto"):
            raise ValueError(
                f"--level is {self.level!r}; expected {', '.join(LEVELS)} or auto"
            )
        self._refuse_numbers()
        self._refuse_pairs()
        if self.estimator not in ESTIMATORS:
            raise ValueError(
                f"--estimator is {self.estimator!r}; expected {', '.join(ESTIMATORS)}"
            )
        if self.base_bits not in (None, 8, 16):
            raise ValueError(f"--base-bits is {self.base_bits}; expected 8 or 16")

    def _refuse_numbers(self) -> None:
        least: dict[str, float] = {"budget": 0.1, "steps": 1, "tasks": 1, "group": 2}
        least |= {"samples": 1, "kl": 0, "stay": 0, "context": 32}
        for name, bound in least.items():
            value = getattr(self, name)
            if value is not None and not bound <= value < math.inf:
                ends = ", and finite" * (value == math.inf)
                raise ValueError(
                    f"--{name} is {value}; expected at least {bound}{ends}"
                )
        rate = self.learning_rate
        if rate is not None and not 0 < rate <= 1:
            raise ValueError(
                f"--learning-rate is {rate}; expected more than 0 and at most 1"
            )

    def _refuse_pairs(self) -> None:
        """What cannot both be meant."""
        if self.shard and self.base_bits == 8:
            raise ValueError(
                "--shard and --base-bits 8 do not go together: eight bits are kept whole; "
                "leave one of them out"
            )
        asked = [n for n in ("dry_run", "activate", "rollback") if getattr(self, n)]
        if len(asked) > 1:
            one, other = (f"--{name.replace('_', '-')}" for name in asked[:2])
            raise ValueError(f"{one} and {other} do not go together; name one of them")

    @property
    def folder(self) -> Path:
        """Of the repository: its copy, its tasks, its runs."""
        return folder_of(self.repo.expanduser().resolve(), self.out)

    @property
    def run_folder(self) -> Path:
        """Of this run: the same choices on the same tasks go on where it stopped."""
        free = (
            "dry_run",
            "trust",
            "send",
            "activate",
            "rollback",
            "budget",
            "out",
            "repo",
            "shard",
        )
        kept = {name: value for name, value in told(self).items() if name not in free}
        key = self.folder / "tasks.key"  # of the state of the repository that was mined
        kept["state"] = key.read_text() if key.exists() else ""
        mark = hashlib.sha256(json.dumps(kept).encode()).hexdigest()[:8]
        return self.folder / f"run-{mark}"


def told(config: TuneConfig) -> dict[str, Any]:
    """The choices of a run, for people and for its name; a model by its whole path."""
    found = {name: str(value) for name, value in sorted(asdict(config).items())}
    if (folder := Path(config.model).expanduser()).is_dir():
        found["model"] = str(folder.resolve())
    return found


def state_of(config: TuneConfig) -> str:
    """What tasks depend on: the files as they lie there, and how they are mined."""
    digest = hashlib.sha256()
    chosen: tuple[Any, ...] = (config.python, config.sandbox)
    chosen += (config.functions, config.seed, config.test_command)
    digest.update(repr(chosen).encode())
    for place, folders, files in os.walk(config.repo.expanduser()):
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        for name in sorted(files):
            if name.endswith((".py", ".toml", ".cfg", ".ini")):
                about = os.stat(os.path.join(place, name))
                digest.update(
                    f"{place}/{name} {about.st_size} {about.st_mtime_ns}".encode(
                        errors="surrogateescape"
                    )
                )
    return digest.hexdigest()
