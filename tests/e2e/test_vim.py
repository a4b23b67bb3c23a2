"""Vim with ALE on what docs/vim.md says: a completion, a word that is being typed, a function.

ALE takes of a completion only its text up to the first parenthesis, puts it in place of the
word before the cursor, and has no inline completion.
"""

import shutil
from pathlib import Path

import pytest

from tests.e2e.room import BOTH_FILLED, TWO_FUNCTIONS, Room
from tests.e2e.terminal import Terminal
from tests.e2e.told import told

HAVE = (
    shutil.which("vim") and shutil.which("tmux") and Path("/usr/share/vim-ale").is_dir()
)

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.skipif(not HAVE, reason="no Vim with ALE, or no tmux"),
]

TABLE = {
    "return ": "first + second",
    "return fir": "st + second",
    "items = [\n    ": "1,\n    2,\n",
    "print(": "total, 1)",
    "\t\t": "return x\n\t\treturn 2\n",
    "\n    ": "total = sum(xs)\n    return total",
}


def vim(room: Room, path: Path) -> Terminal:
    room.use_fake_model(TABLE)
    (room.folder / "home" / ".vimrc").write_text(told("vim.md", "vim"))
    return Terminal(["vim", path.name], room.env, room.project)


def normal(terminal: Terminal) -> None:
    """Escape, and the next key only when it has worked: together they would be one with Alt."""
    if not is_normal(terminal.lines()):
        terminal.press("Escape")
        terminal.wait(is_normal, "normal mode")


def is_normal(lines: list[str]) -> bool:
    return not any("-- " in line for line in lines)


def saved(terminal: Terminal, path: Path) -> bytes:
    normal(terminal)
    terminal.type(":w\n")
    terminal.wait_for("written")
    return path.read_bytes()


def test_a_completion_by_its_key_and_a_function(shared_room: Room) -> None:
    path = shared_room.file("a.py", TWO_FUNCTIONS)
    with vim(shared_room, path) as terminal:
        terminal.wait_for("def add")
        terminal.type("jAreturn ")
        terminal.press("C-x", "C-o")
        terminal.wait_for("    return first + second")
        terminal.keep_shot("vim-completion")
        normal(terminal)
        terminal.type(":5\n:ALECodeAction\n")
        terminal.wait_for("1) dlmd: write the body of all_of")
        terminal.keep_shot("vim-actions")
        terminal.type("1\n")
        terminal.wait_for("return total")
        assert saved(terminal, path) == BOTH_FILLED


def test_behind_a_word_it_comes_by_itself(shared_room: Room) -> None:
    path = shared_room.file("a.py", b"def add(first, second):\n    \n")
    with vim(shared_room, path) as terminal:
        terminal.wait_for("def add")
        terminal.type("jAreturn fir")
        terminal.wait_for("first + second v dlmd")
        terminal.keep_shot("vim-menu")
        terminal.press("C-n", "C-y")
        terminal.wait_for("    return first + second")
        assert saved(terminal, path).endswith(b"\n    return first + second\n")


@pytest.mark.parametrize(
    "content, keys, written",
    [
        (b"print(, 1)\n", "0f,i", b"print(total, 1)\n"),
        # A line at a time, because Vim's menu takes no more.
        (
            b"def f(x):\n\tif x:\n\t\t\n\ny = 1\n",
            "2jA",
            b"def f(x):\n\tif x:\n\t\treturn x\n\ny = 1\n",
        ),
        (
            b"items = [\r\n    \r\n]\r\n",
            "jA",
            b"items = [\r\n    1,\r\n]\r\n",
        ),
    ],
)
def test_nothing_is_said_twice(
    shared_room: Room, content: bytes, keys: str, written: bytes
) -> None:
    path = shared_room.file("a.py", content)
    with vim(shared_room, path) as terminal:
        terminal.wait_for('"a.py"')
        terminal.type(keys)
        terminal.press("C-x", "C-o")
        terminal.wait_for("The only match")
        assert saved(terminal, path).decode() == written.decode()
