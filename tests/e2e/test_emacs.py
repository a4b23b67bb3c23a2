"""Emacs with Eglot, in batch: a completion is offered and put in, a function is written.

Emacs has no inline completion, so the server's plain completion and code actions serve it.
The configuration is that of docs/emacs.md, read from the page.
"""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.e2e.room import Room
from tests.e2e.told import told

SCRIPT = Path(__file__).with_name("completes.el")
EGLOT = "(progn (require 'package) (package-initialize) (require 'eglot))"
TABLE = {
    "return ": "a + b",
    "return tot": "al + b",
    "print(": "total, 1)",
    "    ": "total = sum(xs)\n    return total",
    "\t\t": "return x\n\t\treturn 2\n",
}


def has_eglot() -> bool:
    emacs = shutil.which("emacs")
    ask = [emacs or "", "--batch", "--eval", EGLOT]
    return (
        emacs is not None
        and not subprocess.run(ask, capture_output=True, check=False).returncode
    )


pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.skipif(not has_eglot(), reason="no Emacs with Eglot on this machine"),
]


def emacs(room: Room, path: Path, *arguments: str) -> None:
    room.use_fake_model(TABLE)
    init = room.folder / "init.el"
    init.write_text(told("emacs.md", "elisp"))
    ran = subprocess.run(
        ["emacs", "--batch", "-l", str(init), "-l", str(SCRIPT), str(path), *arguments],
        env=room.env,
        cwd=room.project,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_a_completion_and_a_function(shared_room: Room) -> None:
    path = shared_room.file(
        "a.py", b"def add(a, b):\n    # here\n\n\ndef all_of(xs):\n    pass\n"
    )
    emacs(shared_room, path, "# here\n", "    return ", "a + b", "pass", "total")
    assert path.read_text() == (
        "def add(a, b):\n    # here\n    return a + b\n\n"
        "def all_of(xs):\n    total = sum(xs)\n    return total\n"
    )


@pytest.mark.parametrize(
    "content, before, typed, offered, written",
    [
        (b"x = 1\n\n", "x = 1\n", "return tot", "total + b", b"x = 1\nreturn total + b\n"),
        (b"print(, 1)\n", "print(", "", "total", b"print(total, 1)\n"),
        (
            b"def f(x):\n\tif x:\n\t\t\n\ny = 1\n",
            "if x:\n\t\t",
            "",
            "return x",
            b"def f(x):\n\tif x:\n\t\treturn x\n\t\treturn 2\n\ny = 1\n",
        ),
        (
            b"def f(xs):\r\n    \r\n\r\ny = 1\r\n",
            "xs):\n    ",
            "",
            "total",
            b"def f(xs):\r\n    total = sum(xs)\r\n    return total\r\n\r\ny = 1\r\n",
        ),
    ],
)  # fmt: skip
def test_nothing_is_said_twice(
    shared_room: Room,
    content: bytes,
    before: str,
    typed: str,
    offered: str,
    written: bytes,
) -> None:
    path = shared_room.file("a.py", content)
    emacs(shared_room, path, before, typed, offered)
    assert path.read_bytes().decode() == written.decode()
