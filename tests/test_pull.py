"""Pulling from a real HTTP hub on loopback: what arrives, and what is never visible."""

import hashlib
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import NamedTuple

import pytest
from dlmd.store import pull, shelf, verify

from tests.fakes.hub import COMMIT, Hub
from tests.fakes.pulling import NAME, OURS, SHARD, pulled, refused

# ---- what arrives


def test_files_of_a_model_arrive_and_nothing_else(hub: Hub, models: Path) -> None:
    seen = pulled()
    folder = shelf.find(NAME)
    assert folder == models / NAME / COMMIT
    assert {path.name for path in folder.iterdir()} == OURS
    assert all((folder / name).read_bytes() == hub.files[name] for name in OURS)
    downloads = [each.done for each in seen if each.doing == "download"]
    assert downloads == sorted(downloads) and downloads[-1] == seen[0].total
    assert seen[0].total == sum(len(hub.files[name]) for name in OURS)


def test_the_commit_and_every_hash_are_recorded(hub: Hub) -> None:
    pulled()
    record = shelf.read(NAME)
    assert record is not None
    assert (record.revision, record.repository) == (COMMIT, hub.repository)
    assert {name: file.sha256 for name, file in record.files.items()} == {
        name: hashlib.sha256(hub.files[name]).hexdigest() for name in OURS
    }
    verify.check(shelf.folder_of(NAME, COMMIT))


def test_the_plan_tells_size_and_licence_before_anything_is_fetched(
    hub: Hub, models: Path
) -> None:
    hub.licence = "mit"
    plan = pull.plan(NAME)
    assert plan.size == plan.missing == sum(len(hub.files[name]) for name in OURS)
    assert plan.licence == "apple-amlr (the hub says mit)"
    assert not plan.agreed
    assert hub.ranges(SHARD) == [] and not models.exists()


def test_the_hub_hears_no_more_than_who_asks_for_what(hub: Hub) -> None:
    pulled()
    kinds = {path.split("/")[1] for _, path, _ in hub.asked}
    assert kinds == {"api", "apple"}
    assert {p for _, p, _ in hub.asked if "/api/" in p} == {
        f"/api/models/{hub.repository}/revision/main"
    }
    for _, _, headers in hub.asked:
        assert headers["user-agent"].startswith("dlmd/")
        assert "torch" not in headers["user-agent"]
        assert "agent/" not in headers["user-agent"]
        assert "authorization" not in headers


def test_pulled_again_it_is_checked_and_the_hub_not_asked(hub: Hub) -> None:
    pulled()
    hub.asked.clear()
    plan = pull.plan(NAME)
    assert plan.missing == 0
    assert {each.doing for each in pull.carry_out(plan)} == {"check"}
    assert hub.asked == []


def test_pulled_again_a_damaged_file_is_fetched_at_the_pinned_commit(hub: Hub) -> None:
    pulled()
    folder = shelf.folder_of(NAME, COMMIT)
    whole = (folder / SHARD).read_bytes()
    (folder / SHARD).write_bytes(b"x" * len(whole))
    with pytest.raises(ValueError, match="it is not what was pulled"):
        verify.check(folder)
    hub.asked.clear()
    pulled()
    verify.check(folder)
    assert (folder / SHARD).read_bytes() == whole
    assert [path for _, path, _ in hub.asked] == [
        f"/{hub.repository}/resolve/{COMMIT}/{SHARD}"
    ]


def test_another_revision_takes_over_what_did_not_change(
    hub: Hub, models: Path
) -> None:
    pulled()
    hub.commit = "f" * 40
    hub.files["config.json"] += b"\n"
    hub.asked.clear()
    pulled(revision="main")
    assert shelf.find(NAME) == models / NAME / hub.commit
    assert {path.rsplit("/", 1)[1] for _, path, _ in hub.asked} == {
        "main",
        "config.json",
    }
    assert [path.name for path in (models / NAME).iterdir() if path.is_dir()] == [
        hub.commit
    ]
    verify.check(models / NAME / hub.commit)


# ---- what is never visible


def test_a_model_is_invisible_until_its_last_byte(hub: Hub) -> None:
    steps = pull.carry_out(pull.plan(NAME))
    for step in steps:
        assert shelf.find(NAME) is None, step
    assert shelf.find(NAME) is not None


@pytest.mark.slow
def test_killed_in_the_middle_it_is_invisible_and_goes_on_where_it_was(
    hub: Hub,
) -> None:
    hub.held = threading.Event()
    child = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "from dlmd.store import pull\n"
            f"for _ in pull.carry_out(pull.plan({NAME!r})): pass",
        ],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    try:
        assert hub.half_sent.wait(30)
    finally:
        child.kill()
        child.wait()
        hub.held.set()
    assert shelf.find(NAME) is None
    hub.held = None
    pulled()
    verify.check(shelf.folder_of(NAME, COMMIT))


def test_two_at_once_are_one(hub: Hub) -> None:
    first = pull.carry_out(pull.plan(NAME))
    next(first)
    assert f"another `dlmd pull {NAME}` is at work" in refused()
    list(first)


def test_a_disk_without_room_is_refused_before_the_download(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Usage(NamedTuple):
        total: int
        used: int
        free: int

    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10, 0, 10))
    assert "make room, or set DLMD_MODELS" in refused()
    assert hub.ranges(SHARD) == []


# ---- from a folder


def test_from_a_folder(hub: Hub, tmp_path: Path) -> None:
    source = tmp_path / "usb stick"
    source.mkdir()
    for name, content in hub.files.items():
        (source / name).write_bytes(content)
    pulled(source=source, offline=True)
    assert hub.asked == []
    folder = shelf.folder_of(NAME, shelf.LOCAL)
    assert {path.name for path in folder.iterdir()} == OURS
    verify.check(folder)
    (folder / SHARD).write_bytes(b"x" * 300_000)
    assert "give that folder again with --from DIR" in refused()
    pulled(source=source)
    verify.check(folder)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (None, "cannot read"),
        ([], "it has no config.json"),
        (["config.json", "pytorch_model.bin"], "pickled weights only"),
    ],
)
def test_from_a_folder_that_is_no_model(
    models: Path, tmp_path: Path, files: list[str] | None, said: str
) -> None:
    source = tmp_path / "given"
    if files is not None:
        source.mkdir()
        for name in files:
            (source / name).write_text("{}")
    assert said in refused(source=source)
    assert not models.exists()


def test_what_ships_or_is_unknown_or_is_a_path_is_not_pulled(hub: Hub) -> None:
    assert "ships with dlmd" in refused(name="embedded")
    for name in ("gpt", "../../etc", "/etc", "apple/../../x", ""):
        assert f"unknown model {name!r}" in refused(name=name)
    assert hub.asked == []
    pulled("apple/diffucoder-7b-cpGRPO")
    assert shelf.find(NAME) is not None
