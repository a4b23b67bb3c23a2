"""VS Code while typing: ghost text is drawn, taken whole or in part, hidden, never in the way."""

import pytest

from tests.e2e.vscode_desk import Desk

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(300)]

TABLE = {
    "return ": "a + b",
    "mean = sum(": "values",
    "items = [\n    ": "1,\n    2,\n",
    "items = [\r\n    ": "1,\r\n    2,\r\n",
    "größe, größer = ": "'ü', '😀'",
    "names['😀'] = ": "1",
    "last = ": "first + 4_999",
}


@pytest.fixture
def typing(desk: Desk) -> Desk:
    if desk.table != TABLE:
        desk.serve(TABLE)
    return desk


def test_type_see_take_save(typing: Desk) -> None:
    window = typing.window
    before, after = b"def add(a, b):\n    ", b"\n\n\nprint(add(1, 2))\n"
    path = typing.edit("add.py", before + after, 2)
    window.type("return ")
    window.until_ghost("a + b")
    window.until_dlmd("fake", "none")
    window.shoot("ghost")
    assert window.save(path) == before + b"return " + after  # drawn, not there
    window.press("Tab")
    window.until_ghost("")
    assert window.save(path) == before + b"return a + b" + after
    window.assert_quiet()


def test_taking_is_one_step_of_undo(typing: Desk) -> None:
    window = typing.window
    path = typing.edit("undo.py", b"def add(a, b):\n    \n", 2)
    window.type("return ")
    window.until_ghost("a + b")
    window.press("Tab")
    assert window.save(path) == b"def add(a, b):\n    return a + b\n"
    window.press("Control+z")
    assert window.save(path) == b"def add(a, b):\n    return \n"
    window.press("Control+Shift+z")
    assert window.save(path) == b"def add(a, b):\n    return a + b\n"


def test_a_word_then_the_rest(typing: Desk) -> None:
    window = typing.window
    path = typing.edit("word.py", b"def add(a, b):\n    \n", 2)
    window.type("return ")
    window.until_ghost("a + b")
    window.press("Control+ArrowRight")
    window.until_ghost(" + b")
    assert window.save(path) == b"def add(a, b):\n    return a\n"
    window.press("Tab")
    window.until_ghost("")
    assert window.save(path) == b"def add(a, b):\n    return a + b\n"
    window.assert_quiet()


def test_typing_what_is_suggested_keeps_the_rest(typing: Desk) -> None:
    window = typing.window
    path = typing.edit("along.py", b"def add(a, b):\n    \n", 2)
    window.type("return ")
    window.until_ghost("a + b")
    window.type("a +")
    window.until_ghost(" b")
    window.press("Tab")
    assert window.save(path) == b"def add(a, b):\n    return a + b\n"


def test_a_hole_in_the_middle_of_a_line(typing: Desk) -> None:
    window = typing.window
    path = typing.edit("middle.py", b"values = [1]\nmean = sum / len(values)\n", 2)
    window.press("Home", *["ArrowRight"] * len("mean = sum"))
    window.type("(")  # the editor closes it
    window.until_ghost("values")
    window.shoot("middle")
    window.press("Tab")
    assert window.save(path) == b"values = [1]\nmean = sum(values) / len(values)\n"


@pytest.mark.parametrize("end", [b"\n", b"\r\n"], ids=["lf", "crlf"])
def test_several_lines_on_request(typing: Desk, end: bytes) -> None:
    window = typing.window
    lines = [b"items = [", b"    ", b"]", b""]
    path = typing.edit(f"lines{len(end)}.py", end.join(lines), 2)
    window.command("dlmd: Suggest Here")
    window.until_ghost("1,\n    2,")
    window.press("Tab")
    lines[1:2] = [b"    1,", b"    2,"]
    assert window.save(path) == end.join(lines)
    window.press("Control+z")
    lines[1:3] = [b"    "]
    assert window.save(path) == end.join(lines)


def test_characters_of_every_width_before_the_cursor(typing: Desk) -> None:
    window = typing.window
    path = typing.edit("wide.py", "# 😀é\nnames = {}\n\n".encode(), 3)
    window.type("größe, größer = ")
    window.until_ghost("'ü', '😀'")
    window.press("Tab")
    window.status(
        "Ln ", "Ln 3, Col 25"
    )  # VS Code alone would stop before the last quote
    window.press("Enter")
    window.page.keyboard.insert_text("names['😀'] =")
    window.type(" ")
    window.until_ghost("1")
    window.press("Tab")
    assert window.save(path).decode() == (
        "# 😀é\nnames = {}\ngröße, größer = 'ü', '😀'\nnames['😀'] = 1\n"
    )


def test_ten_thousand_lines(typing: Desk) -> None:
    window = typing.window
    rows = [b"first = 1", *[b"x%d = %d" % (n, n) for n in range(9_998)], b""]
    path = typing.edit("long.py", b"\n".join(rows), 5_000)
    window.press("Enter")
    window.type("last = ")
    window.until_ghost("first + 4_999")
    window.press("Tab")
    rows.insert(5_000, b"last = first + 4_999")
    assert window.save(path) == b"\n".join(rows)


def test_tab_belongs_to_an_open_menu(typing: Desk) -> None:
    window = typing.window
    path = typing.edit("menu.py", b"def add(a, b):\n    apricot = 1\n    \n", 3)
    window.type("return ")
    window.until_ghost("a + b")
    window.press("Control+Space")
    menu = window.page.locator(".suggest-widget.visible .monaco-list-row")
    menu.first.wait_for()
    window.type("apri")
    menu.filter(has_text="apricot").first.wait_for()
    window.shoot("menu")
    window.press("Tab")
    assert window.save(path).splitlines()[2] == b"    return apricot"
    window.assert_quiet()


def test_escape_sends_it_away_and_tab_is_a_tab_again(typing: Desk) -> None:
    window = typing.window
    path = typing.edit("away.py", b"def add(a, b):\n    \n", 2)
    window.type("return ")
    window.until_ghost("a + b")
    window.press("Escape")
    window.until_ghost("")
    window.press("Tab")
    assert window.save(path) == b"def add(a, b):\n    return  \n"
