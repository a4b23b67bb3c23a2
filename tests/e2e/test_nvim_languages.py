"""One short scenario per language: typed, seen, taken, saved."""

import pytest

from tests.e2e.room import Room

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

SCENES = {
    "sum.py": ("def add(a, b):\n    \n", "return ", "a + b"),
    "sum.ts": (
        "function add(a: number, b: number): number {\n  \n}\n",
        "return ",
        "a + b;",
    ),
    "sum.go": (
        "package main\n\nfunc add(a, b int) int {\n\t\n}\n",
        "return ",
        "a + b",
    ),
    "sum.rs": ("fn add(a: i32, b: i32) -> i32 {\n    \n}\n", "let sum = ", "a + b;"),
    "sum.cpp": ("int add(int a, int b) {\n    \n}\n", "return ", "a + b;"),
    "Sum.java": (
        "class Sum {\n    int add(int a, int b) {\n        \n    }\n}\n",
        "return ",
        "a + b;",
    ),
}


def blank_at(source: str) -> int:
    """The row of the function's empty body."""
    lines = source.split("\n")
    return next(n for n, line in enumerate(lines) if line and not line.strip())


def table() -> dict[str, str]:
    """By all the text before the hole, so that the languages share one daemon."""
    found = {}
    for source, typed, fill in SCENES.values():
        lines = source.split("\n")[: blank_at(source) + 1]
        found["\n".join(lines) + typed] = fill
    return found


@pytest.mark.parametrize("name", SCENES)
def test_typed_seen_taken_saved(shared_room: Room, name: str) -> None:
    source, typed, fill = SCENES[name]
    shared_room.use_fake_model(table())
    path = shared_room.file(name, source.encode())
    with shared_room.open(path) as editor:
        editor.command("filetype indent off")
        editor.type(f"{blank_at(source) + 1}GA{typed}")
        editor.wait_for_ghost(fill)
        editor.type("<Tab><Esc>")
        editor.command("silent write")
        editor.assert_quiet()
    lines = source.split("\n")
    lines[blank_at(source)] += typed + fill
    assert path.read_text() == "\n".join(lines)
