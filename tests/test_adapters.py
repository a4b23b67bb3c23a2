"""The store of adapters: names, whole folders only, and the model each belongs to."""

import json
import os
from pathlib import Path

import pytest
from dlmd.store import adapters


@pytest.fixture
def base(tmp_path: Path) -> Path:
    folder = tmp_path / "base"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "config.json").write_text("{}")
    return folder


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DLMD_ADAPTERS", str(tmp_path / "adapters"))
    return tmp_path / "adapters"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "adapter_config.json").write_text("{}")
    (folder / "adapter_model.safetensors").write_bytes(b"first")
    return folder


def installed(source: Path, base: Path, name: str = "repo-1") -> adapters.Adapter:
    return adapters.install(source, name, base=base, base_model="tiny")


def test_what_was_installed_is_found_listed_and_removed(
    home: Path, source: Path, base: Path
) -> None:
    assert adapters.listed() == []
    assert not home.exists()  # looking leaves no trace
    made = installed(source, base)
    assert adapters.listed() == [made] == [adapters.read("repo-1")]
    assert (made.base_model, made.base_sha256) == ("tiny", adapters.base_digest(base))
    assert adapters.check("repo-1", base) == home / "repo-1"
    adapters.remove("repo-1")
    assert adapters.listed() == [] and list(home.iterdir()) == []


def test_a_newer_one_of_the_same_name_takes_its_place(
    home: Path, source: Path, base: Path
) -> None:
    installed(source, base)
    (source / "adapter_model.safetensors").write_bytes(b"second")
    installed(source, base)
    assert (home / "repo-1" / "adapter_model.safetensors").read_bytes() == b"second"
    assert [path.name for path in home.iterdir()] == ["repo-1"]


def test_it_is_used_only_with_the_weights_it_was_made_for(
    home: Path, source: Path, base: Path, tmp_path: Path
) -> None:
    installed(source, base)
    moved = base.rename(tmp_path / "elsewhere")
    assert adapters.check("repo-1", moved)  # the hash counts, not the place
    (moved / "model.safetensors").write_bytes(b"other")
    with pytest.raises(ValueError, match="trained on tiny, whose weights are not"):
        adapters.check("repo-1", moved)


@pytest.mark.parametrize(
    "name", ["", "..", "../a", "a/b", "/etc", "A", "a_b", "a.b", "a" * 65, "a\n", "ä"]
)
def test_a_name_is_never_a_path(
    home: Path, source: Path, base: Path, name: str
) -> None:
    for use in (
        lambda: adapters.find(name),
        lambda: adapters.remove(name),
        lambda: installed(source, base, name),
    ):
        with pytest.raises(ValueError, match="no name of an adapter"):
            use()


def test_links_are_not_followed(home: Path, source: Path, base: Path) -> None:
    installed(source, base)
    os.symlink(home / "repo-1", home / "linked")
    with pytest.raises(ValueError, match="no adapter linked"):
        adapters.find("linked")
    weights = home / "repo-1" / "adapter_model.safetensors"
    weights.unlink()
    os.symlink(base / "model.safetensors", weights)
    with pytest.raises(ValueError, match="lacks adapter_model"):
        adapters.find("repo-1")
    assert adapters.listed() == []


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"created": "x"}', "[" * 10_000])
def test_a_damaged_note_is_one_sentence_and_not_listed(
    home: Path, source: Path, base: Path, text: str
) -> None:
    installed(source, base)
    (home / "repo-1" / "dlmd.json").write_text(text)
    with pytest.raises(
        ValueError, match=r"dlmd\.json of the adapter repo-1 is damaged"
    ):
        adapters.read("repo-1")
    assert adapters.listed() == []


def test_a_broken_one_can_be_removed(home: Path, source: Path, base: Path) -> None:
    installed(source, base)
    (home / "repo-1" / "dlmd.json").unlink()
    adapters.remove("repo-1")
    assert not (home / "repo-1").exists()
    with pytest.raises(ValueError, match="no adapter repo-1"):
        adapters.remove("repo-1")


def test_what_is_no_adapter_leaves_nothing_behind(home: Path, base: Path) -> None:
    with pytest.raises(ValueError, match=r"no adapter_config\.json"):
        installed(base, base)
    assert not home.exists()


def test_a_repository_has_one_name_whatever_way_it_is_reached(tmp_path: Path) -> None:
    (tmp_path / "repo").mkdir()
    os.symlink(tmp_path / "repo", tmp_path / "link")
    name = adapters.name_for(tmp_path / "repo")
    assert name == adapters.name_for(tmp_path / "link")
    assert adapters.NAME.fullmatch(name) and name.startswith("repo-")
    assert len(name) == len("repo-") + 12


def test_the_note_says_no_more_than_it_must(
    home: Path, source: Path, base: Path
) -> None:
    installed(source, base)
    note = json.loads((home / "repo-1" / "dlmd.json").read_text())
    assert set(note) == {"base_sha256", "base_model", "created"}


def test_a_file_finds_the_adapter_of_its_repository_and_of_its_model(
    home: Path, source: Path, base: Path, tmp_path: Path
) -> None:
    outer, inner = tmp_path / "outer", tmp_path / "outer" / "inner"
    inner.mkdir(parents=True)
    file = inner / "deep" / "a.py"  # need not be there yet
    assert adapters.of_file(file, "tiny") is None
    installed(source, base, adapters.name_for(outer))
    assert adapters.of_file(file, "tiny") == adapters.name_for(outer)
    assert adapters.of_file(file, "another") is None
    assert adapters.of_file(file, None) is None
    assert adapters.of_file(tmp_path / "a.py", "tiny") is None
    installed(source, base, adapters.name_for(inner))
    assert adapters.of_file(file, "tiny") == adapters.name_for(inner)
    assert adapters.of_file(outer / "a.py", "tiny") == adapters.name_for(outer)
    (home / adapters.name_for(inner) / "dlmd.json").write_text("{")
    assert adapters.of_file(file, "tiny") is None


def test_models_in_folders_are_told_apart_by_their_place(
    home: Path, source: Path, base: Path, tmp_path: Path
) -> None:
    name = adapters.name_for(tmp_path)
    place = str(base.resolve())
    adapters.install(source, name, base=base, base_model=place)
    assert adapters.of_file(tmp_path / "a.py", f"{base}/../{base.name}") == name
    assert adapters.of_file(tmp_path / "a.py", f"{base}s") is None
    assert adapters.is_there(name) and not adapters.is_there("../" + name)
