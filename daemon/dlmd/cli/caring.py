"""`dlmd doctor` and `settings`: what is wrong, and the fix; what is set, and where.

Must not hold logic that a test would want to call.
"""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from dlmd.cli.shared import FAILED, AsJson, app, print_json, redrawn
from dlmd.settings import load

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dlmd.serve.findings import Finding


@app.command()
def doctor(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME|FOLDER]", help="With --model: which one."),
    ] = None,
    model: Annotated[
        bool,
        typer.Option("--model", help="Look into a model's files, and try it out."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Look at device, memory, model, socket and daemon. Exit code 1: something is wrong.

    With --model, look at a model instead: its tensors, its loss on a little code, its
    settings against others, and holes that fill themselves.
    """
    if name is not None and not model:
        raise typer.BadParameter("a model is looked into with --model")
    if not model:
        from dlmd.serve import doctor

        raise typer.Exit(_told(doctor.examine(), as_json))
    from dlmd.serve import checkup

    with redrawn() as say:
        found = checkup.examine(load({"model": name}), say)
        code = _told(found, as_json)
    raise typer.Exit(code)


@app.command("settings")
def list_settings(as_json: AsJson = False) -> None:
    """List the keys of config.toml, what each is now, and where that was said."""
    from dataclasses import asdict

    from dlmd import settings

    found = settings.made()
    if as_json:
        print_json({"settings": [asdict(each) for each in found]})
        return
    print(f"# {settings.config_file()}; DLMD_<KEY> and flags beat it")
    for each in found:
        said = "" if each.said == "default" else f"  (by {each.said})"
        value = "-" if each.value is None else json.dumps(each.value)
        print(f"{each.key} = {value}{said}\n    {each.help}")


def _told(found: "Iterable[Finding]", as_json: bool) -> int:
    """Say each as it comes; the exit code."""
    from dlmd.serve import findings

    seen = []
    for each in found:
        seen.append(each)
        if not as_json:
            print(findings.text(each), flush=True)
    if as_json:
        print(findings.as_json(seen))
    return FAILED if findings.worst(seen) == "fault" else 0
