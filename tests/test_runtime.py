"""The runtime folder: where it lies, that it is private, sockets and locks in it."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from dlmd.wire import runtime
from dlmd.wire.runtime import DiscoveryError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "with a space"
    monkeypatch.setenv("DLMD_RUNTIME_DIR", str(path))
    return path


def test_the_named_folder_is_made_for_its_owner_only(folder: Path) -> None:
    before = os.umask(0)
    try:
        assert runtime.runtime_dir() == folder
    finally:
        os.umask(before)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert runtime.runtime_dir() == folder  # and found again


def test_a_relative_folder_does_not_move(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DLMD_RUNTIME_DIR", "here")
    assert runtime.runtime_path() == tmp_path / "here"


def test_xdg_names_the_parent_when_it_is_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DLMD_RUNTIME_DIR", raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert runtime.runtime_path() == tmp_path / "dlmd"


def test_another_users_xdg_folder_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DLMD_RUNTIME_DIR", raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr(os, "getuid", lambda: 54321)
    assert runtime.runtime_path() == Path("/tmp/dlmd-54321")


def test_a_symbolic_link_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    folder.symlink_to(tmp_path / "real")
    with pytest.raises(DiscoveryError, match="is a symbolic link; make it a folder"):
        runtime.runtime_dir()


def test_a_dangling_link_is_refused(folder: Path, tmp_path: Path) -> None:
    folder.symlink_to(tmp_path / "nowhere")
    with pytest.raises(DiscoveryError, match="is a symbolic link"):
        runtime.runtime_dir()


def test_a_file_is_refused(folder: Path) -> None:
    folder.touch(mode=0o600)
    with pytest.raises(DiscoveryError, match="is not a folder"):
        runtime.runtime_dir()


def test_a_folder_open_to_others_is_refused(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o750)
    with pytest.raises(DiscoveryError, match=r"open to others \(mode 750, expected"):
        runtime.runtime_dir()


def test_another_users_folder_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.mkdir(mode=0o700)
    monkeypatch.setattr(os, "getuid", lambda: 54321)
    with pytest.raises(DiscoveryError, match=r"not by you \(54321\)"):
        runtime.runtime_dir()


def test_a_folder_that_cannot_be_made_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("DLMD_RUNTIME_DIR", str(tmp_path / "file" / "run"))
    with pytest.raises(DiscoveryError, match=r"cannot write .*; free or allow"):
        runtime.runtime_dir()


def test_the_socket_lies_in_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DLMD_RUNTIME_DIR", str(tmp_path / "r"))
    assert runtime.socket_path() == tmp_path / "r" / "dlmd.sock"


def test_a_deep_folder_gets_a_short_private_socket_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = []
    for name in ("a", "b"):
        monkeypatch.setenv("DLMD_RUNTIME_DIR", str(tmp_path / ("é" * 60) / name))
        paths.append(runtime.socket_path())
        assert runtime.socket_path() == paths[-1]
    try:
        assert paths[0] != paths[1]
        for path in paths:
            assert len(os.fsencode(path)) <= 103
            assert path.parent.stat().st_mode & 0o777 == 0o700
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(str(path))
            path.unlink()
    finally:
        for path in paths:
            path.parent.rmdir()


def test_only_a_listening_socket_accepts(tmp_path: Path) -> None:
    path = tmp_path / "s"
    assert not runtime.accepts(path)
    assert not runtime.accepts(tmp_path / ("x" * 200))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        assert not runtime.accepts(path)
        listener.listen()
        assert runtime.accepts(path)
        with runtime.connect_socket(path) as connection:
            connection.sendall(b"hello")
            while (accepted := listener.accept()[0]).recv(5) != b"hello":
                accepted.close()
            accepted.close()
    assert not runtime.accepts(path)


@pytest.mark.skipif(sys.platform != "linux", reason="macOS refuses when it is full")
def test_a_full_backlog_is_somebody_listening(tmp_path: Path) -> None:
    path = tmp_path / "s"
    waiting: list[socket.socket] = []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(0)
        with pytest.raises((BlockingIOError, TimeoutError)):
            while len(waiting) < 10:
                waiting.append(runtime.connect_socket(path, timeout=0.01))
        assert runtime.accepts(path)
    for connection in waiting:
        connection.close()


def test_a_lock_is_held_by_one(folder: Path) -> None:
    with (
        runtime.locked("x.lock", 0.0) as first,
        runtime.locked("x.lock", 0.0) as second,
    ):
        assert (first, second) == (True, False)
    with runtime.locked("x.lock", 0.0) as third:
        assert third
    assert (folder / "x.lock").stat().st_mode & 0o777 == 0o600


@pytest.mark.slow
def test_a_lock_dies_with_its_holder(folder: Path) -> None:
    hold = (
        "from dlmd.wire import runtime\n"
        "with runtime.locked('x.lock', 0.0) as held:\n"
        "    print(held, flush=True); input()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout and holder.stdout.readline() == b"True\n"
        with runtime.locked("x.lock", 0.0) as held:
            assert not held
        holder.kill()
    with runtime.locked("x.lock", 0.0) as held:
        assert held


def test_a_lock_file_that_is_a_link_is_refused(folder: Path) -> None:
    (runtime.runtime_dir() / "x.lock").symlink_to(folder / "elsewhere")
    with (
        pytest.raises(DiscoveryError, match="cannot write"),
        runtime.locked("x.lock", 0.0),
    ):
        raise AssertionError("not reached")
