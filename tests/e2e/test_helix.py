"""Helix on what docs/helix.md says: a completion, a word that is being typed, a function.

Helix has no inline completion, so the server's plain completion and code actions serve it.
HX names the program; `make e2e` fetches one.
"""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.editor import DEADLINE_S
from tests.e2e.room import BOTH_FILLED, TWO_FUNCTIONS, Room
from tests.e2e.terminal import Terminal
from tests.e2e.told import told

HX = os.environ.get("HX", "")

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.skipif(
        not (HX and shutil.which("tmux")), reason="no Helix, or no tmux"
    ),
]

TABLE = {
    "return ": "first + second",
    "return fir": "st + second",
    "print(": "total, 1)",
    "\t\t": "return x\n\t\treturn 2\n",
    "    ": "total = sum(xs)\n    return total",
}


@contextmanager
def helix(room: Room, path: Path) -> Iterator[Terminal]:
    """Once its server is up: it forgets a key that comes before, and says nothing of either."""
    room.use_fake_model(TABLE)
    settings = room.folder / "home" / ".config" / "helix"
    settings.mkdir(parents=True, exist_ok=True)
    (settings / "languages.toml").write_text(told("helix.md", "toml"))
    runtime = Path(HX).parent / "runtime"
    more = {"HELIX_RUNTIME": str(runtime)} if runtime.is_dir() else {}
    log = room.folder / "helix.log"
    log.unlink(missing_ok=True)
    argv = [HX, "-v", "--log", str(log), str(path)]
    with Terminal(argv, {**room.env, **more}, room.project) as terminal:
        end = time.monotonic() + DEADLINE_S
        while not (log.exists() and "textDocument/didOpen" in log.read_text()):
            assert time.monotonic() < end, "Helix did not start the language server"
            time.sleep(0.02)
        yield terminal


def normal(terminal: Terminal) -> None:
    """Escape, and the next key only when it has worked: together they would be one with Alt."""
    if not any(" NOR " in line for line in terminal.lines()):
        terminal.press("Escape")
        terminal.wait_for(" NOR ")


def saved(terminal: Terminal, path: Path) -> bytes:
    normal(terminal)
    terminal.type(":w\n")
    terminal.wait_for("written")
    return path.read_bytes()


def test_a_completion_by_its_key_and_a_function(shared_room: Room) -> None:
    path = shared_room.file("a.py", TWO_FUNCTIONS)
    with helix(shared_room, path) as terminal:
        terminal.type("jAreturn ")
        terminal.wait_for("return")
        terminal.press("C-x")
        terminal.wait_for("first + second text")
        log = (shared_room.folder / "helix.log").read_text()
        since_the_space = log[log.rindex('"text":" "') :]
        assert since_the_space.count('"method":"textDocument/completion"') == 1
        terminal.keep_shot("helix-completion")
        terminal.press("C-n", "Enter")
        terminal.wait_for("    return first + second")
        normal(terminal)
        terminal.type("u")
        terminal.wait(lambda lines: lines[1].endswith("return"), "undo in one step")
        terminal.type("U5gg")
        terminal.wait_for("5:1")
        terminal.type(" a")
        terminal.wait_for("write the body of all_of")
        terminal.keep_shot("helix-actions")
        terminal.press("Enter")
        terminal.wait_for("return total")
        assert saved(terminal, path) == BOTH_FILLED


def test_behind_a_word_it_comes_by_itself(shared_room: Room) -> None:
    path = shared_room.file("a.py", b"def add(first, second):\n    \n")
    with helix(shared_room, path) as terminal:
        terminal.type("jAreturn fir")
        terminal.wait_for("first + second text")
        terminal.press("C-n", "Enter")
        terminal.wait_for("    return first + second")
        assert saved(terminal, path).endswith(b"    return first + second\n")


@pytest.mark.parametrize(
    "content, keys, written",
    [
        (b"print(, 1)\n", "f,;i", b"print(total, 1)\n"),
        (
            b"def f(x):\n\tif x:\n\t\t\n\ny = 1\n",
            "2jA",
            b"def f(x):\n\tif x:\n\t\treturn x\n\t\treturn 2\n\ny = 1\n",
        ),
        (
            b"def f(x):\r\n    \r\n\r\ny = 1\r\n",
            "jA",
            b"def f(x):\r\n    total = sum(xs)\r\n    return total\r\n\r\ny = 1\r\n",
        ),
    ],
)
def test_nothing_is_said_twice(
    shared_room: Room, content: bytes, keys: str, written: bytes
) -> None:
    path = shared_room.file("a.py", content)
    with helix(shared_room, path) as terminal:
        terminal.type(keys)
        terminal.wait_for("INS")
        terminal.press("C-x")
        terminal.wait_for(" text")
        terminal.press("C-n")
        terminal.wait_for("dlmd")  # beside the menu, once something is chosen in it
        terminal.press("Enter")
        assert saved(terminal, path).decode() == written.decode()
