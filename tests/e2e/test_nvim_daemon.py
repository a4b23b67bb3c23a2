"""Neovim and the daemon behind it: started on demand, killed, absent, and the real model."""

import pytest

from tests.e2e.room import REPOSITORY, Room

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

EMBEDDED = REPOSITORY / "daemon" / "dlmd" / "model" / "embedded"
TABLE = {
    "return ": "a + b",
    "return a": " + b",
    "return b": " + a",
    "return z": "ip(a, b)",
    "raise ": "ValueError",
}


def test_daemon_killed_between_two_keystrokes(room: Room) -> None:
    room.use_fake_model(TABLE)
    path = room.file("add.py", b"def add(a, b):\n    \n")
    with room.open(path) as editor:
        editor.type("jAreturn ")
        editor.wait_for_ghost("a + b")
        assert room.started() == 1
        room.kill_daemon()
        editor.type("b")  # not what was suggested, so it has to be asked again
        editor.wait_for_ghost(" + a")
        editor.assert_quiet()
        editor.type("<Tab><Esc>")
        editor.assert_quiet()
        editor.command("silent write")
    assert path.read_bytes() == b"def add(a, b):\n    return b + a\n"
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


LINE = "lua vim.o.statusline = \"%{%v:lua.require'dlmd'.statusline()%}\""


def test_a_daemon_that_hangs_is_never_in_the_way(room: Room) -> None:
    long = "1 + " * 20 + "1"
    room.use_fake_model({**TABLE, "x = ": long}, delay_ms=50)
    with room.open(room.file("a.py", b""), before=LINE) as editor:
        editor.type("ireturn ")
        editor.wait_for_ghost("a + b")
        editor.wait(lambda: "fake" in editor.screen.lines()[-2], "its model")
        before = room.forwards()
        editor.type("<CR>x = ")
        editor.wait_lua(f"return {_forwards(room)} > {before + 2}")
        room.freeze_daemon()  # in the middle of a request
        typed = "a * c" + " + a" * 12
        editor.type(typed)
        assert editor.lines() == ["return ", "x = " + typed]  # at once, all of it
        editor.type("<Esc>oraise ")
        editor.wait(lambda: "hanging" in editor.screen.lines()[-2], "the status")
        editor.keep_shot("hanging")
        assert editor.ghost_marks() == []
        editor.assert_quiet()
        editor.type("<Esc>oreturn b")
        room.thaw_daemon()
        editor.wait(lambda: "fake" in editor.screen.lines()[-2], "it to recover")
        editor.lua("require('dlmd').suggest()")
        editor.wait_for_ghost(" + a")  # and nothing of what was asked before
        editor.assert_quiet()


def _forwards(room: Room) -> str:
    """Lua that reads the counter of the fake model."""
    read = "local file = io.open(...); return file and tonumber(file:read('a')) or 0"
    return f"(function(...) {read} end)({str(room.counter)!r})"


def test_down_it_says_so_in_the_status_and_recovers(room: Room) -> None:
    room.use_fake_model(TABLE)
    with room.open(room.file("a.py", b""), before=LINE) as editor:
        editor.type("ireturn ")
        editor.wait_for_ghost("a + b")
        room.stop_daemon()
        editor.wait(lambda: "stopped" in editor.screen.lines()[-2], "the status")
        editor.type("z")
        editor.wait(lambda: not editor.ghost(), "no ghost text")
        editor.assert_quiet()
        editor.lua("require('dlmd').suggest()")  # by hand, which starts it again
        editor.wait_for_ghost("ip(a, b)")
        editor.wait(lambda: "fake" in editor.screen.lines()[-2], "its model again")
        editor.assert_quiet()
    assert room.started() == 2


def test_a_slow_model_is_let_go_when_nobody_waits(room: Room) -> None:
    room.use_fake_model({"return ": "1 + " * 20 + "1", "y = ": "2"}, delay_ms=100)
    with room.open(room.file("a.py", b"")) as editor:
        editor.type("ireturn ")
        editor.wait_lua(f"return {_forwards(room)} > 2")
        editor.type("<Esc>")
        before = room.forwards()
        editor.type("oy = ")
        editor.wait_for_ghost("2")
        assert room.forwards() < before + 20  # of more than 40 for the first
        editor.assert_quiet()


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


def test_health_is_what_doctor_finds(room: Room) -> None:
    with room.open(room.file("a.py", b"")) as editor:
        editor.command("checkhealth dlmd", deadline_s=90)  # it waits for doctor
        text = "\n".join(editor.lines())
        assert f"program {room.folder}/bin/dlmd" in text
        assert "model: embedded" in text and "daemon: none runs" in text
        assert "ERROR" not in text and "WARNING" not in text
        editor.lua("require('dlmd').setup({ speed = 1, cmd = { 'false', 'lsp' } })")
        editor.command("checkhealth dlmd")
        text = "\n".join(editor.lines())
    assert "setup(): `speed` is no setting" in text
    assert "no key takes a suggestion" in text
    assert "`false doctor --json` failed" in text


REAL_WEIGHTS = pytest.mark.skipif(
    not (EMBEDDED / "model.safetensors").exists(),
    reason="the weights of the embedded model are not in this tree",
)


@REAL_WEIGHTS
def test_embedded_model_writes_a_function(room: Room) -> None:
    room.use_embedded_model()
    source = """\
class Account:
    def __init__(self, owner, balance=0):
        self.owner = owner
        self.balance = balance

    def deposit(self, amount):
        \"\"\"Add an amount to the balance and return the new balance.\"\"\"
        pass
"""
    path = room.file("account.py", source.encode())
    with room.open(path) as editor:
        editor.type("6G")
        editor.command("DlmdComplete")
        drawn = editor.screen.lines
        editor.wait(lambda: "░" in "".join(drawn()), "masked tokens", deadline_s=90)
        whole = len("".join(drawn()).split("░"))
        editor.wait(
            lambda: (
                1 < len("".join(drawn()).split("░")) < whole * 2 // 3
                or "░" not in "".join(drawn())
            ),
            "some of it settled",
        )
        editor.keep_shot("embedded-function")
        editor.wait_lua("return not require('dlmd.run').running()")
        assert editor.ghost_marks() == []
        lines, said = editor.lines(), editor.messages()
        assert lines[:7] == source.splitlines()[:7]
        # A small model may write what cannot stand there; then it is said, and left out.
        assert (lines[7:] != source.splitlines()[7:]) != said.startswith("(dlmd) ")
        assert not editor.call("nvim_get_mode")["blocking"]


@REAL_WEIGHTS
def test_embedded_model(room: Room) -> None:
    room.use_embedded_model()
    before = b"class Point:\n    def __init__(self, x, y):\n        "
    after = b"\n        self.y = y\n"
    path = room.file("point.py", before + after)
    with room.open(path, before=LINE) as editor:
        editor.type("2jAself.x = ")
        # torch has to load first, which takes a slow machine its time.
        ready = lambda: "cpu" in editor.screen.lines()[-2]  # noqa: E731
        editor.wait(ready, "the model's name and device", deadline_s=90)
        editor.lua("require('dlmd').suggest()")  # by hand: however sure it is
        editor.wait(lambda: editor.ghost(), "ghost text of the model", deadline_s=90)
        editor.keep_shot("embedded")
        drawn = "".join(editor.ghost())  # one line, which the screen may wrap
        assert drawn.strip()
        editor.type("<Tab><Esc>")
        editor.assert_quiet()
        editor.command("silent write")
    assert path.read_bytes() == before + b"self.x = " + drawn.encode() + after
