"""The copy: what goes into it, and that the tree it was made from is left as it was."""

import os
from pathlib import Path

import pytest
from dlmd_finetune.sandbox import prepare
from dlmd_finetune.tasks import tree

from tests.fakes.repositories import bytes_of, repository

FILES = {
    "a.py": "x = 1\r\n",
    "pkg/b.py": "y = 2\n",
    "pkg/__pycache__/b.pyc": "z",
    ".venv/pyvenv.cfg": "home = /usr",
    ".venv/lib/big.py": "z",
    "node_modules/x.js": "z",
    "data/raw.bin": "\0\1",
}


def made(tmp_path: Path) -> Path:
    repo = repository(tmp_path / "repo", FILES)
    (repo / "link").symlink_to("a.py")
    (repo / "gone").symlink_to("nowhere")
    return repo


def test_the_working_tree_is_copied_and_nothing_else(tmp_path: Path) -> None:
    repo = made(tmp_path)
    before = bytes_of(repo)
    kept = tree.copy(repo, tmp_path / "copy")
    assert {*kept} == {"a.py", "pkg/b.py", "data/raw.bin", "link", "gone"}
    assert (tmp_path / "copy/a.py").read_bytes() == b"x = 1\r\n"
    assert os.readlink(tmp_path / "copy/link") == "a.py"
    assert bytes_of(repo) == before


def test_what_was_done_to_the_copy_is_undone(tmp_path: Path) -> None:
    repo, copy = made(tmp_path), tmp_path / "copy"
    kept = tree.copy(repo, copy)
    (copy / "a.py").unlink()
    (copy / "pkg/b.py").write_text("changed")
    (copy / "new.txt").write_text("new")
    (copy / "link").unlink()
    (copy / "data/raw.bin").chmod(0o600)
    changed = tree.restore(repo, copy, kept)
    assert changed == ["a.py", "data/raw.bin", "link", "new.txt", "pkg/b.py"]
    assert tree.manifest(copy) == kept and not (copy / "new.txt").exists()


def test_a_folder_in_a_files_place_and_one_that_is_closed_are_undone(
    tmp_path: Path,
) -> None:
    repo, copy = made(tmp_path), tmp_path / "copy"
    kept = tree.copy(repo, copy)
    (copy / "a.py").unlink()
    (copy / "a.py/deep").mkdir(parents=True)
    (copy / "a.py/deep/x").write_text("x")
    (copy / "link").unlink()
    (copy / "link").mkdir()
    (copy / "pkg/b.py").unlink()
    (copy / "pkg").rmdir()
    (copy / "pkg").write_text("a file")
    (copy / "data").chmod(0o000)
    tree.restore(repo, copy, kept)
    assert tree.manifest(copy) == kept


def test_what_no_room_copies_is_left_out_of_the_copy_of_mining(tmp_path: Path) -> None:
    """One list: else a room would be asked for files that it does not have."""
    repo = made(tmp_path)
    for name in ("build/lib/a.py", ".eggs/a.py", ".jj/a.py", "env/conda-meta/x"):
        (repo / name).parent.mkdir(parents=True)
        (repo / name).write_text("answer = 1\n")
    tree.copy(repo, tmp_path / "copy")
    prepare.copy_tree(tmp_path / "copy", tmp_path / "room")
    seen = [{path for path, _ in tree.walk(tmp_path / n)} for n in ("copy", "room")]
    assert not any(
        "answer" in (repo / path).read_text() for path in seen[0] if path[-2:] == "py"
    )
    assert seen[0] - {"gone"} == seen[1] - {"gone"}


def test_an_older_copy_makes_room(tmp_path: Path) -> None:
    repo, copy = made(tmp_path), tmp_path / "copy"
    (copy / "locked/inside").mkdir(parents=True)
    (copy / "locked/old.py").write_text("old")
    (copy / "locked").chmod(0o500)
    tree.copy(repo, copy)
    assert not (copy / "locked").exists()


def test_too_much_is_refused_before_anything_is_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tree, "LIMIT_FILES", 3)
    with pytest.raises(
        ValueError, match=r"holds 5 files .* at most 3 and .* one package"
    ):
        tree.copy(made(tmp_path), tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
