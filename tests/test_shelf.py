"""Records: written whole, believed only as far as they stay in their folder, removed first."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from dlmd.store import shelf
from dlmd.store.shelf import Begun, File, Record

from tests.fakes.hub import own_places

NAME = "dream-v0-7b-base"
RECORD = Record(
    name=NAME,
    repository="Dream-org/Dream-v0-Base-7B",
    revision="a" * 40,
    licence="apache-2.0",
    files={"config.json": File(size=2, sha256="b" * 64)},
)


@pytest.fixture(autouse=True)
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return own_places(monkeypatch, tmp_path)


def shelved(models: Path, record: Record = RECORD) -> Path:
    folder = models / record.name / record.revision
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    shelf.write(record)
    return folder


def test_written_and_read_back(models: Path) -> None:
    folder = shelved(models)
    assert shelf.read(NAME) == RECORD
    assert list(shelf.records()) == [RECORD]
    assert shelf.find(NAME) == shelf.find("dream-org/dream-V0-base-7B") == folder
    assert shelf.of_folder(folder) == RECORD
    assert [path.name for path in models.glob("*.json*")] == [f"{NAME}.json"]


def test_where_models_lie(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert shelf.models_dir({"DLMD_MODELS": "~/m"}) == Path.home() / "m"
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert shelf.models_dir({}).parts[-2:] == ("dlmd", "models")


def test_looking_leaves_no_trace(models: Path) -> None:
    assert shelf.find(NAME) is None
    assert shelf.begun(NAME) is None
    assert list(shelf.records()) == []
    assert shelf.remove(NAME) is None
    assert not models.exists()


@pytest.mark.parametrize(
    "name", ["../x", "/etc/passwd", "..", "", "dream-v0-7b-base/..", "a\0b", "nope"]
)
def test_names_are_never_paths(name: str) -> None:
    with pytest.raises(ValueError, match="unknown model"):
        shelf.find(name)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "embedded"},
        {"revision": "../../../etc"},
        {"revision": ""},
        {"files": {}},
        {"files": {"../../secret.json": {"size": 1, "sha256": "b" * 64}}},
        {"files": {"/etc/passwd": {"size": 1, "sha256": "b" * 64}}},
        {"files": {".hidden.json": {"size": 1, "sha256": "b" * 64}}},
        {"files": {"config.json": {"size": 1, "sha256": "short"}}},
        {"files": {"config.json": {"size": "x", "sha256": "b" * 64}}},
        {"files": ["config.json"]},
        {"licence": None, "files": None},
    ],
)
def test_a_record_that_dlmd_did_not_write_is_refused(
    models: Path, change: dict[str, object]
) -> None:
    shelved(models)
    (models / f"{NAME}.json").write_text(json.dumps(asdict(RECORD) | change))
    with pytest.raises(ValueError, match=rf"delete it and type `dlmd pull {NAME}`"):
        shelf.find(NAME)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "\udcff", '{"name": 1}'])
def test_half_a_record_is_refused_in_one_sentence(models: Path, text: str) -> None:
    shelved(models)
    (models / f"{NAME}.json").write_text(text, errors="surrogateescape")
    with pytest.raises(ValueError, match="is not the record of"):
        shelf.read(NAME)


def test_a_record_without_its_folder_is_seen_by_who_opens_it(models: Path) -> None:
    assert shelf.of_folder(models / NAME / ("c" * 40)) is None
    shelved(models)
    assert shelf.of_folder(models / NAME / ("c" * 40)) is None
    assert shelf.of_folder(models / "elsewhere" / ("a" * 40)) is None


def test_removed_is_forgotten_and_links_are_not_followed(
    models: Path, tmp_path: Path
) -> None:
    folder = shelved(models)
    kept = tmp_path / "cache"
    kept.mkdir()
    (kept / "model.safetensors").write_text("kept")
    (folder / "model.safetensors").symlink_to(kept / "model.safetensors")
    assert shelf.remove(NAME) == 2
    assert shelf.find(NAME) is None
    assert list(models.iterdir()) == []
    assert (kept / "model.safetensors").read_text() == "kept"


def test_a_folder_that_is_a_link_is_unlinked_only(models: Path, tmp_path: Path) -> None:
    other = tmp_path / "other disk"
    (other / ("a" * 40)).mkdir(parents=True)
    models.mkdir()
    (models / NAME).symlink_to(other)
    shelf.write(RECORD)
    shelf.remove(NAME)
    assert not (models / NAME).is_symlink()
    assert (other / ("a" * 40)).is_dir()


def test_what_was_begun_is_remembered_until_it_ended(models: Path) -> None:
    begun = Begun(revision="d" * 40, total=10)
    shelf.begin(NAME, begun)
    assert shelf.begun(NAME) == begun
    (models / NAME / begun.revision / ".begun").write_text("{")
    assert shelf.begun(NAME) is None
    shelf.begin(NAME, begun)
    shelved(models, replace(RECORD))
    shelf.ended(NAME, RECORD.revision)
    assert shelf.begun(NAME) is None
    assert [path.name for path in (models / NAME).iterdir()] == [RECORD.revision]


def test_only_one_at_a_time() -> None:
    with shelf.alone(NAME):
        with pytest.raises(ValueError, match="is at work"), shelf.alone(NAME):
            pass
        with pytest.raises(ValueError, match="is at work"):
            shelf.remove(NAME)
    with shelf.alone(NAME):
        pass


def test_the_hub_s_word_on_a_licence_stands_beside_ours() -> None:
    profile = shelf.profile(NAME)
    assert shelf.licence(profile, None) == "Apache-2.0"
    assert shelf.licence(profile, "apache-2.0") == "Apache-2.0"
    assert shelf.licence(profile, "mit") == "Apache-2.0 (the hub says mit)"
