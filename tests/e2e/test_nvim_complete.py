"""`:DlmdComplete`: a function's body, drawn while it denoises, one step of undo."""

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
        editor.wait_lua("return require('dlmd.complete').running() == false")
        expected = SOURCE.replace("def mean", "def average").splitlines()
        assert editor.lines() == expected


def test_outside_a_function_it_says_so(room: Room) -> None:
    room.use_fake_model(TABLE)
    with room.open(room.file("a.py", b"x = 1\n")) as editor:
        editor.command("DlmdComplete")
        editor.wait(lambda: "(dlmd)" in "".join(editor.screen.lines()), "a sentence")
        assert not editor.call("nvim_get_mode")["blocking"]  # no "Press ENTER"
        assert editor.messages().startswith("(dlmd) there is no Python function")
        assert editor.messages().endswith(":DlmdStatus")  # cut, and whole there
        status = editor.lua("return require('dlmd.status').line()")
        assert "put the cursor into one" in status
        assert editor.ghost_marks() == []
        assert editor.lines() == ["x = 1"]


def test_in_a_buffer_without_a_file_it_says_so(room: Room) -> None:
    with room.open(room.file("a.txt", b"")) as editor:
        editor.command("enew")
        editor.command("DlmdComplete")
        assert "not a file" in editor.messages()
