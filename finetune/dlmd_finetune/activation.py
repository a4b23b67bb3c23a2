"""An adapter goes live, or gives way to the one before it.

Only what the gate called better; the adapter that was there stays beside it, and one
command brings it back. A running daemon takes it at once. Must not know how it was made.
"""

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

from dlmd.store import adapters
from dlmd.wire.client import Client, DaemonFailure, DaemonGone

BEFORE = "-before"
ACTIVE = "the adapter {name} is in place"


def activate(folder: Path, repo: Path, base: Path, base_model: str) -> str:
    """What came of it, in one sentence. ValueError: the evidence does not allow it."""
    try:
        report: dict[str, Any] = json.loads((folder / "verdict.json").read_text())
    except (OSError, ValueError):
        raise ValueError(
            f"there is no verdict in {folder}; tune first with `dlmd tune {repo}`"
        ) from None
    if report["verdict"] != "better":
        raise ValueError(
            f"the verdict is {report['verdict']!r}, and only what is better goes live; "
            f"see {folder / 'report.html'}"
        )
    name = adapters.name_for(repo)
    home = adapters.adapters_dir()
    if (home / name).is_dir():
        place = home / (name + BEFORE)
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(home / name, place)
    adapters.install(folder / "adapter", name, base=base, base_model=base_model)
    return f"{ACTIVE.format(name=name)}; {tell_daemon(name)}"


def roll_back(repo: Path) -> str:
    """The adapter from before the last activation; without one, the bare model."""
    name = adapters.name_for(repo)
    home = adapters.adapters_dir()
    if not (home / name).is_dir():
        raise ValueError(
            f"no adapter of {repo} is active; there is nothing to take back"
        )
    shutil.rmtree(home / name)
    if (home / (name + BEFORE)).is_dir():
        (home / (name + BEFORE)).rename(home / name)
        return f"the adapter {name} of before is in place again; {tell_daemon(name)}"
    return f"the adapter {name} is taken out; {tell_daemon(None)}"


def tell_daemon(name: str | None) -> str:
    """Let a running daemon compute with it from the next request on."""
    try:
        return asyncio.run(_use(name))
    except DaemonGone:
        return "no daemon runs; the next one takes it with --adapter"
    except (DaemonFailure, ValueError, OSError) as refused:
        return f"the running daemon goes on as it was: {refused}"


async def _use(name: str | None) -> str:
    async with Client.connect() as client:
        await client.use_adapter(None)  # else one of that name counts as in place
        if name is not None:
            await client.use_adapter(name)
        how = "without an adapter" if name is None else "with it"
        return f"the running daemon computes {how} from now on"
