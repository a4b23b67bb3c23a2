"""What `dlmd ls` and `dlmd show` tell, with nothing, a part and a whole model here."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from dlmd.profiles import EMBEDDED_FOLDER, PROFILES
from dlmd.store import catalogue, pull, shelf

from tests.fakes.hub import COMMIT, Hub, own_places, release, serving

NAME = "diffucoder-7b-cpgrpo"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    own_places(monkeypatch, tmp_path)
    with serving(Hub(files=release(size=1000), licence="apache-2.0")) as served:
        monkeypatch.setenv("HF_ENDPOINT", served.url)
        yield served


def test_only_what_is_here_is_listed(hub: Hub) -> None:
    [only] = catalogue.rows()
    assert (only.name, only.state) == ("embedded", "here")
    assert only.size == only.have > 10_000_000
    assert only.folder == str(EMBEDDED_FOLDER)
    assert hub.asked == []


def test_all_of_the_table_is_listed_on_demand(hub: Hub) -> None:
    everything = catalogue.rows(everything=True)
    assert [row.name for row in everything] == list(PROFILES)
    assert {row.state for row in everything} == {"here", "not pulled"}


def test_a_part_says_how_much_of_it_is_here(hub: Hub) -> None:
    plan = pull.plan(NAME)
    steps = pull.carry_out(plan)
    while next(steps).done < 1000:
        pass
    row = catalogue.row(PROFILES[NAME])
    assert (row.state, row.size, row.revision) == ("partial", plan.size, COMMIT)
    assert 0 < row.have < plan.size
    assert "% pulled" in catalogue.table([row])


def test_a_whole_one_with_both_words_on_its_licence(hub: Hub) -> None:
    list(pull.carry_out(pull.plan(NAME)))
    row = catalogue.row(PROFILES[NAME])
    assert (row.state, row.revision) == ("here", COMMIT)
    assert row.licence == "apple-amlr (the hub says apache-2.0)"
    told = catalogue.table(catalogue.rows())
    head, *lines = told.splitlines()
    assert head.split() == ["NAME", "SIZE", "LICENCE", "REVISION", "STATE"]
    assert [line.split()[0] for line in lines] == ["embedded", NAME]
    assert COMMIT[:12] in told


def test_the_facts_mark_what_nobody_verified(hub: Hub) -> None:
    told = catalogue.facts("apple/DiffuCoder-7B-cpGRPO")
    lines = catalogue.sheet(told).splitlines()
    assert "mask id       151666 ?" in lines
    assert "size          15.2 GB ?" in lines
    assert lines[-1].startswith("? was not verified")
    assert told["files"] == {} and told["state"] == "not pulled"


def test_the_facts_of_a_verified_model_bear_no_mark(hub: Hub) -> None:
    assert "?" not in catalogue.sheet(catalogue.facts("embedded"))


def test_the_facts_of_a_pulled_model_name_its_files(hub: Hub) -> None:
    list(pull.carry_out(pull.plan(NAME)))
    told = catalogue.facts(NAME)
    assert told["revision"] == COMMIT
    assert told["folder"] == str(shelf.folder_of(NAME, COMMIT))
    assert set(told["files"]["config.json"]) == {"size", "sha256"}
    assert f"files         {len(told['files'])}" in catalogue.sheet(told)


@pytest.mark.parametrize(
    ("count", "said"), [(None, "?"), (0, "0.0 MB"), (15_231_233_024, "15.2 GB")]
)
def test_sizes_for_people(count: int | None, said: str) -> None:
    assert catalogue.sized(count) == said
