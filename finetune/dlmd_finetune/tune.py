"""`dlmd tune`: from a repository to an adapter that deserves to be served.

Reads top to bottom: mine, then learn, then judge. Must not know how tests are run.
"""

from dataclasses import dataclass, field
from pathlib import Path

from dlmd_finetune.tasks.mine import MineConfig, mine


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
        metadata={"help": "Where the repository's code runs: bubblewrap, subprocess."},
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


def tune(config: TuneConfig) -> int:
    mined = mine(
        MineConfig(
            repo=config.repo,
            python=config.python,
            sandbox=config.sandbox,
            trust=config.trust,
            functions=config.functions,
            out=config.out,
            seed=config.seed,
        )
    )
    if not config.dry_run:
        raise ValueError(
            f"{len(mined.tasks)} tasks lie ready, but learning is not part of this "
            "version; stop before it with --dry-run"
        )
    return 0
