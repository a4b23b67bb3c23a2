"""Files that the user's Hugging Face cache holds are used where they lie, online and offline."""

import os
from pathlib import Path

import pytest
from dlmd.store import cache, pull, shelf, verify

from tests.fakes.hub import COMMIT, Hub
from tests.fakes.pulling import NAME, OURS, SHARD, pulled, refused


def hf_cache(tmp_path: Path, hub: Hub, *, without: str = "") -> Path:
    """The cache as huggingface_hub lays it out: named by hash, linked by name."""
    root = tmp_path / "hf/hub" / f"models--{hub.repository.replace('/', '--')}"
    snapshot = root / "snapshots" / hub.commit
    for folder in (snapshot, root / "blobs", root / "refs"):
        folder.mkdir(parents=True)
    (root / "refs/main").write_text(hub.commit)
    plan = pull.plan(NAME)
    for wanted in plan.offer.files:
        blob = root / "blobs" / str(wanted.sha256 or wanted.git_sha1)
        blob.write_bytes(hub.files[wanted.name])
        if wanted.name != without:
            link = snapshot / wanted.name
            link.symlink_to(os.path.relpath(blob, snapshot))
    return snapshot


def test_a_hugging_face_cache_is_used_in_place(hub: Hub, tmp_path: Path) -> None:
    snapshot = hf_cache(tmp_path, hub)
    hub.asked.clear()
    plan = pull.plan(NAME)
    assert plan.missing == 0
    list(pull.carry_out(plan))
    assert not any("/resolve/" in path for _, path, _ in hub.asked)
    folder = shelf.folder_of(NAME, COMMIT)
    assert all((folder / name).is_symlink() for name in OURS)
    verify.check(folder)
    shelf.remove(NAME)
    assert {path.name for path in snapshot.iterdir()} == OURS
    assert (snapshot / SHARD).read_bytes() == hub.files[SHARD]


@pytest.mark.slow
@pytest.mark.parametrize("how", ["online", "offline"])
def test_what_the_library_itself_cached_is_used_in_place(hub: Hub, how: str) -> None:
    """The layout of huggingface_hub as it is installed, not as we think it is."""
    from huggingface_hub import snapshot_download

    snapshot_download(
        hub.repository, endpoint=hub.url, cache_dir=cache.cache_dir(), token=False
    )
    hub.asked.clear()
    pulled(offline=how == "offline")
    assert not any("/resolve/" in path for _, path, _ in hub.asked)
    folder = shelf.folder_of(NAME, COMMIT)
    assert all((folder / name).is_symlink() for name in OURS)
    verify.check(folder)


def test_what_the_cache_lacks_or_holds_wrongly_is_fetched(
    hub: Hub, tmp_path: Path
) -> None:
    snapshot = hf_cache(tmp_path, hub, without="config.json")
    damaged = (snapshot / SHARD).resolve()
    damaged.write_bytes(b"x" * damaged.stat().st_size)
    hub.asked.clear()
    pulled()
    fetched = {p.rsplit("/", 1)[1] for _, p, _ in hub.asked if "/resolve/" in p}
    assert fetched == {"config.json", SHARD}
    verify.check(shelf.folder_of(NAME, COMMIT))


@pytest.mark.parametrize("how", ["flag", "HF_HUB_OFFLINE"])
def test_offline_the_cache_is_enough_and_nothing_is_asked(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    hf_cache(tmp_path, hub)
    hub.asked.clear()
    if how != "flag":
        monkeypatch.setenv(how, "1")
    pulled(offline=how == "flag")
    assert hub.asked == []
    verify.check(shelf.folder_of(NAME, COMMIT))


def test_offline_without_the_files_is_refused(hub: Hub) -> None:
    assert "going online is forbidden" in refused(offline=True)
    pulled()
    folder = shelf.folder_of(NAME, COMMIT)
    (folder / SHARD).write_bytes(b"x" * 300_000)
    hub.asked.clear()
    assert "going online is forbidden" in refused(offline=True)
    assert hub.asked == []


def test_a_wrong_blob_in_the_cache_does_not_pass_offline(
    hub: Hub, tmp_path: Path
) -> None:
    damaged = (hf_cache(tmp_path, hub) / SHARD).resolve()
    damaged.write_bytes(b"x" * damaged.stat().st_size)
    assert "going online is forbidden" in refused(offline=True)
    assert shelf.find(NAME) is None


def test_where_the_cache_lies_is_what_the_library_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from huggingface_hub import constants

    for name in ("HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert cache.cache_dir() == Path(constants.default_home) / "huggingface/hub"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache.cache_dir() == tmp_path / "xdg/huggingface/hub"
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    assert cache.cache_dir() == tmp_path / "home/hub"
    monkeypatch.setenv("HF_HUB_CACHE", "~/cache")
    assert cache.cache_dir() == Path.home() / "cache"


@pytest.mark.parametrize("revision", ["../../..", "/etc/passwd", "absent", "main/x"])
def test_a_revision_does_not_lead_out_of_the_cache(
    hub: Hub, tmp_path: Path, revision: str
) -> None:
    hf_cache(tmp_path, hub)
    assert cache.offer(hub.repository, revision) is None
