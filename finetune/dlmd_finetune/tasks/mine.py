"""From a repository to tasks: inventory, coverage, validation, split; one after another.

Everything runs in a copy; the user's tree is only read. Must not know models.
"""

from dataclasses import dataclass
from pathlib import Path

from dlmd_finetune.tasks.task import Mined


@dataclass(frozen=True, slots=True, kw_only=True)
class MineConfig:
    repo: Path
    python: str | None = None
    sandbox: str = "bubblewrap"
    trust: bool = False
    functions: int = 400
    out: Path | None = None
    seed: int = 0


def mine(config: MineConfig) -> Mined:
    raise ValueError(f"mining {config.repo} is not part of this version")
