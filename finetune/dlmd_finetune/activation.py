"""An adapter goes live, or gives way to the one before it.

Only what the gate called better; the adapter that was there stays beside it, and one
command brings it back. It is for files of its repository: who asks about one of them names
it, and a running daemon takes it with the next such request. Must not know how it was made.
"""

import asyncio
import filecmp
import json
import shutil
from pathlib import Path
from typing import Any

from dlmd.profiles import EMBEDDED_FOLDER
from dlmd.store import adapters, shelf
from dlmd.wire.client import Client, DaemonFailure, DaemonGone
from dlmd.wire.protocol import Infill, hole

BEFORE = "-before"
ACTIVE = "the adapter {name} is in place for files of {repo}"


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
    if (home / name).is_dir() and not is_in_place(folder / "adapter", home / name):
        place = home / (name + BEFORE)
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(home / name, place)
    known = named(base, base_model)
    adapters.install(folder / "adapter", name, base=base, base_model=known)
    return f"{ACTIVE.format(name=name, repo=repo)}; {tell_daemon(name)}"


def is_in_place(fresh: Path, there: Path) -> bool:
    """Activated a second time it must not take the place of the one before it."""
    weights = (fresh / adapters.WEIGHTS, there / adapters.WEIGHTS)
    return all(map(Path.is_file, weights)) and filecmp.cmp(*weights, shallow=False)


def named(base: Path, word: str) -> str:
    """A model as a daemon calls it: by its name, or by the place of its folder."""
    if base == EMBEDDED_FOLDER:
        return word
    record = shelf.of_folder(base)
    return str(base.expanduser().resolve()) if record is None else record.name


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
    """Let a running daemon forget what it had, and try what is there now."""
    try:
        return asyncio.run(_tried(name))
    except DaemonGone:
        return "no daemon runs; the next one finds it"
    except (DaemonFailure, ValueError, OSError) as refused:
        return f"the running daemon does not compute with it: {refused}"


async def _tried(name: str | None) -> str:
    async with Client.connect() as client:
        before = client.status.adapter
        await client.use_adapter(None)  # else one of that name counts as in the weights
        if before is not None and adapters.is_there(before):
            await client.use_adapter(before)
        if name is None:
            return "the running daemon answers without it from now on"
        asked = Infill(id="tried", parts=["", hole(length=1)], adapter=name)
        async for _ in client.infill(asked):
            pass
        return "the running daemon answers with it from now on"
