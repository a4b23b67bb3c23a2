"""Links in the place of the socket, the discovery file or the token: to make the daemon
overwrite a file of the user's, or to lead editors, and the code they show, elsewhere."""

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from dlmd.serve import listener
from dlmd.serve.listener import taken_place
from dlmd.wire import discovery, runtime, token
from dlmd.wire.discovery import Discovery

Folder = tuple[Path, Path]


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    """The runtime folder, and a folder of the attacker's."""
    monkeypatch.setenv("DLMD_RUNTIME_DIR", str(tmp_path / "run"))
    (tmp_path / "evil").mkdir()
    return discovery.runtime_dir(), tmp_path / "evil"


def impostor(evil: Path) -> tuple[socket.socket, str]:
    """A socket of the attacker's that accepts, and a discovery file that names it."""
    bound = socket.socket(socket.AF_UNIX)
    bound.bind(os.fspath(evil / "s"))
    bound.listen()
    about = {
        "pid": os.getpid(),
        "socket": str(evil / "s"),
        "version": "1",
        "started": 1,
    }
    (evil / "daemon.json").write_text(json.dumps(about))
    return bound, str(evil / "s")


# ---- the socket


def test_a_link_in_the_sockets_place_is_refused_and_left(places: Folder) -> None:
    run, evil = places
    (evil / "mine").write_text("kept")
    (run / "dlmd.sock").symlink_to(evil / "mine")
    with pytest.raises(ValueError, match="is no socket"), taken_place(None):
        pass
    assert (evil / "mine").read_text() == "kept"


def test_a_link_to_a_socket_elsewhere_is_refused_too(places: Folder) -> None:
    run, evil = places
    bound, name = impostor(evil)
    (run / "dlmd.sock").symlink_to(name)
    with bound, pytest.raises(ValueError, match="is no socket"), taken_place(None):
        pass


def test_without_the_check_what_lies_there_is_deleted(
    places: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, _ = places
    (run / "dlmd.sock").write_text("the only copy")
    with pytest.raises(ValueError, match="is no socket"), taken_place(None):
        pass
    assert (run / "dlmd.sock").read_text() == "the only copy"
    always = SimpleNamespace(S_ISSOCK=lambda mode: True)
    monkeypatch.setattr(listener, "stat", always)
    with taken_place(None) as (_, path):
        assert path.is_socket()


# ---- the discovery file


def test_a_linked_discovery_file_is_not_followed(places: Folder) -> None:
    run, evil = places
    bound, _ = impostor(evil)
    (run / "daemon.json").symlink_to(evil / "daemon.json")
    with bound, pytest.raises(ValueError, match=r"daemon\.json"):
        discovery.read()


def test_writing_it_replaces_the_link_and_not_its_target(places: Folder) -> None:
    run, evil = places
    (evil / "mine").write_text("kept")
    (run / "daemon.json").symlink_to(evil / "mine")
    (run / f"daemon.json.{os.getpid()}").symlink_to(evil / "mine")
    discovery.write(Discovery(pid=os.getpid(), socket=run / "s", version="1"))
    assert (evil / "mine").read_text() == "kept"
    assert not (run / "daemon.json").is_symlink()


@pytest.mark.parametrize("what", ["a link", "open to others"])
def test_a_runtime_folder_of_somebody_elses_making_is_refused(
    places: Folder, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    _, evil = places
    bound, _ = impostor(evil)
    place = evil.with_name("linked") if what == "a link" else evil
    if what == "a link":
        place.symlink_to(evil)
        evil.chmod(0o700)
    else:
        evil.chmod(0o777)
    monkeypatch.setenv("DLMD_RUNTIME_DIR", str(place))
    with bound:
        for act in (discovery.read, discovery.runtime_dir, token.kept_token):
            with pytest.raises(discovery.DiscoveryError, match="runtime folder"):
                act()


def test_without_the_checks_editors_talk_to_the_attacker(
    places: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, evil = places
    bound, name = impostor(evil)
    (run / "daemon.json").symlink_to(evil / "daemon.json")
    run.chmod(0o777)

    def trusting(path: Path) -> str:
        return path.read_text()

    def nothing(path: Path) -> None:
        pass

    with bound:
        # Each of the two is enough by itself.
        with pytest.raises(discovery.DiscoveryError), monkeypatch.context() as patch:
            patch.setattr(discovery, "check_private", nothing)
            discovery.read()
        with pytest.raises(discovery.DiscoveryError), monkeypatch.context() as patch:
            patch.setattr(discovery, "_own_text", trusting)
            discovery.read()
        monkeypatch.setattr(discovery, "check_private", nothing)
        monkeypatch.setattr(discovery, "_own_text", trusting)
        found = discovery.read()
        assert found is not None and str(found.socket) == name


# ---- the token


def linked(run: Path, evil: Path) -> None:
    (evil / "token").write_text("A" * 43)
    (evil / "token").chmod(0o600)
    (run / "http.token").symlink_to(evil / "token")


def readable(run: Path, evil: Path) -> None:
    (run / "http.token").write_text("A" * 43)
    (run / "http.token").chmod(0o644)


def no_token(run: Path, evil: Path) -> None:
    (run / "http.token").write_text("")
    (run / "http.token").chmod(0o600)


def a_pipe(run: Path, evil: Path) -> None:
    os.mkfifo(run / "http.token", 0o600)


@pytest.mark.parametrize("plant", [linked, readable, no_token, a_pipe])
def test_a_planted_token_is_not_taken(
    places: Folder, plant: Callable[[Path, Path], None]
) -> None:
    plant(*places)
    with pytest.raises(discovery.DiscoveryError, match="cannot be trusted"):
        token.kept_token()


def test_without_the_checks_the_attacker_knows_the_token(
    places: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, evil = places
    linked(run, evil)
    flags: Any = SimpleNamespace(**{**vars(os), "O_NOFOLLOW": 0})
    monkeypatch.setattr(token, "os", flags)
    monkeypatch.setattr(token, "check_owned", lambda path, seen: None)
    assert token.kept_token() == "A" * 43


def test_a_lock_is_not_taken_through_a_link(places: Folder) -> None:
    run, evil = places
    (run / "daemon.lock").symlink_to(evil / "created")
    with pytest.raises(discovery.DiscoveryError), runtime.locked("daemon.lock", 0.0):
        pass
    assert not (evil / "created").exists()
