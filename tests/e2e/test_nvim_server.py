"""Neovim and its language server: ended in the middle of a command, given up, told of projects."""

import shlex
import stat

import pytest

from tests.e2e.room import TAB, Room

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

SOURCE = "def mean(values):\n    pass\n"
TABLE = {
    "mean(values):\n    ": "return sum(values) / len(values)",
    "return ": "a + b",
    "price_of(": "'tea')",
}
LINE = "lua vim.o.statusline = \"%{%v:lua.require'dlmd'.statusline()%}\""


def test_ended_in_the_middle_of_a_command(room: Room) -> None:
    room.use_fake_model(TABLE, delay_ms=200)
    with room.open(room.file("mean.py", SOURCE.encode())) as editor:
        editor.command("DlmdComplete")
        editor.wait(lambda: editor.screen.drawn_in("DlmdMask"), "masked tokens")
        editor.lua("vim.lsp.get_clients({ name = 'dlmd' })[1].rpc.terminate()")
        editor.wait(lambda: not editor.screen.drawn_in("DlmdMask"), "a clean screen")
        editor.wait(lambda: "(dlmd)" in editor.screen.lines()[-1], "a sentence")
        assert "the language server ended by signal 15" in editor.messages()
        assert editor.lines() == SOURCE.splitlines()
        assert editor.ghost_marks() == []
        assert not editor.lua("return require('dlmd.run').running()")
        assert not editor.call("nvim_get_mode")["blocking"]
        editor.command("DlmdComplete")  # with a server of its own again
        editor.wait_lua("return vim.fn.search('sum(values)', 'nw') > 0")


def test_given_up_and_tried_again_by_hand(room: Room) -> None:
    room.use_fake_model(TABLE)
    mended, program = room.folder / "mended", room.folder / "bin" / "broken"
    program.write_text(
        f'#!/bin/sh\n[ -e {shlex.quote(str(mended))} ] || exit 3\nexec dlmd "$@"\n'
    )
    program.chmod(stat.S_IRWXU)
    setup = "{ cmd = { 'broken', 'lsp' }, keys = { show = '<C-l>' } }"
    path = room.file("a.py", b"")
    with room.open(path, setup=setup, before=LINE) as editor:
        for letter in "ireturn ":
            editor.type(letter)
            editor.wait_lua("return #vim.lsp.get_clients({ name = 'dlmd' }) == 0")
        editor.wait(lambda: "dlmd failed" in editor.screen.lines()[-2], "the status")
        editor.assert_quiet()
        status = editor.lua("return require('dlmd.status').line()")
        assert "ended with code 3" in status
        assert ":DlmdComplete tries it again" in status
        mended.touch()
        editor.lua("require('dlmd').suggest()")
        editor.wait_for_ghost("a + b")
        editor.wait(lambda: "fake" in editor.screen.lines()[-2], "the model")
        editor.assert_quiet()


def test_every_project_is_the_servers(room: Room) -> None:
    room.use_fake_model(TABLE)
    for name in ("one", "two"):
        (room.project / name / "shop" / "till").mkdir(parents=True)
        (room.project / name / "pyproject.toml").touch()
    room.file("two/prices.py", b"def price_of(name: str) -> int:\n    return 1\n")
    first = room.file("one/a.py", b"")
    second = room.file("two/shop/till/b.py", b"from prices import price_of\n\n")
    with room.open(first) as editor:
        editor.type("ireturn ")
        editor.wait_for_ghost("a + b")
        editor.type("<Esc>")
        editor.command("silent write")
        editor.lua("vim.cmd.edit(...)", str(second))
        editor.type("Goprint(price_of(")
        editor.wait_for_ghost("'tea')")
        editor.type("<Esc>")
        assert editor.lua("return #vim.lsp.get_clients()") == 1
        editor.command("DlmdSent")
        editor.wait(
            lambda: (
                "def price_of(name: str) -> int" in "\n".join(editor.screen.lines())
            ),
            "what was sent of the second project",
        )


def test_a_buffer_that_goes_takes_its_command_along(room: Room) -> None:
    room.use_fake_model(TABLE, delay_ms=200)
    with room.open(room.file("mean.py", SOURCE.encode())) as editor:
        editor.command("DlmdComplete")
        editor.wait(lambda: editor.screen.drawn_in("DlmdMask"), "masked tokens")
        editor.command("bwipeout")
        assert not editor.lua("return require('dlmd.run').running()")
        editor.command("DlmdStop")
        assert editor.messages() == "(dlmd) no command is running"


def test_a_key_that_somebody_else_maps_stays_theirs(room: Room) -> None:
    with room.open(room.file("a.txt", b"")) as editor:
        assert editor.lua("return require('dlmd.keys').taken()") == []
        editor.command("inoremap <Tab> theirs")
        editor.lua(f"require('dlmd').setup({TAB})")
        editor.type("i<Tab><Esc>")
        assert editor.lines() == ["theirs"]
        editor.lua("require('dlmd').setup({})")
        editor.type("cc<Tab><Esc>")
        assert editor.lines() == ["theirs"]
        editor.lua(f"require('dlmd').setup({TAB})")
        editor.command("inoremap <Tab> newer")
        editor.lua("require('dlmd').setup({})")
        editor.type("cc<Tab><Esc>")
        assert editor.lines() == ["newer"]
        editor.lua(f"require('dlmd').setup({TAB})")
        editor.command("inoremap <Tab> newest")
        editor.command("checkhealth dlmd", deadline_s=90)
        warned = "`<Tab>`, your key for `accept`, was mapped again after setup()"
        assert warned in "\n".join(editor.lines())
