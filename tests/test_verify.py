"""A file that was tampered with is found, whatever was done to hide it."""

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import pytest
from dlmd.store import shelf, verify

from tests.fakes.hub import own_places

NAME = "diffucoder-7b-base"
OLD = 10**9  # seconds since the epoch: long settled


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    own_places(monkeypatch, tmp_path)
    monkeypatch.setattr(verify, "_hashed", {})
    return shelved({"config.json": b"{}", "model.safetensors": b"weights" * 1000})


def shelved(contents: dict[str, bytes]) -> Path:
    folder = shelf.folder_of(NAME, "0" * 40)
    folder.mkdir(parents=True)
    files = {}
    for name, content in contents.items():
        (folder / name).write_bytes(content)
        os.utime(folder / name, (OLD, OLD))
        digest = hashlib.sha256(content).hexdigest()
        files[name] = shelf.File(size=len(content), sha256=digest)
    shelf.write(
        shelf.Record(
            name=NAME,
            repository="apple/DiffuCoder-7B-Base",
            revision="0" * 40,
            licence="x",
            files=files,
        )
    )
    return folder


def test_untouched_files_pass_and_progress_ends_at_the_total(folder: Path) -> None:
    heard: list[tuple[int, int]] = []
    verify.check(folder, lambda done, total: heard.append((done, total)))
    assert heard[-1] == (7002, 7002)
    assert [done for done, _ in heard] == sorted(done for done, _ in heard)


def test_a_folder_of_the_user_s_own_has_nothing_to_be_held_against(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_places(monkeypatch, tmp_path)
    verify.check(tmp_path)


def refused(folder: Path) -> str:
    with pytest.raises(ValueError) as caught:
        verify.check(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_another_byte_is_found_with_size_and_time_kept(folder: Path) -> None:
    path = folder / "model.safetensors"
    seen = path.stat()
    with path.open("r+b") as file:
        file.write(b"W")
    os.utime(path, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    assert "has sha256" in refused(folder)
    assert f"`dlmd pull {NAME}`" in refused(folder)


def test_who_copied_a_model_from_a_folder_is_told_to_give_the_folder(
    folder: Path,
) -> None:
    record = shelf.read(NAME)
    assert record is not None
    local = folder.rename(folder.with_name(shelf.LOCAL))
    shelf.write(replace(record, revision=shelf.LOCAL))
    (local / "config.json").unlink()
    assert f"`dlmd pull {NAME} --from DIR`" in refused(local)


def test_what_this_process_hashed_is_hashed_again_once_touched(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Settled files are remembered; a change that hides in the times is still seen."""
    monkeypatch.setattr(verify, "SETTLED_NS", -(10**18))  # all count as settled
    verify.check(folder)
    assert len(verify._hashed) == 2
    path = folder / "model.safetensors"
    seen = path.stat()
    # Until the clock of the file system has moved on, the kernel has no other time to set.
    while path.stat().st_ctime_ns == seen.st_ctime_ns:
        with path.open("r+b") as file:
            file.write(b"W")
        os.utime(path, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    assert path.stat().st_mtime_ns == seen.st_mtime_ns
    assert "has sha256" in refused(folder)


def test_a_remembered_hash_spares_reading(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "SETTLED_NS", -(10**18))
    verify.check(folder)
    monkeypatch.setattr(verify, "BLOCK", "reading would need a number")
    verify.check(folder)


def test_a_file_just_written_is_not_remembered(folder: Path) -> None:
    verify.check(folder)  # its time of change is now, whatever utime said
    assert verify._hashed == {}


def test_a_replaced_file_is_found(folder: Path) -> None:
    other = folder.parent / "other"
    other.write_bytes(b"x" * 7000)
    other.replace(folder / "model.safetensors")
    assert "has sha256" in refused(folder)


@pytest.mark.parametrize("content", [b"", b"longer" * 5000])
def test_another_size_is_found_without_hashing(folder: Path, content: bytes) -> None:
    (folder / "model.safetensors").write_bytes(content)
    assert f"has {len(content)} bytes, expected 7000" in refused(folder)


def test_a_missing_file_is_found(folder: Path) -> None:
    (folder / "config.json").unlink()
    assert "config.json is missing" in refused(folder)


def test_a_link_that_leads_nowhere_is_a_missing_file(folder: Path) -> None:
    (folder / "config.json").unlink()
    (folder / "config.json").symlink_to(folder / "gone")
    assert "config.json is missing" in refused(folder)


def test_a_file_that_was_not_pulled_is_found(folder: Path) -> None:
    (folder / "model.safetensors.index.json").write_text("{}")
    assert "was not pulled" in refused(folder)


def test_hashes_are_those_of_sha256_and_git(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"hello\n")
    assert verify.sha256(path) == hashlib.sha256(b"hello\n").hexdigest()
    # What `echo hello | git hash-object --stdin` prints.
    assert verify.git_sha1(path) == "ce013625030ba8dba906f756967f9e9ca394464a"
