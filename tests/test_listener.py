"""The daemon's place: who gets it, who is refused, what is left behind."""

import os
import socket
import stat
from pathlib import Path

import pytest
from dlmd.serve.listener import leave, taken_place
from dlmd.wire import discovery


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DLMD_RUNTIME_DIR", str(tmp_path / "run"))
    return tmp_path


def announce(path: Path) -> None:
    discovery.write(
        discovery.Discovery(pid=os.getpid(), socket=path, version=discovery.version())
    )


def test_the_socket_listens_and_is_the_owners_alone() -> None:
    before = os.umask(0)
    try:
        with taken_place(None) as (_, path):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            assert discovery.accepts(path)
        assert os.umask(0) == 0
    finally:
        os.umask(before)
    assert not path.exists()


def test_a_socket_and_an_announcement_of_the_dead_are_replaced() -> None:
    with taken_place(None) as (_, path):
        pass
    left = socket.socket(socket.AF_UNIX)
    left.bind(os.fspath(path))
    left.close()
    announce(path)
    with taken_place(None) as (_, again):
        assert again == path
        assert discovery.accepts(path)


def test_a_second_one_is_refused_and_the_first_goes_on() -> None:
    with taken_place(None) as (_, path):
        announce(path)
        with (
            pytest.raises(ValueError, match=rf"process {os.getpid()}.*dlmd stop"),
            taken_place(None),
        ):
            pass
        assert discovery.accepts(path)
        assert discovery.read() is not None


def test_another_programs_socket_is_left_alone(folder: Path) -> None:
    path = folder / "theirs.sock"
    with socket.socket(socket.AF_UNIX) as theirs:
        theirs.bind(os.fspath(path))
        theirs.listen()
        with (
            pytest.raises(ValueError, match="another program listens"),
            taken_place(path),
        ):
            pass
        assert discovery.accepts(path)


def test_a_file_in_the_place_is_kept(folder: Path) -> None:
    path = folder / "notes.txt"
    path.write_text("kept")
    with pytest.raises(ValueError, match="is no socket"), taken_place(path):
        pass
    assert path.read_text() == "kept"


@pytest.mark.parametrize("name", ["absent/dlmd.sock", "x" * 120])
def test_a_place_that_cannot_hold_a_socket_is_one_sentence(
    folder: Path, name: str
) -> None:
    with (
        pytest.raises(ValueError, match="cannot make the socket") as refusal,
        taken_place(folder / name),
    ):
        pass
    assert "--socket" in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_leaving_early_makes_room_for_nobody_else(folder: Path) -> None:
    with taken_place(None) as (_, path):
        announce(path)
        leave(path)
        assert discovery.read() is None
        assert not path.exists()
        with (
            pytest.raises(ValueError, match="already runs"),
            discovery.daemon_lock(),
        ):
            pass
