"""Neovim and the daemon behind it: started on demand, killed, absent, and the real model."""

import pytest

from tests.e2e.room import REPOSITORY, Room

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

EMBEDDED = REPOSITORY / "daemon" / "dlmd" / "model" / "embedded"
TABLE = {"return ": "a + b", "return a": " + b", "raise ": "ValueError"}


def test_daemon_killed_between_two_keystrokes(room: Room) -> None:
    room.use_fake_model(TABLE)
    path = room.file("add.py", b"def add(a, b):\n    \n")
    with room.open(path) as editor:
        editor.type("jAreturn ")
        editor.wait_for_ghost("a + b")
        assert room.started() == 1
        room.kill_daemon()
        editor.type("a")
        editor.wait_for_ghost(" + b")
        editor.assert_quiet()
        editor.type("<Tab><Esc>")
        editor.assert_quiet()
        editor.command("silent write")
    assert path.read_bytes() == b"def add(a, b):\n    return a + b\n"
    assert room.started() == 2


def test_no_daemon_and_none_may_be_started(room: Room) -> None:
    path = room.file("a.py", b"")
    with room.open(path, setup="{ start_daemon = false }") as editor:
        editor.type("ireturn ")
        editor.wait_lua("return require('dlmd.client').report().daemon ~= nil")
        editor.type("<Tab><Esc>")
        editor.assert_quiet()
        assert editor.ghost() == []
        editor.command("DlmdStatus")
        assert "daemon stopped" in editor.messages()
    assert room.started() == 0


def test_language_server_killed_between_two_keystrokes(room: Room) -> None:
    room.use_fake_model(TABLE)
    with room.open(room.file("a.py", b"")) as editor:
        editor.type("ireturn ")
        editor.wait_for_ghost("a + b")
        editor.lua("vim.lsp.get_clients({ name = 'dlmd' })[1].rpc.terminate()")
        editor.wait_lua("return #vim.lsp.get_clients({ name = 'dlmd' }) == 0")
        editor.type("a")
        editor.wait_for_ghost(" + b")
        editor.assert_quiet()
    assert room.started() == 1


@pytest.mark.skipif(
    not (EMBEDDED / "model.safetensors").exists(),
    reason="the weights of the embedded model are not in this tree",
)
def test_embedded_model(room: Room) -> None:
    room.use_embedded_model()
    before = b"def add(a, b):\n    "
    path = room.file("add.py", before + b"\n\n\nprint(add(1, 2))\n")
    with room.open(path) as editor:
        editor.type("jAreturn ")
        editor.wait(lambda: editor.ghost(), "ghost text of the embedded model")
        (drawn,) = editor.ghost()
        assert drawn.strip()
        editor.type("<Tab><Esc>")
        editor.assert_quiet()
        editor.command("silent write")
    expected = before + b"return " + drawn.encode() + b"\n\n\nprint(add(1, 2))\n"
    assert path.read_bytes() == expected
