"""Neovim while typing: ghost text is drawn, taken, hidden, and never in the way."""

import pytest

from tests.e2e.room import Room

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

TABLE = {
    "return ": "a + b",
    "größe, größer = ": "'ü', '😀'",
    "😀 = ": "1",
    "items = [\n    ": "1,\n    2,\n",
    "items = [\r\n    ": "1,\r\n    2,\r\n",
    "\t": "x\t= 1",
}


@pytest.fixture
def editor_room(shared_room: Room) -> Room:
    shared_room.use_fake_model(TABLE)
    return shared_room


def test_type_see_take_save(editor_room: Room) -> None:
    path = editor_room.file("sum.py", b"def add(a, b):\n    \n\n\nprint(add(1, 2))\n")
    with editor_room.open(path) as editor:
        editor.type("jA")
        editor.type("return ")
        editor.wait_for_ghost("a + b")
        assert editor.screen.lines()[1] == "    return a + b"
        assert editor.lines()[1] == "    return "  # drawn, not there
        editor.type("<Tab>")
        editor.wait(lambda: not editor.ghost(), "ghost text to go")
        assert editor.lines()[1] == "    return a + b"
        editor.type("<Esc>")
        editor.assert_quiet()
        editor.command("silent write")
    assert path.read_bytes() == (
        b"def add(a, b):\n    return a + b\n\n\nprint(add(1, 2))\n"
    )


def test_taking_is_one_step_of_undo(editor_room: Room) -> None:
    with editor_room.open(editor_room.file("a.py", b"")) as editor:
        editor.type("ireturn ")
        editor.wait_for_ghost("a + b")
        editor.type("<Tab>")
        editor.type(" + c<Esc>")
        assert editor.lines() == ["return a + b + c"]
        editor.type("u")
        assert editor.lines() == ["return a + b"]
        editor.type("u")
        assert editor.lines() == ["return "]
        editor.type("<C-r>")
        assert editor.lines() == ["return a + b"]


def test_the_server_hears_of_what_was_taken(editor_room: Room) -> None:
    with editor_room.open(editor_room.file("a.py", b"")) as editor:
        editor.lua(
            """_G.sent = {}
            vim.api.nvim_create_autocmd("LspRequest", { callback = function(event)
              local request = event.data.request
              if request.type == "complete" then table.insert(_G.sent, request.method) end
            end })"""
        )
        editor.type("ireturn ")
        editor.wait_for_ghost("a + b")
        editor.type("<Tab>")
        editor.wait_lua("return vim.list_contains(_G.sent, 'workspace/executeCommand')")
        editor.assert_quiet()


@pytest.mark.parametrize(
    "mapping, typed",
    [
        ("", ["\tx"]),
        ("inoremap <Tab> <C-v>u2192", ["→x"]),
        ("inoremap <expr> <Tab> 'mine'", ["minex"]),
        ("imap <Tab> (again)", ["(again)x"]),
        ("lua vim.keymap.set('i', '<Tab>', function() vim.g.pressed = 1 end)", ["x"]),
    ],
)
def test_tab_does_what_it_did_before_when_there_is_nothing(
    room: Room, mapping: str, typed: list[str]
) -> None:
    with room.open(room.file("a.txt", b""), before=mapping) as editor:
        editor.type("i<Tab>x")
        assert editor.lines() == typed
        pressed = editor.lua("return vim.g.pressed")
        assert pressed == (1 if "pressed" in mapping else None)


def test_tab_can_be_left_alone(editor_room: Room) -> None:
    path = editor_room.file("a.py", b"")
    with editor_room.open(path, setup="{ keys = { accept = false } }") as editor:
        editor.type("ireturn ")
        editor.wait_for_ghost("a + b")
        editor.type("<Tab>")
        assert editor.lines() == ["return  "]  # 'expandtab', to column 8


@pytest.mark.parametrize("keys", ["<Left>", "<Up>", "<Home>", "<Esc>", "<C-c>", "x"])
def test_gone_with_the_cursor_or_the_mode(editor_room: Room, keys: str) -> None:
    with editor_room.open(editor_room.file("a.py", b"import os\n")) as editor:
        editor.type("oreturn ")
        editor.wait_for_ghost("a + b")
        editor.type(keys)
        editor.wait(lambda: not editor.ghost(), "ghost text to go")
        assert editor.ghost_marks() == []
        assert editor.lines()[1].startswith("return ")
        editor.assert_quiet()


def test_gone_while_the_completion_menu_is_open(editor_room: Room) -> None:
    with editor_room.open(editor_room.file("a.py", b"apple = apply = 1\n")) as editor:
        editor.type("oreturn ")
        editor.wait_for_ghost("a + b")
        editor.type("ap<C-n>")
        editor.wait(lambda: not editor.ghost(), "ghost text to go")
        assert editor.call("nvim_call_function", "pumvisible", []) == 1
        assert editor.ghost_marks() == []


def test_several_lines_on_request(editor_room: Room) -> None:
    path = editor_room.file("a.py", b"items = [\n    \n]\n")
    with editor_room.open(
        path, setup="{ trigger = 'manual', keys = { accept = '<Tab>' } }"
    ) as editor:
        editor.type("jA")
        editor.lua("require('dlmd').suggest()")
        editor.wait(lambda: editor.ghost()[:2] == ["1,", "    2,"], "two lines")
        editor.type("<Tab><Esc>")
        assert editor.lines()[:3] == ["items = [", "    1,", "    2,"]
        editor.type("u")
        assert editor.lines() == ["items = [", "    ", "]"]


def test_crlf_file_keeps_its_line_ends(editor_room: Room) -> None:
    path = editor_room.file("dos.py", b"items = [\r\n    \r\n]\r\n")
    with editor_room.open(path) as editor:
        assert editor.lua("return vim.bo.fileformat") == "dos"
        editor.type("jA")
        editor.lua("require('dlmd').suggest()")
        editor.wait(lambda: editor.ghost()[:2] == ["1,", "    2,"], "two lines")
        editor.type("<Tab><Esc>")
        editor.command("silent write")
    saved = path.read_bytes()
    assert saved.startswith(b"items = [\r\n    1,\r\n    2,\r\n")
    assert saved.count(b"\n") == saved.count(b"\r\n")


def test_characters_of_every_width_before_the_cursor(editor_room: Room) -> None:
    path = editor_room.file("wide.py", "# 😀é\n".encode())
    with editor_room.open(path) as editor:
        editor.type("ogröße, größer = ")
        editor.wait_for_ghost("'ü', '😀'")
        editor.type("<Tab><CR>")
        editor.type("x['😀'] = '😀 = ")
        editor.wait_for_ghost("1")
        editor.type("<Tab>'<Esc>")
        editor.command("silent write")
    assert path.read_text("utf-8") == (
        "# 😀é\ngröße, größer = 'ü', '😀'\nx['😀'] = '😀 = 1'\n"
    )


def test_a_wrong_setting_is_named_and_costs_only_itself(room: Room) -> None:
    wrong = "{ trigger = 'fast', speed = 1, keys = { accept = '<Tab>', next = 1 } }"
    with room.open(room.file("a.txt", b""), setup=wrong) as editor:
        editor.wait(lambda: "(dlmd)" in "".join(editor.screen.lines()), "a sentence")
        assert not editor.call("nvim_get_mode")["blocking"]  # no "Press ENTER"
        said = editor.lua("return require('dlmd').complaints")
        assert said[:2] == [
            "`speed` is no setting; there are cmd, filetypes, heat, keys, live, native, "
            "server, start_daemon, trigger",
            '`trigger` should be one of "automatic", "manual", "subtle", not "fast"',
        ]
        assert said[2:] == [
            '`keys.next` should be a key such as "<Tab>", or false, not 1'
        ]
        config = editor.lua("return require('dlmd').config")
        assert config["trigger"] == "automatic"
        assert config["keys"] == {"accept": "<Tab>"}
        for wrong in ("7", "{ 'python' }", "{ keys = 1 }", "{ server = { mode = 1 } }"):
            editor.lua(f"require('dlmd').setup({wrong})")
            assert editor.lua("return #require('dlmd').complaints") == 1


def test_a_missing_program_is_said_once(room: Room) -> None:
    path = room.file("a.py", b"")
    with room.open(path, setup="{ cmd = { 'dlmd-is-not-here', 'lsp' } }") as editor:
        editor.type("ireturn <Esc>")
        editor.type("areturn <Esc>")
        assert editor.messages() == (
            "(dlmd) no program `dlmd-is-not-here` on PATH; in a clone of dlmd type: pipx install ."
        )
