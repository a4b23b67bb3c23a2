"""A hub that cuts, lies, moves or refuses: what a pull makes of it."""

from pathlib import Path

import pytest
from dlmd.store import hub as hubs
from dlmd.store import pull, shelf, verify

from tests.fakes.hub import COMMIT, Hub, own_places, serving
from tests.fakes.pulling import NAME, OURS, SHARD, pulled, refused


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(hubs, "PAUSE_S", 0.0)
    return own_places(monkeypatch, tmp_path)


def test_a_cut_connection_goes_on_from_the_byte_it_broke_off_at(hub: Hub) -> None:
    # In order of size the weights are asked for last.
    hub.files = {name: hub.files[name] for name in [*OURS - {SHARD}, SHARD]}
    small = len(OURS) - 2
    hub.cut_after = [10**9] * small + [70_000, 50_000]
    pulled()
    first, second, third = hub.ranges(SHARD)
    assert (first, second, third) == (None, "bytes=70000-", "bytes=120000-")
    verify.check(shelf.folder_of(NAME, COMMIT))


def test_a_download_that_keeps_breaking_off_ends_and_a_later_run_goes_on(
    hub: Hub,
) -> None:
    hub.cut_always = 100_000
    hub.ignore_ranges = True  # so it never gets further than that
    said = refused()
    assert f"the download of {SHARD} broke off at 100000 of 300000 bytes" in said
    assert shelf.find(NAME) is None
    assert shelf.begun(NAME) is not None
    hub.cut_always, hub.ignore_ranges = None, False
    hub.asked.clear()
    plan = pull.plan(NAME)
    assert plan.agreed and plan.missing == plan.size - (
        plan.size - 300_001 - 200_000
    )  # the second shard, and what the first lacks
    list(pull.carry_out(plan))
    assert hub.ranges(SHARD) == ["bytes=100000-"]
    verify.check(shelf.folder_of(NAME, COMMIT))


def test_a_hub_without_ranges_starts_again_from_the_front(hub: Hub) -> None:
    hub.ignore_ranges = True
    hub.cut_after = [10**9] * (len(OURS) - 2) + [70_000]
    pulled()
    assert hub.ranges(SHARD) == [None, "bytes=70000-"]
    verify.check(shelf.folder_of(NAME, COMMIT))


def test_a_busy_hub_is_asked_again(hub: Hub) -> None:
    hub.busy = 3
    pulled()
    verify.check(shelf.folder_of(NAME, COMMIT))


def test_bytes_of_another_hash_are_deleted(hub: Hub, models: Path) -> None:
    hub.swapped[SHARD] = b"y" * len(hub.files[SHARD])
    assert f"{SHARD} came with another hash" in refused()
    assert shelf.find(NAME) is None
    assert not list(models.rglob(f"{SHARD}*"))
    hub.swapped.clear()
    pulled()


def test_a_small_file_is_held_against_git_s_hash(hub: Hub) -> None:
    hub.swapped["config.json"] = b"z" * len(hub.files["config.json"])
    assert "config.json came with another hash" in refused()


def test_more_bytes_than_announced_are_refused(hub: Hub) -> None:
    hub.swapped[SHARD] = hub.files[SHARD] + b"more"
    assert f"sends more of {SHARD} than the 300000 bytes" in refused()
    assert shelf.find(NAME) is None


def test_a_repository_that_moved_is_followed(hub: Hub) -> None:
    hub.moved_to = "apple/DiffuCoder"
    pulled()
    record = shelf.read(NAME)
    assert record is not None and record.repository == hub.repository


def test_large_files_come_from_elsewhere_and_no_token_goes_there(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    with serving(Hub(files=hub.files)) as store:
        # Another origin: a port of its own is one.
        hub.elsewhere = store
        pulled()
        assert {path for _, path, _ in store.asked} == {
            f"/stored/{name}" for name in OURS if name.endswith(".safetensors")
        }
        assert all("authorization" not in headers for _, _, headers in store.asked)
    assert all(h.get("authorization") == "Bearer hf_secret" for _, _, h in hub.asked)


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (401, "GatedRepo", "given only to those who agreed to its terms"),
        (403, "GatedRepo", "`hf auth login`"),
        (401, "", "has no apple/DiffuCoder-7B-cpGRPO, or none for you"),
        (404, "RepoNotFound", "has no apple/DiffuCoder-7B-cpGRPO"),
        (404, "RevisionNotFound", "has no revision 'main'"),
        (500, "", "answers 500"),
    ],
)
def test_what_the_hub_refuses_is_one_sentence(
    hub: Hub, models: Path, status: int, code: str, said: str
) -> None:
    hub.refuse = (status, code)
    assert said in refused()
    assert not models.exists()


def test_no_hub_at_all(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    assert "cannot reach http://127.0.0.1:1" in refused()


def test_names_that_lead_out_of_the_folder_are_not_files_of_a_model(
    hub: Hub, models: Path, tmp_path: Path
) -> None:
    for name in ("../../escaped.json", "/tmp/escaped.json", ".hidden.json", "a/b.json"):
        hub.extra.append({"rfilename": name, "size": 2, "blobId": "0" * 40})
    pulled()
    assert {path.name for path in (models / NAME / COMMIT).iterdir()} == OURS
    assert not list(tmp_path.rglob("escaped*"))


def test_if_any_name_were_a_file_it_would_be_written_anywhere(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    escaped = tmp_path / "escaped.json"
    hub.files[str(escaped)] = b"{}"
    pulled()
    assert not escaped.exists()
    shelf.remove(NAME)
    monkeypatch.setattr(hubs, "is_read", lambda name: name in OURS | {str(escaped)})
    pulled()
    assert escaped.read_bytes() == b"{}"


@pytest.mark.parametrize(
    ("without", "said"),
    [
        (["config.json"], "it has no config.json"),
        (["vocab.json"], "holds no tokenizer"),
        ([n for n in OURS if n.endswith(".safetensors")], "pickled weights only"),
        ([SHARD], f"lacks '{SHARD}'"),
    ],
)
def test_a_release_that_cannot_work_is_refused_before_its_weights(
    hub: Hub, without: list[str], said: str
) -> None:
    for name in without:
        del hub.files[name]
    assert said in refused()
    assert not any(path.endswith(".safetensors") for _, path, _ in hub.asked)
    assert shelf.find(NAME) is None


def test_a_commit_that_is_none_is_refused(hub: Hub) -> None:
    hub.commit = "../../../etc"
    assert "names no commit" in refused()
