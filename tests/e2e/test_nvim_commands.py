"""What a person asks for by name: drawn while it denoises, then one step of undo.

A function's body, several holes at once, a selection, a repair; stopped and kept, ended,
once more at another length; and why there is nothing, and what was sent.
"""

import pytest

from tests.e2e.room import Room

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

SOURCE = '''\
def mean(values):
    """Arithmetic mean."""
    pass


print(mean([1, 2]))
'''
BODY = "total = sum(values)\n    return total / len(values)"
FILLED = SOURCE.replace("pass", BODY)
TABLE = {'mean."""\n    ': BODY, 'mean."""\r\n    ': BODY.replace("\n", "\r\n")}


def test_body_is_drawn_then_written_in_one_undo_step(room: Room) -> None:
    room.use_fake_model(TABLE, delay_ms=30)
    path = room.file("mean.py", SOURCE.encode())
    with room.open(path) as editor:
        editor.command("DlmdComplete")
        editor.wait(lambda: editor.screen.drawn_in("DlmdMask"), "masked tokens")
        assert set("".join(editor.screen.drawn_in("DlmdMask"))) == {"░"}
        assert editor.lines() == SOURCE.splitlines()  # drawn, not there
        editor.wait_lua("return vim.fn.search('total / len', 'nw') > 0")
        assert editor.lines() == FILLED.splitlines()
        assert editor.ghost_marks() == []
        editor.assert_quiet()
        editor.command("silent write")
        editor.command("silent undo")
        assert editor.lines() == SOURCE.splitlines()
    assert path.read_text() == FILLED


def test_crlf(room: Room) -> None:
    room.use_fake_model(TABLE)
    path = room.file("mean.py", SOURCE.replace("\n", "\r\n").encode())
    with room.open(path) as editor:
        editor.command("DlmdComplete")
        editor.wait_lua("return vim.fn.search('total / len', 'nw') > 0")
        editor.command("silent write")
    assert path.read_bytes() == FILLED.replace("\n", "\r\n").encode()


def test_cancelled(room: Room) -> None:
    room.use_fake_model(TABLE, delay_ms=200)
    with room.open(room.file("mean.py", SOURCE.encode())) as editor:
        editor.command("DlmdComplete")
        editor.wait(lambda: editor.screen.drawn_in("DlmdMask"), "masked tokens")
        editor.command("DlmdCancel")
        assert editor.ghost_marks() == []
        editor.wait(lambda: not editor.screen.drawn_in("DlmdMask"), "a clean screen")
        editor.assert_quiet()
        assert editor.lines() == SOURCE.splitlines()


def test_text_typed_meanwhile_wins(room: Room) -> None:
    room.use_fake_model(TABLE, delay_ms=100)
    with room.open(room.file("mean.py", SOURCE.encode())) as editor:
        editor.command("DlmdComplete")
        editor.wait(lambda: editor.screen.drawn_in("DlmdMask"), "masked tokens")
        editor.type("ccdef average(values):<Esc>")
        editor.wait(lambda: not editor.screen.drawn_in("DlmdMask"), "a clean screen")
        editor.wait_lua("return not require('dlmd.run').running()")
        expected = SOURCE.replace("def mean", "def average").splitlines()
        assert editor.lines() == expected


def test_outside_a_function_it_says_so(room: Room) -> None:
    room.use_fake_model(TABLE)
    with room.open(room.file("a.py", b"x = 1\n")) as editor:
        editor.command("DlmdComplete")
        editor.wait(lambda: "(dlmd)" in "".join(editor.screen.lines()), "a sentence")
        assert not editor.call("nvim_get_mode")["blocking"]  # no "Press ENTER"
        assert editor.messages().startswith("(dlmd) there is no Python function")
        assert editor.screen.lines()[-1].endswith(":DlmdStatus")  # cut, and whole there
        status = editor.lua("return require('dlmd.status').line()")
        assert "put the cursor into one" in status
        assert editor.ghost_marks() == []
        assert editor.lines() == ["x = 1"]


def test_in_a_buffer_without_a_file_it_says_so(room: Room) -> None:
    with room.open(room.file("a.txt", b"")) as editor:
        editor.command("enew")
        editor.command("DlmdComplete")
        assert "not a file" in editor.messages()


def test_settled_masked_and_newest_are_told_apart(room: Room) -> None:
    room.use_fake_model(TABLE, delay_ms=120)
    with room.open(room.file("mean.py", SOURCE.encode())) as editor:
        screen = editor.screen
        editor.command("DlmdComplete")
        editor.wait(
            lambda: (
                screen.drawn_in("DlmdMask")
                and screen.drawn_in("DlmdFresh")
                and screen.drawn_in("DlmdSettled")
            ),
            "masked, settled and newest",
        )
        editor.keep_shot("denoising")
        assert "pass" not in "".join(screen.lines())  # covered by what is to come
        assert "print(mean([1, 2]))" in screen.lines()
        editor.command("DlmdHeat")
        editor.wait(
            lambda: any(screen.drawn_in(f"DlmdHeat{n}") for n in range(1, 6)),
            "the heat map",
        )
        assert not screen.drawn_in("DlmdFresh")
        editor.keep_shot("heat-map")
        editor.wait_lua("return vim.fn.search('total / len', 'nw') > 0")
        assert editor.lines() == FILLED.splitlines()


def test_several_holes_at_once_in_one_undo_step(room: Room) -> None:
    source = "def area(w, h):\n    side = ...\n    return ...\n"
    room.use_fake_model({"side = ": "max(w, h)", "return ": "w * h"}, delay_ms=100)
    with room.open(room.file("area.py", source.encode())) as editor:
        editor.command("DlmdFill")
        editor.wait(lambda: len(editor.screen.drawn_in("DlmdMask")) == 2, "two holes")
        editor.keep_shot("several-holes")
        editor.wait_lua("return vim.fn.search('max', 'nw') > 0")
        filled = source.replace("side = ...", "side = max(w, h)")
        assert editor.lines() == filled.replace("...", "w * h").splitlines()
        editor.assert_quiet()
        editor.command("silent undo")
        assert editor.lines() == source.splitlines()


def test_a_selection_is_written_anew(room: Room) -> None:
    room.use_fake_model({"return ": "sum(values)"}, delay_ms=50)
    source = "def total(values):\n    return addition(values)\n"
    with room.open(room.file("total.py", source.encode())) as editor:
        editor.lua('vim.keymap.set("x", "gr", "<Cmd>DlmdRewrite<CR>")')
        editor.type("jwwv$hgr")
        editor.wait_lua("return vim.fn.search('sum', 'nw') > 0")
        assert editor.lines() == ["def total(values):", "    return sum(values)"]
        assert editor.call("nvim_get_mode")["mode"] == "n"
        editor.assert_quiet()
        editor.type("u")
        assert editor.lines() == source.splitlines()


def test_stopped_early_it_keeps_what_has_settled(room: Room) -> None:
    # The fake model is surest of the first of these, so that settles first and can be kept.
    words = ["xi", "zeta", "tau", "gamma", "upsilon", "omega"]
    room.use_fake_model({'mean."""\n    ': "\n    ".join(words)}, delay_ms=250)
    setup = "{ keys = { stop = '<CR>', cancel = '<C-x>' } }"
    with room.open(room.file("mean.py", SOURCE.encode()), setup=setup) as editor:
        editor.command("DlmdComplete")
        editor.wait(
            lambda: "    xi" in "\n".join(editor.screen.lines()), "a word that settled"
        )
        editor.type("<CR>")
        editor.wait_lua("return not require('dlmd.run').running()")
        assert editor.ghost_marks() == []
        kept = [word for word in words if word in "\n".join(editor.lines())]
        assert 0 < len(kept) < len(words)
        assert editor.lines()[:2] == SOURCE.splitlines()[:2]
        editor.assert_quiet()
        editor.command("silent undo")
        assert editor.lines() == SOURCE.splitlines()


def test_cancelling_reaches_the_device(room: Room) -> None:
    long = "\n    ".join(f"v{n} = {n}" for n in range(60))
    room.use_fake_model({**TABLE, 'mean."""\n    ': long, "x = ": "1"}, delay_ms=30)
    with room.open(room.file("mean.py", SOURCE.encode())) as editor:
        editor.command("DlmdComplete")
        editor.wait(lambda: editor.screen.drawn_in("DlmdFresh"), "a state")
        editor.command("DlmdCancel")
        # What comes next has the device only when that is free.
        editor.type("Gox = ")
        editor.wait_for_ghost("1")
        assert room.forwards() < 120  # of more than 240 for the whole
        editor.assert_quiet()


def test_once_more_at_another_length(room: Room) -> None:
    room.use_fake_model(TABLE, delay_ms=20)
    with room.open(room.file("mean.py", SOURCE.encode())) as editor:
        editor.command("DlmdComplete")
        editor.wait_lua("return vim.fn.search('total / len', 'nw') > 0")
        editor.wait_lua("return not require('dlmd.run').running()")
        editor.command("DlmdLonger")
        editor.wait_lua("return require('dlmd.run').running()")
        editor.wait_lua("return not require('dlmd.run').running()")
        assert editor.ghost_marks() == []
        assert not editor.call("nvim_get_mode")["blocking"]
        assert editor.lines()[:2] == SOURCE.splitlines()[:2]


def test_why_there_is_nothing_and_what_was_sent(room: Room) -> None:
    room.use_fake_model({"return ": "a + b"})
    with room.open(room.file("a.py", b"def add(a, b):\n    \n")) as editor:
        editor.type("jAreturn ")
        editor.wait_for_ghost("a + b")
        editor.type("<Esc>")
        editor.command("DlmdWhy")
        editor.wait(lambda: "(dlmd)" in editor.screen.lines()[-1], "a sentence")
        assert not editor.call("nvim_get_mode")["blocking"]
        editor.command("DlmdSent")
        editor.wait_lua("return vim.fn.bufname():match('^dlmd://sent') ~= nil")
        assert "def add(a, b):" in "\n".join(editor.lines())
        editor.keep_shot("what-was-sent")
        editor.type("q")
        editor.wait_lua("return #vim.api.nvim_list_wins() == 1")


def test_words_near_a_diagnostic_are_mended(room: Room) -> None:
    room.use_fake_model({}, delay_ms=5)
    source = "def total(values):\n    return sun(values)\n"
    with room.open(room.file("total.py", source.encode())) as editor:
        editor.lua(
            """vim.diagnostic.set(vim.api.nvim_create_namespace("a linter"), 0, {
              { lnum = 1, col = 11, end_lnum = 1, end_col = 14, message = "sun?" },
            })"""
        )
        editor.type("j")
        editor.command("DlmdRepair")
        editor.wait_lua("return not require('dlmd.run').running()")
        assert editor.lines()[0] == "def total(values):"
        assert editor.ghost_marks() == []
        assert not editor.call("nvim_get_mode")["blocking"]


SPLIT = '''\
def split_bill(total, people, tip=0.1):
    """Share of each person, tip included, rounded up to a cent."""
    pass


print(split_bill(54.30, 3))
'''
SHARE = """\
if people < 1:
        raise ValueError("nobody pays")
    whole = total * (1 + tip)
    return math.ceil(100 * whole / people) / 100"""
OWN_LOOK = """lua for _, name in ipairs({ "Ghost", "Mask", "Note", "Settled", "Fresh", "Rest" }) \
do vim.cmd.highlight("clear Dlmd" .. name) end vim.o.laststatus = 0"""


def test_in_the_colours_that_it_has_by_itself(room: Room) -> None:
    room.use_fake_model({'to a cent."""\n    ': SHARE}, delay_ms=120)
    path = room.file("bill.py", SPLIT.encode())
    with room.open(path, before=OWN_LOOK) as editor:
        editor.command("DlmdComplete")
        editor.wait(
            lambda: 2 < "".join(editor.screen.lines()).count("░") < 16, "half of it"
        )
        editor.keep_shot("picture")
        assert {"NonText", "DiffAdd"} <= {
            name for names in editor.screen.names.values() for name in names
        }
        editor.wait_lua("return not require('dlmd.run').running()")
        assert "\n".join(editor.lines()) + "\n" == SPLIT.replace("pass", SHARE)
