"""Small real repositories, with git and with tests, and their exact bytes."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

ENV = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_AUTHOR_NAME": "ada",
    "GIT_AUTHOR_EMAIL": "ada@example",
    "GIT_COMMITTER_NAME": "ada",
    "GIT_COMMITTER_EMAIL": "ada@example",
}


def git(folder: Path, *arguments: str, day: int = 0) -> str:
    program = shutil.which("git")
    assert program
    date = f"{1_700_000_000 + day * 86_400} +0000"
    env = os.environ | ENV | {"GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}
    line = [program, "-C", str(folder), *arguments]
    run = subprocess.run(line, env=env, capture_output=True, text=True, check=True)
    return run.stdout


def repository(folder: Path, files: dict[str, str], *, history: bool = True) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
    if history:
        git(folder, "init", "-q", "-b", "main")
        git(folder, "add", "-A")
        git(folder, "commit", "-q", "-m", "begin")
    return folder


def bytes_of(folder: Path) -> str:
    """One hash over all that is there: names, modes, times of change, contents; git's
    folder and the index included."""
    told = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        facts = path.lstat()
        told.update(os.fsencode(path.relative_to(folder)) + b" %d " % facts.st_mode)
        if path.is_symlink():
            told.update(os.readlink(path).encode())
        elif path.is_file():
            told.update(f"{facts.st_mtime_ns} ".encode() + path.read_bytes())
    return told.hexdigest()


CALC = '''\
def add(a, b):
    """Sum."""
    total = a + b
    return total


def clamp(x, low, high):
    if x < low:
        y = low
        return y
    if x > high:
        return high
    return x


def unseen(x):
    y = x
    return y


def weak(x):
    y = x + 1
    return y


def reached(x):
    y = x + 2
    return y
'''
TESTS = """\
import os
import socket
import time

import pytest

from calc import add, clamp, reached, weak


@pytest.mark.parametrize("a,b,c", [(1, 2, 3), (2, 3, 5), (0, 0, 0), (5, 5, 10)])
def test_add(a, b, c):
    assert add(a, b) == c


def test_clamp():
    assert clamp(1, 2, 3) == 2
    assert clamp(5, 2, 3) == 3
    assert clamp(2.5, 2, 3) == 2.5


def test_weak():
    weak(1)


def test_fails():
    assert add(1, 1) == 3


def test_network():
    with socket.create_connection(("192.0.2.1", 80), timeout=0.2):
        assert reached(1) == 3


def test_service():
    socket.create_connection(("127.0.0.1", 1), timeout=0.2)


def test_removes():
    os.remove("calc.py")


def test_writes():
    with open("notes.txt", "w") as file:
        file.write("x")


def test_clock():
    time.clock_settime(time.CLOCK_REALTIME, 0)


def test_forks():
    child = os.fork()
    if not child:
        return
    os.waitpid(child, 0)
    assert add(1, 2) == 3


@pytest.mark.skip(reason="not today")
def test_skipped():
    assert add(1, 2) == 3


def test_by_hash():
    assert os.environ["PYTHONHASHSEED"] in "01"
    assert add(1, 2) == 3
"""
HANGING = """\
import os
import signal
import sys

from calc import add


def test_deaf():
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
    while True:
        pass


def test_sleeps():
    import time

    while True:
        time.sleep(1)


def test_flood():
    for _ in range(4096):
        sys.stdout.write("x" * 65536)
        sys.stdout.flush()


def test_exits():
    os._exit(0)


def test_after():
    assert add(2, 2) == 4
"""
