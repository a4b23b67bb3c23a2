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


def test_states_are_drawn_while_typing_if_wanted(room: Room) -> None:
    room.use_fake_model(TABLE, delay_ms=150)
    with room.open(room.file("a.py", b""), setup="{ live = true }") as editor:
        editor.type("ireturn ")
        editor.wait(lambda: editor.screen.drawn_in("DlmdMask"), "masked tokens")
        # Tab takes final text only.
        assert editor.lua("return require('dlmd').visible()") is False
        editor.wait_for_ghost("a + b")
        assert editor.screen.drawn_in("DlmdMask") == []


def test_a_newer_keystroke_cancels_the_request_before_it(room: Room) -> None:
    room.use_fake_model(TABLE, delay_ms=100)
    with room.open(room.file("a.py", b"")) as editor:
        editor.lua(
            """_G.sent = {}
            vim.api.nvim_create_autocmd("LspRequest", { callback = function(event)
              local request = event.data.request
              _G.sent[request.type] = (_G.sent[request.type] or 0) + 1
            end })"""
        )
        editor.type("ireturn ")
        editor.wait_lua("return _G.sent.pending == 1")
        editor.type("a")
        editor.wait_for_ghost(" + b")
        assert editor.lua("return _G.sent.cancel") == 1
        editor.assert_quiet()


def test_health_names_the_parts(room: Room) -> None:
    with room.open(room.file("a.py", b"")) as editor:
        editor.command("checkhealth dlmd")
        editor.wait_lua("return vim.fn.search('program ', 'nw') > 0")
        text = "\n".join(editor.lines())
    assert f"program {room.folder}/bin/dlmd" in text
    assert "dlmd 0." in text
    assert "ERROR" not in text and "WARNING" not in text


@pytest.mark.skipif(
    not (EMBEDDED / "model.safetensors").exists(),
    reason="the weights of the embedded model are not in this tree",
)
def test_embedded_model(room: Room) -> None:
    room.use_embedded_model()
    before = b"class Point:\n    def __init__(self, x, y):\n        "
    after = b"\n        self.y = y\n"
    path = room.file("point.py", before + after)
    with room.open(path) as editor:
        editor.type("2jAself.x = ")
        # torch has to load first, which takes a slow machine its time.
        editor.wait(lambda: editor.ghost(), "ghost text of the model", deadline_s=90)
        drawn = "".join(editor.ghost())  # one line, which the screen may wrap
        assert drawn.strip()
        editor.type("<Tab><Esc>")
        editor.assert_quiet()
        editor.command("silent write")
    assert path.read_bytes() == before + b"self.x = " + drawn.encode() + after
