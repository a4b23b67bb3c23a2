"""`dlmd doctor`: what is wrong, and the fix.

Must not hold logic that a test would want to call.
"""

import typer

from dlmd.cli.shared import FAILED, AsJson, app


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Look at device, memory, model, socket and daemon. Exit code 1: something is wrong."""
    from dlmd.serve import doctor

    found = doctor.examine()
    if as_json:
        print(doctor.as_json(found))
    else:
        marks = {"ok": "ok", "warning": "??", "fault": "!!"}
        for each in found:
            print(f"{marks[each.grade]}  {each.name}: {each.seen}")
            if each.fix:
                print(f"      {each.fix}")
    raise typer.Exit(FAILED if doctor.worst(found) == "fault" else 0)
