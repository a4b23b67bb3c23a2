"""Emacs with Eglot, in batch: a completion is offered and put in, a function is written.

Emacs has no inline completion, so the server's plain completion and code actions serve it.
The configuration is that of docs/emacs.md.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.e2e.room import Room

SCRIPT = Path(__file__).with_name("completes.el")
EGLOT = "(progn (require 'package) (package-initialize) (require 'eglot))"


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


def test_a_completion_and_a_function(room: Room) -> None:
    room.use_fake_model(
        {"return ": "a + b", "    ": "total = sum(xs)\n    return total"}
    )
    path = room.file(
        "a.py", b"def add(a, b):\n    # here\n\n\ndef all_of(xs):\n    pass\n"
    )
    ran = subprocess.run(
        ["emacs", "--batch", "-l", str(SCRIPT), str(path), "    return ", "a + b"],
        env={**room.env, "HOME": os.environ["HOME"]},
        cwd=room.project,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert path.read_text() == (
        "def add(a, b):\n    # here\n    return a + b\n\n"
        "def all_of(xs):\n    total = sum(xs)\n    return total\n"
    )
