"""Asks once whether a repository's code may be run, and remembers the answer by path.

Must not know what will be run.
"""

import json
import sys
from pathlib import Path

import platformdirs

WARNED = {
    "bubblewrap": "without network, home or secrets, on a copy",
    "subprocess": "with limits, but NOT isolated: it can read your files and use the network",
}


def ensure(repo: Path, sandbox: str, given: bool, folder: Path | None = None) -> None:
    """ValueError unless the user has said, now or before, that this code may be run."""
    kept = (folder or platformdirs.user_config_path("dlmd")) / "trusted.json"
    known = _read(kept)
    if str(repo) in known and sandbox in known[str(repo)]:
        return
    if not given and not _asked(repo, sandbox):
        raise ValueError(
            f"the tests of {repo} were not run, because nobody has said that they may "
            "be; say so with --trust"
        )
    known.setdefault(str(repo), []).append(sandbox)
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps(known, indent=1), encoding="utf-8")


def _read(path: Path) -> dict[str, list[str]]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _asked(repo: Path, sandbox: str) -> bool:
    if sys.stdin is None or not sys.stdin.isatty():
        return False
    print(
        f"dlmd is about to run the code and the tests of {repo},\n"
        f"{WARNED.get(sandbox, 'in ' + sandbox)}.",
        file=sys.stderr,
    )
    print("Do you trust it? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().casefold() in ("y", "yes")
