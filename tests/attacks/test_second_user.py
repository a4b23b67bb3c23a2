"""Another user of this machine, a real one: a child process with another uid.

He may look anywhere his uid lets him, connect where it lets him, and call the port.
"""

import encodings.idna  # noqa: F401 (a stranger may not read our library any more)
import http.client
import json
import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from dlmd.wire import discovery, runtime

from tests.fakes.running import Running, daemon

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user"),
]
STRANGER = 65534
DONE, REFUSED, BROKEN = 0, 1, 2


@pytest.fixture
def served() -> Iterator[Running]:
    """Not in pytest's own folder, which no other user may enter anyhow."""
    parent = Path(tempfile.mkdtemp(prefix="dlmd-attack-"))
    parent.chmod(0o755)
    try:
        with daemon(parent / "run", "--http", "127.0.0.1:0") as running:
            yield running
    finally:
        shutil.rmtree(parent)


def as_stranger(act: Callable[[], object]) -> int:
    """What became of it when another user did it."""
    child = os.fork()
    if child == 0:
        code = BROKEN
        try:
            os.setgroups([])
            os.setresgid(STRANGER, STRANGER, STRANGER)
            os.setresuid(STRANGER, STRANGER, STRANGER)
            code = DONE if act() else REFUSED
        except OSError:
            code = REFUSED
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def port_of(running: Running) -> int:
    told = json.loads((running.folder / "daemon.json").read_text())
    return int(told["http"].rsplit(":", 1)[1])


def attempts(running: Running) -> dict[str, Callable[[], object]]:
    folder, port = running.folder, port_of(running)

    def connect() -> bool:
        with socket.socket(socket.AF_UNIX) as knocking:
            knocking.connect(os.fspath(running.socket))
        return True

    def replace() -> bool:
        running.socket.unlink()
        return True

    def end() -> bool:
        os.kill(running.process.pid, signal.SIGTERM)
        return True

    def call(**headers: str) -> bool:
        calling = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        calling.request("GET", "/v1/models", headers=headers)
        return calling.getresponse().status == 200

    def call_with_the_token() -> bool:
        key = (folder / "http.token").read_text().strip()
        return call(Authorization=f"Bearer {key}")

    return {
        "list the folder": lambda: [*os.listdir(folder), True],
        "read the announcement": lambda: (folder / "daemon.json").read_text(),
        "read the token": lambda: (folder / "http.token").read_text(),
        "open the socket": connect,
        "replace the socket": replace,
        "plant a file": lambda: (folder / "planted").write_text("x"),
        "call the port": call,
        "call it with the token": call_with_the_token,
        "end the daemon": end,
    }


def test_another_user_gets_nowhere(served: Running) -> None:
    tried = {name: as_stranger(act) for name, act in attempts(served).items()}
    assert tried == dict.fromkeys(tried, REFUSED)
    assert served.process.poll() is None


def test_the_owner_does_all_of_it(served: Running) -> None:
    """The attempts are real ones: who may, can."""
    may = ("list the folder", "open the socket", "call it with the token")
    acts = attempts(served)
    assert all(acts[name]() for name in may)


def test_with_modes_open_he_has_everything(served: Running) -> None:
    served.folder.chmod(0o777)
    for name in ("daemon.json", "http.token", "dlmd.sock"):
        (served.folder / name).chmod(0o666)
    tried = {name: as_stranger(act) for name, act in attempts(served).items()}
    won = [name for name, code in tried.items() if code == DONE]
    assert {"open the socket", "read the token", "call it with the token"} <= set(won)
    assert "replace the socket" in won


def test_the_folder_alone_is_enough_and_so_is_each_mode(served: Running) -> None:
    for name in ("daemon.json", "http.token", "dlmd.sock"):
        (served.folder / name).chmod(0o666)
    acts = attempts(served)
    inner = ("open the socket", "read the token", "call it with the token")
    assert [as_stranger(acts[name]) for name in inner] == [REFUSED] * 3
    served.folder.chmod(0o755)
    for name in ("daemon.json", "http.token", "dlmd.sock"):
        (served.folder / name).chmod(0o600)
    assert [as_stranger(acts[name]) for name in inner] == [REFUSED] * 3


def test_his_folder_in_our_place_is_not_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """He makes /tmp/dlmd-<uid> before we do."""
    parent = Path(tempfile.mkdtemp(prefix="dlmd-attack-"))
    try:
        place = parent / "dlmd-0"
        place.mkdir(mode=0o700)
        os.chown(place, STRANGER, STRANGER)
        monkeypatch.setenv("DLMD_RUNTIME_DIR", str(place))
        with pytest.raises(discovery.DiscoveryError, match=f"owned by user {STRANGER}"):
            discovery.runtime_dir()

        def trusting(path: Path) -> None:
            pass

        patched: Any = runtime
        monkeypatch.setattr(patched, "check_private", trusting)
        assert discovery.runtime_dir() == place
    finally:
        shutil.rmtree(parent)
