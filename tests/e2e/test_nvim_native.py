"""Neovim's own inline completion (0.12), with what the plugin adds to it."""

import os
import subprocess

import pytest

from tests.e2e.editor import Editor
from tests.e2e.room import Room


def has_its_own() -> bool:
    ask = [os.environ.get("NVIM", "nvim"), "--clean", "--headless"]
    ask += ["+lua io.stdout:write(tostring(vim.lsp.inline_completion ~= nil))", "+q"]
    ran = subprocess.run(ask, capture_output=True, text=True, timeout=30, check=False)
    return ran.stdout == "true"


pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.skipif(not has_its_own(), reason="this Neovim has none"),
]
TABLE = {"return ": "first + second", "return first": " + second"}
KEYS = "keys = { accept = '<Tab>', accept_word = '<M-w>' }"


@pytest.fixture
def editor_room(shared_room: Room) -> Room:
    shared_room.use_fake_model(TABLE)
    return shared_room


def own(editor: Editor) -> list[str]:
    return editor.screen.drawn_in("ComplHint")


def test_it_draws_and_the_keys_work(editor_room: Room) -> None:
    setup = f"{{ native = true, {KEYS} }}"
    with editor_room.open(editor_room.file("a.py", b""), setup=setup) as editor:
        editor.type("i<Tab>")
        assert editor.lines() == ["    "]
        editor.type("<BS>return ")
        editor.wait(lambda: own(editor) == ["first + second"], "Neovim's ghost text")
        assert editor.ghost() == []
        editor.type("<M-w>")
        editor.wait_lua("return vim.api.nvim_get_current_line() == 'return first'")
        editor.wait(lambda: own(editor) == [" + second"], "what is left")
        editor.type("<Tab>")
        editor.wait_lua(
            "return vim.api.nvim_get_current_line() == 'return first + second'"
        )
        editor.type("<Esc>u")
        assert editor.lines() == ["return first"]
        editor.type("u")
        assert editor.lines() == ["return "]


def test_where_it_is_enabled_the_plugin_draws_nothing(editor_room: Room) -> None:
    path = editor_room.file("a.py", b"file = field = 1\n")
    before = "lua vim.lsp.inline_completion.enable()"
    with editor_room.open(path, setup=f"{{ {KEYS} }}", before=before) as editor:
        editor.type("oreturn ")
        editor.wait(lambda: own(editor) == ["first + second"], "Neovim's ghost text")
        assert editor.ghost_marks() == []
        editor.type("fi<C-n>")
        editor.wait(lambda: own(editor) == [], "ghost text to go")


def test_it_can_be_kept_out(editor_room: Room) -> None:
    path = editor_room.file("a.py", b"")
    before = "lua vim.lsp.inline_completion.enable()"
    setup = f"{{ native = false, {KEYS} }}"
    with editor_room.open(path, setup=setup, before=before) as editor:
        editor.type("ireturn ")
        editor.wait_for_ghost("first + second")
        assert own(editor) == []
