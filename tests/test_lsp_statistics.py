"""dlmd_lsp.statistics and `dlmd stats`: counts, on this machine, of several servers."""

import json
from pathlib import Path

import pytest
from dlmd.cli import app
from dlmd_lsp.statistics import Statistics, file, read, table
from typer.testing import CliRunner


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DLMD_STATE_DIR", str(tmp_path / "state"))
    return tmp_path / "state" / "stats.json"


def offered(counted: Statistics, id: str = "lsp-1", letters: int = 10) -> None:
    counted.offered(id, "python", letters, again=False)


def totals() -> dict[str, int]:
    [row] = table(read(file()), 30)
    return {key: value for key, value in row.items() if key != "language"}


def test_two_servers_add_to_one_file(place: Path) -> None:
    for _ in range(2):
        counted = Statistics()
        offered(counted)
        counted.event("accepted", "lsp-1")
        counted.save()
    assert place.exists()
    assert totals() == {"offered": 2, "accepted": 2, "letters": 20}


def test_parts_add_up_to_one_acceptance() -> None:
    counted = Statistics()
    offered(counted)
    counted.event("shown", "lsp-1")
    counted.event("shown", "lsp-1")
    counted.event("accepted", "lsp-1", 4)
    counted.event("accepted", "lsp-1", 3)
    counted.event("accepted", "lsp-1", 99)
    counted.event("accepted", "never-offered")
    counted.save()
    assert totals() == {"offered": 1, "shown": 1, "accepted": 1, "letters": 10}


def test_who_does_not_want_it_has_no_file(place: Path) -> None:
    counted = Statistics()
    counted.wanted = False
    offered(counted)
    counted.reason("not-sure")
    counted.save()
    assert not place.exists()


def test_nothing_but_counts_is_kept(place: Path) -> None:
    counted = Statistics()
    offered(counted)
    counted.reason("in-comment")
    counted.save()
    [day] = json.loads(place.read_text())["days"].values()
    assert day == {"python": {"offered": 1}, "-": {"not:in-comment": 1}}


def test_a_disk_that_takes_nothing_is_no_reason_to_fail(place: Path) -> None:
    place.parent.mkdir()
    place.mkdir()
    counted = Statistics()
    offered(counted)
    counted.save()


def test_the_command(place: Path) -> None:
    run = CliRunner().invoke
    assert "nothing was counted yet" in run(app, ["stats"]).output
    counted = Statistics()
    for number in range(4):
        offered(counted, f"lsp-{number}")
    counted.event("accepted", "lsp-1")
    counted.reason("not-sure")
    counted.save()
    said = run(app, ["stats"]).output
    assert "python" in said and "25% of offers" in said and "1 not-sure" in said
    told = json.loads(run(app, ["stats", "--json", "--days", "1"]).output)
    assert told["languages"][0] == {"language": "python", "offered": 4, "accepted": 1, "letters": 10}  # fmt: skip
    place.write_text("[]")
    assert "delete it" in str(run(app, ["stats"]).exception)
