"""Parts of a suggestion, other candidates, typing along, and files of every kind."""

import pytest

from tests.e2e.room import Room

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

KEYS = """{ keys = {
  accept = "<Tab>", accept_word = "<M-w>", accept_line = "<M-l>",
  accept_confident = "<M-s>", next = "<M-]>", previous = "<M-[>",
  show = "<M-Bslash>", dismiss = "<C-]>",
} }"""
TABLE = {
    "return ": "first + second",
    "return first": " + second",
    "return first +": " second",
    "return first ": "+ second",
    "print(": "'sum'",
    "items = [\n    ": "1,\n    2,\n    3,\n",
    "\tif x:\n\t\t": "return x\n\t\treturn 2\n",
    "wert = '😀' + ": "'ü' + größe",
}


@pytest.fixture
def editor_room(shared_room: Room) -> Room:
    shared_room.use_fake_model(TABLE)
    return shared_room


def test_word_by_word_each_an_undo_step(editor_room: Room) -> None:
    with editor_room.open(editor_room.file("a.py", b""), setup=KEYS) as editor:
        editor.type("ireturn ")
        editor.wait_for_ghost("first + second")
        editor.type("<M-w>")
        editor.wait_for_ghost(" + second")
        assert editor.lines() == ["return first"]
        editor.type("<M-w>")
        editor.wait(lambda: editor.ghost() == [" second"], "what is left")
        editor.type("<Tab><Esc>")
        assert editor.lines() == ["return first + second"]
        editor.assert_quiet()
        for left in ("return first +", "return first", "return "):
            editor.type("u")
            assert editor.lines() == [left]


def test_line_by_line(editor_room: Room) -> None:
    path = editor_room.file("a.py", b"items = [\n    \n]\n")
    with editor_room.open(path, setup=KEYS) as editor:
        editor.type("jA<M-Bslash>")
        editor.wait_for_ghost("1,", "    2,", "    3,")
        editor.keep_shot("several-lines")
        editor.type("<M-l>")
        editor.wait(lambda: editor.ghost() == ["    2,", "    3,"], "two lines left")
        assert editor.lines() == ["items = [", "    1,", "]"]
        editor.type("<M-l>")
        editor.wait(lambda: editor.ghost() == ["    3,"], "one line left")
        editor.type("<Tab><Esc>")
        assert editor.lines() == ["items = [", "    1,", "    2,", "    3,", "]"]
        editor.assert_quiet()


def test_the_part_that_the_model_is_sure_of(editor_room: Room) -> None:
    with editor_room.open(editor_room.file("a.py", b""), setup=KEYS) as editor:
        editor.type("ireturn ")
        editor.wait_for_ghost("first + second")
        sure = editor.lua(
            "return require('dlmd').actions.accept_confident.ready() "
            "and require('dlmd.suggest').length('confident')"
        )
        assert sure
        editor.type("<M-s>")
        taken = "first + second"[:sure]
        assert editor.lines() == ["return " + taken]
        editor.type("<Esc>u")
        assert editor.lines() == ["return "]


def test_typing_along_keeps_what_is_left(editor_room: Room) -> None:
    with editor_room.open(editor_room.file("a.py", b""), setup=KEYS) as editor:
        editor.type("ireturn ")
        editor.wait_for_ghost("first + second")
        editor.lua(
            """_G.cleared = 0
            local ghost = require("dlmd.suggest")
            local dismiss = ghost.dismiss
            ghost.dismiss = function(...) _G.cleared = _G.cleared + 1; dismiss(...) end"""
        )
        for typed in "first ":
            editor.type(typed)
        editor.wait_for_ghost("+ second")
        assert editor.lua("return _G.cleared") == 0
        editor.type("x")
        editor.wait(lambda: editor.ghost() != ["+ second"], "other text to win")
        editor.type("<Esc>")
        assert editor.lines() == ["return first x"]


def test_other_candidates(editor_room: Room) -> None:
    with editor_room.open(editor_room.file("a.py", b""), setup=KEYS) as editor:
        items = [{"insertText": text} for text in ("one", "two", "three")]
        editor.lua(
            """local items, client = ..., require("dlmd.client")
            local request = client.request
            client.request = function(buffer, method, params, handler)
              if method == "textDocument/inlineCompletion" then
                return vim.schedule(function() handler(nil, { items = items }) end)
              end
              return request(buffer, method, params, handler)
            end""",
            items,
        )
        editor.type("ix = ")
        editor.wait_for_ghost("one")
        editor.type("<M-]>")
        editor.wait_for_ghost("two")
        editor.type("<M-]><M-]>")
        editor.wait_for_ghost("one")
        editor.type("<M-[>")
        editor.wait_for_ghost("three")
        assert "3/3" in "".join(editor.screen.drawn_in("DlmdNote"))
        editor.type("<Tab><Esc>")
        assert editor.lines() == ["x = three"]


def test_a_hole_in_the_middle_of_a_line(editor_room: Room) -> None:
    path = editor_room.file("a.py", b"print(, total)\n")
    with editor_room.open(path, setup=KEYS) as editor:
        editor.type("0f,i<M-Bslash>")
        editor.wait_for_ghost("'sum'")
        assert editor.screen.lines()[0] == "print('sum', total)"
        editor.keep_shot("mid-line")
        editor.type("<Tab><Esc>")
        assert editor.lines() == ["print('sum', total)"]
        editor.type("u")
        assert editor.lines() == ["print(, total)"]


def test_tabs_stay_tabs(editor_room: Room) -> None:
    path = editor_room.file("a.py", b"def f(x):\n\tif x:\n\t\t\n")
    with editor_room.open(path, setup=KEYS) as editor:
        editor.command("setlocal noexpandtab tabstop=4 nolist")
        editor.type("2jA<M-Bslash>")
        editor.wait(lambda: editor.ghost()[:1] == ["return x"], "ghost text")
        assert "        return 2" in editor.screen.lines()
        editor.type("<Tab><Esc>")
        editor.command("silent write")
    assert path.read_bytes() == b"def f(x):\n\tif x:\n\t\treturn x\n\t\treturn 2\n"


def test_wide_characters_before_the_cursor(editor_room: Room) -> None:
    with editor_room.open(editor_room.file("a.py", b""), setup=KEYS) as editor:
        editor.type("iwert = '😀' + ")
        editor.wait_for_ghost("'ü' + größe")
        editor.type("<M-w>")
        editor.wait(lambda: editor.ghost() == ["ü' + größe"], "what is left")
        editor.type("<M-w>")
        editor.wait(lambda: editor.ghost() == ["' + größe"], "what is left")
        editor.type("<Tab><Esc>")
        assert editor.lines() == ["wert = '😀' + 'ü' + größe"]


def test_ten_thousand_lines(editor_room: Room) -> None:
    body = "".join(f"def f{n}(x):\n    return x + {n}\n\n\n" for n in range(2500))
    path = editor_room.file("long.py", (body + "def last(first, second):\n").encode())
    with editor_room.open(path, setup=KEYS) as editor:
        assert len(editor.lines()) == 10001
        editor.type("Goreturn ")
        editor.wait_for_ghost("first + second")
        editor.type("<Tab><Esc>")
        assert editor.lines()[-1].endswith("return first + second")
        editor.type("5000Goreturn ")
        editor.wait_for_ghost("first + second")
        editor.assert_quiet()


def test_a_subtle_suggestion_waits_for_its_key(editor_room: Room) -> None:
    setup = KEYS[:-1] + ', trigger = "subtle" }'
    with editor_room.open(editor_room.file("a.py", b""), setup=setup) as editor:
        editor.lua(
            """require("dlmd.client").listen("dlmd/waiting", function() _G.waits = true end)"""
        )
        editor.type("ireturn ")
        editor.wait_lua("return _G.waits")
        assert editor.ghost() == []
        editor.type("<M-Bslash>")
        editor.wait_for_ghost("first + second")
        editor.type("<C-]>")
        editor.wait(lambda: not editor.ghost(), "ghost text to go")
        editor.assert_quiet()


def test_an_expression_mapping_falls_through(editor_room: Room) -> None:
    with editor_room.open(editor_room.file("a.py", b""), setup="{}") as editor:
        editor.lua(
            """vim.keymap.set("i", "<C-l>", function()
              return require("dlmd").expr("accept_word", "(none)")
            end, { expr = true, remap = true })"""
        )
        editor.type("i<C-l> return ")
        editor.wait_for_ghost("first + second")
        editor.type("<C-l><Tab><Esc>")
        assert editor.lines()[0].startswith("(none) return first ")
        # Nothing unasked: what Tab is mapped to, if at all, is Neovim's own.
        mapped = editor.lua(
            "return vim.fn.maparg('<Tab>', 'i', false, true).desc or ''"
        )
        assert "dlmd" not in mapped


def test_plugins_with_a_menu_of_their_own_have_the_keys(editor_room: Room) -> None:
    with editor_room.open(editor_room.file("a.py", b""), setup=KEYS) as editor:
        editor.lua(
            """package.loaded["blink.cmp"] = { is_visible = function() return _G.menu end }"""
        )
        editor.type("ireturn ")
        editor.wait_for_ghost("first + second")
        editor.lua(
            """_G.menu = true
            vim.api.nvim_exec_autocmds("User", { pattern = "BlinkCmpMenuOpen" })"""
        )
        editor.wait(lambda: not editor.ghost(), "ghost text to go")
        editor.lua(
            """_G.menu = false
            vim.api.nvim_exec_autocmds("User", { pattern = "BlinkCmpMenuClose" })"""
        )
        editor.wait_for_ghost("first + second")
