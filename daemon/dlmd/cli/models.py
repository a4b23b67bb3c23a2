"""`dlmd pull`, `ls`, `show`, `rm`: the models on this machine.

Must not hold logic that a test would want to call.
"""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dlmd.cli.shared import AsJson, announce, app, print_json, redrawn
from dlmd.flags import setting
from dlmd.settings import load

if TYPE_CHECKING:
    from dlmd.store.pull import Plan

Name = Annotated[str, typer.Argument(help="A name from `dlmd ls --all`.")]


@app.command()
def pull(
    name: Name,
    source: Annotated[
        Path | None,
        typer.Option("--from", metavar="DIR", help="Copy from a folder, ask no hub."),
    ] = None,
    revision: Annotated[
        str | None,
        typer.Option(metavar="REV", help="A branch, tag or commit; else the newest."),
    ] = None,
    offline: Annotated[bool | None, setting("offline")] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Agree to size and licence beforehand.")
    ] = False,
) -> None:
    """Download a model, or check and mend one that is here.

    It says size and licence and asks once. The commit is pinned and every file's sha256
    recorded; a download that breaks off goes on when the same command is typed again. Then
    the model is tried, and put to use only if it does what it should.
    """
    from dlmd import ask
    from dlmd.store import pull as store
    from dlmd.store import shelf
    from dlmd.wire import discovery

    if source is not None and revision is not None:
        raise typer.BadParameter("--revision is a hub's; a folder has none: drop one")
    plan = store.plan(
        name,
        revision=revision,
        source=source,
        offline=load({"offline": offline}).offline,
    )
    if plan.missing and not (yes or plan.agreed):
        _ask(plan)
    fresh = bool(plan.missing or shelf.doubted(plan.profile.name))
    try:
        _follow(plan)
        print(f"{plan.profile.name} is here, revision {plan.offer.revision[:12]}")
        sound = _sound(plan.profile.name, fresh=fresh)
    except KeyboardInterrupt:
        announce("stopped; what came stays, and the same command goes on from there")
        raise
    if not sound:
        raise ValueError(
            f"{plan.profile.name} fails its check and is not put to use; its files stay: "
            f"`dlmd doctor --model {plan.profile.name}` checks it again"
        )
    if fresh:
        print(ask.hand_over(plan.profile.name, discovery.read()))


def _ask(plan: "Plan") -> None:
    from dlmd.store.catalogue import sized

    announce(
        f"{plan.profile.name}: {sized(plan.missing)} from "
        f"{plan.source or plan.offer.repository}, licence {plan.licence}"
    )
    if sys.stdin is None or not sys.stdin.isatty():
        raise ValueError(
            "nobody is there to agree to that; add --yes to agree beforehand"
        )
    if not typer.confirm("Go on?", err=True):
        raise typer.Exit(1)


def _follow(plan: "Plan") -> None:
    """Carry it out, telling how far it is."""
    from dlmd.store.pace import Pace, line
    from dlmd.store.pull import carry_out

    pace = Pace()
    with redrawn() as say:
        for step in carry_out(plan):
            rate = pace.rate(step.done, time.monotonic())
            say(line(step.doing, step.done, step.total, rate))


def _sound(name: str, *, fresh: bool) -> bool:
    """Whether the model does what the table says it should."""
    from dlmd.serve import checkup, findings
    from dlmd.store import shelf

    if fresh:
        shelf.doubt(name, "not tried yet")
    with redrawn() as say:
        seen = [*checkup.examine(load({"model": name}), say, hashed=True)]
    for each in seen:
        if each.grade != "ok":
            print(findings.text(each))
    return findings.worst(seen) != "fault"


@app.command()
def ls(
    everything: Annotated[
        bool, typer.Option("--all", help="Also the models that can be pulled.")
    ] = False,
    tuned: Annotated[
        bool, typer.Option("--adapters", help="The adapters instead of the models.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List the models on this machine, with size, licence and revision."""
    from dataclasses import asdict

    from dlmd.store import adapters, catalogue

    if tuned:
        found = adapters.listed()
        if as_json:
            print_json({"adapters": [asdict(each) for each in found]})
        else:
            print(catalogue.adapter_table(found))
        return
    rows = catalogue.rows(everything=everything)
    if as_json:
        print_json({"models": [asdict(row) for row in rows]})
    else:
        print(catalogue.table(rows))


@app.command()
def show(name: Name, as_json: AsJson = False) -> None:
    """Say what is known of a model, and what of it nobody has verified."""
    from dlmd.store import catalogue

    facts = catalogue.facts(name)
    print_json(facts) if as_json else print(catalogue.sheet(facts))


@app.command()
def rm(
    name: Name,
    tuned: Annotated[
        bool, typer.Option("--adapter", help="NAME is that of an adapter.")
    ] = False,
) -> None:
    """Delete a pulled model, or what there is of one; or an adapter."""
    from dlmd.store import adapters, catalogue, shelf

    if tuned:
        adapters.remove(name)
        print(f"removed the adapter {name}")
        return
    profile = shelf.profile(name)
    if profile.repository is None:
        raise ValueError(f"{profile.name} is part of dlmd and is not removed")
    freed = shelf.remove(profile.name)
    if freed is None:
        raise ValueError(f"{profile.name} is not here; `dlmd ls` lists what is")
    print(f"removed {profile.name}, {catalogue.sized(freed)} freed")
