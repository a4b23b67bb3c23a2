"""`dlmd stats`: what editors were offered and what was taken, as counted on this machine."""

from typing import Annotated, Any

import typer

from dlmd.cli.shared import AsJson, app, print_json


@app.command()
def stats(
    days: Annotated[
        int, typer.Option("--days", min=1, max=400, help="So many days back.")
    ] = 30,
    as_json: AsJson = False,
) -> None:
    """Suggestions offered, shown and taken in your editors; counted here, told to nobody."""
    from dlmd_lsp import statistics

    place = statistics.file()
    rows = statistics.table(statistics.read(place), days)
    if as_json:
        print_json({"file": str(place), "days": days, "languages": rows})
        return
    counted = [row for row in rows if row["language"] != "-"]
    if not counted:
        print("nothing was counted yet; editors count what dlmd suggests in them")
        return
    print(f"{'language':<14} offered  reused   taken  letters")
    for row in counted:
        print(_line(row))
    reasons = _reasons(rows)
    if reasons:
        print("nothing shown because: " + ", ".join(f"{n} {c}" for c, n in reasons))


def _line(row: dict[str, Any]) -> str:
    offered, reused = row.get("offered", 0), row.get("reused", 0)
    taken, letters = row.get("accepted", 0), row.get("letters", 0)
    share = f" ({taken / offered:.0%} of offers)" if offered else ""
    return (
        f"{row['language']:<14} {offered:>7} {reused:>7} {taken:>7} {letters:>8}{share}"
    )


def _reasons(rows: list[dict[str, Any]]) -> list[tuple[str, int]]:
    found = {
        what.removeprefix("not:"): number
        for row in rows
        for what, number in row.items()
        if what.startswith("not:")
    }
    return sorted(found.items(), key=lambda pair: -pair[1])[:6]
