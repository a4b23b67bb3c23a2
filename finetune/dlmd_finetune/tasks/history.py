"""What git knows: the commit, what is uncommitted, when each line last changed.

Git is only read, without its optional locks, so that not even the index is refreshed.
A folder without git has no history, and that is no fault. Must not know Python.
"""

import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

GIT_S = 120.0
QUIET = ("--no-optional-locks", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=")


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    root: Path | None  # None without git
    commit: str | None
    dirty: int  # files with uncommitted changes
    refused: str = ""  # what git said when it would not


def look(repo: Path) -> History:
    root = _git(repo, "rev-parse", "--show-toplevel")
    if root.returncode:
        said = " ".join(root.stderr.split())
        known = not said or "not a git repository" in said
        return History(root=None, commit=None, dirty=0, refused="" if known else said)
    head = _git(repo, "rev-parse", "HEAD")
    status = _git(repo, "status", "--porcelain", "--untracked-files=no", "--", ".")
    return History(
        root=Path(root.stdout.strip()),
        commit=head.stdout.strip() if head.returncode == 0 else None,
        dirty=len(status.stdout.splitlines()),
    )


def changes(repo: Path, path: str) -> list[float] | None:
    """When each line of a file last changed, in seconds; None where git does not say."""
    run = _git(repo, "blame", "--line-porcelain", "--", path)
    if run.returncode:
        return None
    now = time.time()
    times: list[float] = []
    when, committed = now, True
    for line in run.stdout.split("\n"):
        if line.startswith("committer-time "):
            when = float(line.removeprefix("committer-time "))
        elif line.startswith("committer-mail "):
            committed = "<not.committed.yet>" not in line
        elif line.startswith("\t"):
            times.append(when if committed else now)
    return times


def _git(repo: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    line = ["git", *QUIET, "-C", str(repo), *arguments]
    env = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    env |= {"GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0"}
    try:
        return subprocess.run(
            line,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=GIT_S,
            env=env,
        )
    except (OSError, subprocess.TimeoutExpired):
        return subprocess.CompletedProcess(line, 1, "", "")
