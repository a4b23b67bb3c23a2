"""`dlmd status`, `ps` and `stop` by a person's hand, over the life of a daemon."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import Home

pytestmark = pytest.mark.slow


@pytest.fixture
def home(tmp_path: Path) -> Home:
    (tmp_path / "f.py").write_bytes(b"a = 1\n")
    return Home(tmp_path)


def test_status_and_stop_over_the_life_of_a_daemon(home: Home) -> None:
    stopped = home.run("status", "--json")
    assert (stopped.code, json.loads(stopped.out)) == (3, {"phase": "stopped"})
    with home.fake_daemon("--load-ms", "11000") as daemon:
        loading = home.run("status")
        assert (loading.code, loading.out.splitlines()[:2]) == (
            4,
            [b"loading", b"dlmd fake on none"],
        )
        assert f"pid {daemon.pid}\n".encode() in loading.out
        while not (told := re.search(rb"\d of .* [MG]B, \d+ s left", loading.out)):
            loading = home.run("status")
            assert loading.code == 4
        assert told
        assert home.run("stop").out == f"stopped process {daemon.pid}\n".encode()
        assert daemon.wait(10) == 0
    assert home.run("status").out == b"stopped\n"
    assert home.run("stop").out == b"no daemon runs\n"


def test_ps_shows_what_is_loaded_and_until_when(home: Home) -> None:
    stopped = home.run("ps")
    assert (stopped.code, stopped.out) == (3, b"nothing runs\n")
    assert json.loads(home.run("ps", "--json").out) == {"phase": "stopped"}
    with home.fake_daemon("--load-ms", "11000"):
        loading = home.run("ps")
        assert (loading.code, b"loading" in loading.out) == (4, True)
    (home.folder / "run" / "daemon.json").unlink()
    with home.fake_daemon():
        assert home.run("infill", "f.py:1").code == 0
        heading, row = home.run("ps").out.decode().splitlines()
        assert heading.split() == [
            *("MODEL", "ADAPTER", "DEVICE", "MEMORY", "PHASE", "UNTIL"),
            *("QUEUE", "CLIENTS"),
        ]
        assert re.fullmatch(
            r"fake +- +none +- +ready +30 min from now +0 +0", row.rstrip()
        )
        told = json.loads(home.run("ps", "--json").out)
        assert (told["phase"], told["clients"], told["queue"]) == ("ready", 0, 0)


def test_stop_takes_a_socket_as_the_others_do(home: Home) -> None:
    own = str(home.folder / "run" / "dlmd.sock")
    nobody = home.run("stop", "--socket", own)
    assert (nobody.code, nobody.out) == (0, f"no daemon runs at {own}\n".encode())
    with home.fake_daemon() as daemon:
        elsewhere = home.run(
            "stop", "--socket", own, DLMD_RUNTIME_DIR=str(home.folder / "other")
        )
        assert elsewhere.code == 1 and "was not announced in" in elsewhere.err
        assert home.run("stop", "--socket", "gone").out == b"no daemon runs at gone\n"
        assert daemon.poll() is None
        assert home.run("stop", "--socket", own).code == 0
        assert daemon.wait(10) == 0


def test_stop_never_signals_a_process_that_is_not_the_daemon(home: Home) -> None:
    with (
        home.fake_daemon() as daemon,
        subprocess.Popen(
            [sys.executable, "-c", "input()"], stdin=subprocess.PIPE
        ) as bystander,
    ):
        told = home.folder / "run" / "daemon.json"
        told.write_text(
            json.dumps(json.loads(told.read_text()) | {"pid": bystander.pid})
        )
        done = home.run("stop")
        assert (done.code, done.err.count("\n")) == (1, 1)
        assert f"process {daemon.pid} answers" in done.err
        assert bystander.poll() is None and daemon.poll() is None
        bystander.kill()
