"""Links in the place of the socket, the discovery file or the token: to make the daemon
overwrite a file of the user's, or to lead editors, and the code they show, elsewhere."""

import json
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from dlmd.serve import listener
from dlmd.serve.listener import taken_place
from dlmd.wire import discovery, runtime, token
from dlmd.wire.client import Client
from dlmd.wire.discovery import Discovery
from dlmd.wire.protocol import Result, hole

from tests.fakes.inside import serving
from tests.fakes.running import daemon, request, start

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


@pytest.mark.slow
@pytest.mark.parametrize("what", ["a file", "a link to a file", "a link to a socket"])
def test_what_is_no_socket_is_refused_and_left(places: Folder, what: str) -> None:
    run, evil = places
    (evil / "mine").write_text("kept")
    place = run / "dlmd.sock"
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(os.fspath(evil / "s"))
        bound.listen()
        if what == "a file":
            place.write_text("kept")
        else:
            place.symlink_to(evil / ("s" if "socket" in what else "mine"))
        process = start(run)
        said = process.communicate(timeout=60)[0]
    assert process.returncode == 1 and "is no socket" in said
    assert said.count("\n") == 1  # one sentence
    assert "socket" in what or place.read_text() == "kept"
    assert (evil / "mine").read_text() == "kept"


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
    (run / "daemon.json.new").symlink_to(evil / "mine")
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


# ---- what for: an editor that is led to the attacker's daemon shows what that one says


@pytest.fixture
def attacker(places: Folder) -> Iterator[Path]:
    """A daemon of the attacker's, as real as ours, in his folder."""
    evil = places[1].with_name("his")
    with daemon(evil, "--default", "import evil"):
        yield evil


async def shown() -> str:
    """What an editor of the user's would insert."""
    async with Client.connect() as client:
        stream = client.infill(request("a", "secret = 1\n", hole(), "\n"))
        end = [message async for message in stream][-1]
    assert isinstance(end, Result)
    return end.candidates[0].holes[0]


def trusting(path: Path) -> str:
    return path.read_text()


def nothing(path: Path) -> None:
    pass


CHECKS: dict[str, Any] = {"check_private": nothing, "_own_text": trusting}


@pytest.mark.slow
@pytest.mark.parametrize("gone", [(), ("check_private",), ("_own_text",)], ids=str)
async def test_editors_do_not_follow_a_linked_discovery_file(
    places: Folder,
    attacker: Path,
    monkeypatch: pytest.MonkeyPatch,
    gone: tuple[str, ...],
) -> None:
    run, _ = places
    (run / "daemon.json").symlink_to(attacker / "daemon.json")
    run.chmod(0o777)  # or he could not have put it there
    for name in gone:
        monkeypatch.setattr(discovery, name, CHECKS[name])
    with pytest.raises(discovery.DiscoveryError):
        await shown()


@pytest.mark.slow
async def test_without_the_checks_they_insert_what_the_attacker_says(
    places: Folder, attacker: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, _ = places
    (run / "daemon.json").symlink_to(attacker / "daemon.json")
    run.chmod(0o777)
    for name, gone in CHECKS.items():
        monkeypatch.setattr(discovery, name, gone)
    assert await shown() == "import evil"


@pytest.mark.slow
async def test_a_socket_behind_a_link_needs_a_folder_of_others(
    places: Folder, attacker: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Our daemon serves; in place of its socket he puts a link to his own."""
    run, _ = places
    with daemon(run, "--default", "ours") as running:
        assert await shown() == "ours"
        run.chmod(0o777)
        running.socket.unlink()
        running.socket.symlink_to(attacker / "dlmd.sock")
        with pytest.raises(discovery.DiscoveryError, match="open to others"):
            await shown()
        monkeypatch.setattr(discovery, "check_private", nothing)
        assert await shown() == "import evil"


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


async def test_without_the_checks_the_attacker_knows_the_token(
    places: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, evil = places
    linked(run, evil)
    flags: Any = SimpleNamespace(**{**vars(os), "O_NOFOLLOW": 0})
    monkeypatch.setattr(token, "os", flags)
    monkeypatch.setattr(token, "check_owned", lambda path, seen: None)
    async with serving(run) as inside:
        his = {"Authorization": "Bearer " + "A" * 43}
        told = await inside.ask("POST", "/infill", {}, his, own=False)
        assert told.json["content"] == "return value"


def test_a_lock_is_not_taken_through_a_link(places: Folder) -> None:
    run, evil = places
    (run / "daemon.lock").symlink_to(evil / "created")
    with pytest.raises(discovery.DiscoveryError), runtime.locked("daemon.lock", 0.0):
        pass
    assert not (evil / "created").exists()
