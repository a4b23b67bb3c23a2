"""The discovery file and starting on demand: real files, locks, sockets, processes."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from dlmd.wire import discovery
from dlmd.wire.discovery import Discovery, DiscoveryError, ensure_daemon

# A daemon of a few lines: the lock, the socket, the file, and hello to whoever comes.
SMALL_DAEMON = """
import os
from websockets.sync.server import unix_serve
from dlmd.wire import discovery
from dlmd.wire.protocol import Hello, Limits, Status, encode

def talk(connection):
    status = Status(phase="loading")
    connection.send(encode(Hello(version="1", limits=Limits(), status=status)))
    for _ in connection:
        pass

with discovery.daemon_lock():
    path = discovery.socket_path()
    path.unlink(missing_ok=True)
    with unix_serve(talk, str(path)) as server:
        discovery.write(discovery.Discovery(pid=os.getpid(), socket=path, version="1"))
        server.serve_forever()
"""
DAEMON = [sys.executable, "-c", SMALL_DAEMON]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DLMD_RUNTIME_DIR", str(tmp_path / "run"))
    monkeypatch.delenv("DLMD_NO_START", raising=False)
    return tmp_path / "run"


@pytest.fixture
def listener(folder: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(discovery.socket_path()))
        made.listen()
        yield made


def announced(pid: int | None = None) -> Discovery:
    found = Discovery(
        pid=pid or os.getpid(), socket=discovery.socket_path(), version="1"
    )
    discovery.write(found)
    return found


def kill(found: Discovery) -> None:
    """kill -9, and wait until the kernel has closed its sockets."""
    with discovery.connect_socket(found.socket, timeout=30.0) as connection:
        os.kill(found.pid, signal.SIGKILL)
        try:
            while connection.recv(4096):
                pass
        except ConnectionResetError:
            pass


def quiet(sentence: str) -> None:
    pass


# ---- the file


def test_what_was_written_is_read(folder: Path, listener: socket.socket) -> None:
    written = announced()
    assert discovery.read() == written
    assert (folder / "daemon.json").stat().st_mode & 0o777 == 0o600
    assert {p.name for p in folder.iterdir()} == {"daemon.json", "dlmd.sock"}


def test_nothing_is_read_and_nothing_is_made_where_there_is_nothing(
    folder: Path,
) -> None:
    assert discovery.read() is None
    discovery.remove()
    assert not folder.exists()


def test_a_dead_process_serves_nothing(listener: socket.socket) -> None:
    child = subprocess.Popen(["true"])
    child.wait()
    announced(child.pid)
    assert discovery.read() is None


def test_a_socket_that_refuses_is_stale_and_its_process_is_left_alone() -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as bystander:
        announced(bystander.pid)  # as if its number had been the daemon's before
        assert discovery.read() is None
        discovery.write(
            Discovery(pid=os.getpid(), socket=discovery.socket_path(), version="1")
        )
        assert bystander.poll() is None


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"pid": 1}', "\x00" * 64, "null", '{"pid": "x"}'],
)
def test_half_a_file_is_as_good_as_none(
    text: str, folder: Path, listener: socket.socket
) -> None:
    announced()
    (folder / "daemon.json").write_text(text)
    assert discovery.read() is None
    discovery.remove()  # not provably ours
    assert (folder / "daemon.json").exists()


@pytest.mark.parametrize("pid", [0, -1, 10**30])
def test_a_process_id_that_is_none_is_stale(
    pid: int, folder: Path, listener: socket.socket
) -> None:
    announced()
    raw = json.loads((folder / "daemon.json").read_text())
    (folder / "daemon.json").write_text(json.dumps(raw | {"pid": pid}))
    assert discovery.read() is None


def test_only_ones_own_announcement_is_removed(
    folder: Path, listener: socket.socket
) -> None:
    announced(os.getppid())
    discovery.remove()
    assert (folder / "daemon.json").exists()
    announced()
    discovery.remove()
    assert not (folder / "daemon.json").exists()


def test_a_folder_open_to_others_is_not_believed(
    folder: Path, listener: socket.socket
) -> None:
    announced()
    folder.chmod(0o777)
    with pytest.raises(DiscoveryError, match="open to others"):
        discovery.read()


def test_a_file_that_cannot_be_read_is_one_sentence(folder: Path) -> None:
    (discovery.runtime_dir() / "daemon.json").mkdir()
    with pytest.raises(DiscoveryError, match=r"cannot read .*daemon.json"):
        discovery.read()


@pytest.mark.slow
def test_a_full_disk_is_one_sentence_and_the_old_file_stays(
    folder: Path, listener: socket.socket
) -> None:
    written = announced()
    # No bytes may be written to files any more: what a full disk does, without one.
    script = (
        "import os, resource\nfrom dlmd.wire import discovery\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
        "try: discovery.write(discovery.Discovery("
        "pid=1, socket=discovery.socket_path(), version='2'))\n"
        "except discovery.DiscoveryError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True)
    assert done.stdout.startswith(b"cannot write ") and done.stderr == b""
    assert done.stdout.count(b"\n") == 1
    assert discovery.read() == written
    assert {p.name for p in folder.iterdir()} == {"daemon.json", "dlmd.sock"}


# ---- locks


def test_one_daemon_at_a_time_and_the_second_hears_who_it_is(
    listener: socket.socket,
) -> None:
    with discovery.daemon_lock():
        announced()
        with (
            pytest.raises(DiscoveryError, match=f"already runs.*process {os.getpid()}"),
            discovery.daemon_lock(),
        ):
            raise AssertionError("not reached")


def test_waiting_for_a_starter_has_an_end() -> None:
    with (
        discovery.start_lock(),
        pytest.raises(DiscoveryError, match=r"has been starting .* for 0.01 s"),
        discovery.start_lock(0.01),
    ):
        raise AssertionError("not reached")


# ---- starting on demand


def test_a_daemon_that_runs_is_not_started_again(listener: socket.socket) -> None:
    written = announced()
    assert ensure_daemon(["false"], announce=pytest.fail) == written


def test_starting_can_be_forbidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DLMD_NO_START", "1")
    with pytest.raises(DiscoveryError, match="DLMD_NO_START forbids"):
        ensure_daemon(["false"], announce=pytest.fail)


@pytest.mark.slow
def test_a_daemon_is_announced_started_apart_and_found_again_after_kill_9(
    folder: Path,
) -> None:
    said: list[str] = []
    first = ensure_daemon(DAEMON, announce=said.append)
    try:
        assert said == [f"starting the dlmd daemon (log: {folder / 'daemon.log'})"]
        assert os.getsid(first.pid) == first.pid
        assert ensure_daemon(DAEMON, announce=pytest.fail) == first
    finally:
        kill(first)
    assert discovery.read() is None
    second = ensure_daemon(DAEMON, announce=quiet)
    kill(second)
    assert second.pid != first.pid
    assert (folder / "daemon.log.1").exists()


@pytest.mark.slow
def test_many_who_ask_at_once_start_one_daemon() -> None:
    said: list[str] = []
    found: list[Discovery] = []

    def ask() -> None:
        found.append(ensure_daemon(DAEMON, announce=said.append))

    askers = [threading.Thread(target=ask) for _ in range(4)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    kill(found[0])
    assert len(found) == 4 and len(set(found)) == 1 and len(said) == 1


def test_a_daemon_that_ends_at_once_is_quoted() -> None:
    command = ["sh", "-c", "echo first; echo 'no such model; name another'; exit 3"]
    with pytest.raises(DiscoveryError) as caught:
        ensure_daemon(command, announce=quiet)
    assert "exit code 3" in str(caught.value)
    assert "no such model; name another; the whole log is" in str(caught.value)


def test_a_program_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DiscoveryError, match="could not be started"):
        ensure_daemon([str(tmp_path / "nothing")], announce=quiet)


@pytest.mark.slow
def test_a_daemon_that_never_answers_is_given_up_and_left_alone(folder: Path) -> None:
    command = ["sh", "-c", "echo $$; exec sleep 600"]
    with pytest.raises(DiscoveryError, match=r"did not answer within 1 s.*\d+; wait"):
        ensure_daemon(command, timeout=1.0, announce=quiet)
    os.kill(int((folder / "daemon.log").read_text()), signal.SIGKILL)


def test_an_upgrade_does_not_change_the_version_of_who_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = discovery.version()
    monkeypatch.setattr(metadata, "version", lambda name: "9.9.9")
    assert discovery.version() == before


def test_a_disk_that_takes_no_log_is_one_sentence(folder: Path) -> None:
    discovery.runtime_dir()
    (folder / "daemon.log").symlink_to(folder / "nowhere" / "log")
    (folder / "daemon.log.1").mkdir()
    (folder / "daemon.log.1" / "kept").touch()
    with pytest.raises(DiscoveryError, match="could not be started"):
        ensure_daemon(["true"], announce=quiet)


@pytest.mark.slow
def test_a_file_beside_the_asker_does_not_become_the_daemon(tmp_path: Path) -> None:
    (tmp_path / "dlmd.py").write_text("print('hijacked')")
    command = [*discovery.DAEMON[: discovery.DAEMON.index("serve")], "--version"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == f"dlmd {discovery.version()}\n"
