"""The commands that write, over stdio: holes, rewriting, repair, stopping, other lengths."""

from pathlib import Path
from typing import Any

import pytest
from dlmd.wire.protocol import Infill
from lsprotocol import types

from tests.fakes.recorder import recording
from tests.lsp_rig import Daemon, editing

pytestmark = pytest.mark.slow

LONG = "\n    ".join(f"x{number} = {number}" for number in range(15))
FILLS = {
    "def one(a):\n    ": "return a + 1",
    "two = ": "one(1)",
    "# TODO: halve it\n    ": "return a / 2",
    "old = ": "better(1)",
    "wrong ": "+ right",
    '"""Take long."""\n    ': LONG,
    "func add(a, b int) int {\n\t": "return a + b\n}\n",
    "fn add(a: u8) -> u8 {\n    ": "a + 1",
    "int add(int a) {\n  ": "return a + 1;",
    "add(a) {\n  ": "return a + 1;",
    "int add(int a) {\n    ": "return a + 1;",
}


def place(at: types.Position) -> dict[str, int]:
    return {"line": at.line, "character": at.character}


def rows(first: int, last: int, end: int = 0) -> dict[str, dict[str, int]]:
    start = {"line": first, "character": 0}
    return {"start": start, "end": {"line": last, "character": end}}


async def test_all_holes_of_a_range_are_filled_by_one_edit(quick: Path) -> None:
    async with editing(quick) as editor:
        editor.open(
            "def one(a):\n    ...\n\n\ntwo = ...\n\n\ndef half(a):\n    # TODO: halve it\n    pass\n"
        )
        answer = await editor.run("dlmd.fillHoles", range=rows(0, 10))
        assert answer == {"applied": True, "holes": 3}
        assert editor.text == (
            "def one(a):\n    return a + 1\n\n\ntwo = one(1)\n\n\n"
            "def half(a):\n    # TODO: halve it\n    return a / 2\n"
        )
        assert len(editor.edits) == 1
        *drawn, end = editor.states
        assert {len(state.holes) for state in drawn} == {3} == {len(end.ranges)}
        assert end.done and list(end.holes) == []


async def test_only_the_function_at_the_cursor(quick: Path) -> None:
    async with editing(quick) as editor:
        at = editor.open("def one(a):\n    ...|\n\n\ntwo = ...\n")
        answer = await editor.run("dlmd.fillHoles", position=place(at))
        assert answer["holes"] == 1
        assert editor.text.endswith("return a + 1\n\n\ntwo = ...\n")


async def test_selected_places_with_tabs_and_crlf(quick: Path) -> None:
    async with editing(quick) as editor:
        editor.open("def one(a):\r\n    # here\r\ntwo = 3  # three\r\n")
        ranges = [
            {"start": {"line": 1, "character": 4}, "end": {"line": 1, "character": 10}},
            {"start": {"line": 2, "character": 6}, "end": {"line": 2, "character": 7}},
        ]
        answer = await editor.run("dlmd.fillHoles", ranges=ranges)
        assert answer == {"applied": True, "holes": 2}
        assert editor.text == (
            "def one(a):\r\n    return a + 1\r\ntwo = one(1)  # three\r\n"
        )


async def test_a_selection_written_anew_keeps_its_sides(quick: Path) -> None:
    async with editing(quick) as editor:
        editor.open("old = worse(0)\nrest = 1\n")
        part = {
            "start": {"line": 0, "character": 6},
            "end": {"line": 0, "character": 14},
        }
        answer = await editor.run("dlmd.rewrite", range=part, version=editor.version)
        assert answer == {"applied": True, "changed": 1}
        assert editor.text == "old = better(1)\nrest = 1\n"


async def test_a_text_the_model_would_write_itself_stays(quick: Path) -> None:
    async with editing(quick) as editor:
        editor.open("same = 1\n")
        answer = await editor.run("dlmd.rewrite", range=rows(0, 0, 8))
        assert answer["applied"] is False and "as it is" in answer["reason"]
        assert editor.edits == []


async def test_what_is_asked_of_a_text_laid_over(tmp_path: Path) -> None:
    async with (
        recording(tmp_path / "r", fill=lambda request, at: "x = 2") as heard,
        editing(tmp_path / "r") as editor,
    ):
        editor.open("a = 1\n    x = b\nc = 3\nd =4\n")
        diagnostics = [{"range": rows(1, 1, 5)}, {"range": rows(3, 3, 2)}]
        answer = await editor.run("dlmd.repair", diagnostics=diagnostics)
        assert answer["changed"] == 2
        assert editor.text == "a = 1\n    x = 2\nc = 3\nx = 2\n"
        [request] = heard.requests
        first, second = [
            part.hole for part in request.parts if not isinstance(part, str)
        ]
        # Indentation is not doubted.
        assert (first.initial, second.initial) == ("x = b", "d =4")
        assert first.keep == second.keep and 0 < (first.keep or 0) < 1


FUNCTIONS = [
    ("go", "a.go", "func add(a, b int) int {|\n}\n", "func add(a, b int) int {\n\treturn a + b\n}\n"),
    ("rust", "a.rs", "fn add(a: u8) -> u8 {\n    todo!()|\n}\n", "fn add(a: u8) -> u8 {\n    a + 1\n}\n"),
    ("c", "a.c", "int add(int a) {\n  |\n}\n", "int add(int a) {\n  return a + 1;\n}\n"),
    ("cpp", "a.cpp", "int add(int a) {\n  |\n}\n", "int add(int a) {\n  return a + 1;\n}\n"),
    ("java", "A.java", "class A {\n  int x;\n  int add(int a) {|}\n}\n", "class A {\n  int x;\n  int add(int a) {\n    return a + 1;\n  }\n}\n"),
    ("javascript", "a.js", "if (x) {\n  y();\n}\nfunction add(a) {|}\n", "if (x) {\n  y();\n}\nfunction add(a) {\n  return a + 1;\n}\n"),
    ("typescript", "a.ts", "if (x) {\n  y();\n}\nfunction add(a) {|}\n", "if (x) {\n  y();\n}\nfunction add(a) {\n  return a + 1;\n}\n"),
    ("php", "a.php", "if ($x) {\n  y();\n}\nfunction add(a) {|}\n", "if ($x) {\n  y();\n}\nfunction add(a) {\n  return a + 1;\n}\n"),
]  # fmt: skip


@pytest.mark.parametrize(("language", "name", "marked", "expected"), FUNCTIONS)
async def test_a_whole_function_in_each_language(
    quick: Path, language: str, name: str, marked: str, expected: str
) -> None:
    if language in ("c", "cpp"):
        marked = f"void f(void) {{\n  g();\n}}\n{marked}"
        expected = f"void f(void) {{\n  g();\n}}\n{expected}"
    if language == "go":
        marked, expected = (
            f"var x = []int{{\n\t1,\n}}\n\n{t}" for t in (marked, expected)
        )
    async with editing(quick) as editor:
        editor.uri = f"file:///{name}"
        at = editor.open(marked, language=language)
        assert await editor.filled(at) == {"applied": True}
        assert editor.text == expected


async def test_stopped_early_the_settled_lines_stay(
    slow: tuple[Path, Daemon],
) -> None:
    folder, process = slow
    async with editing(folder) as editor:
        at = editor.open('def long():\n    """Take long."""\n    |\n')
        answer = editor.command("dlmd.completeFunction", position=place(at))[1]
        await editor.until(lambda: len(editor.states) >= 20)
        assert await editor.run("dlmd.stopAndKeep") == {"stopped": True}
        done = await answer
        before = process.forwards()
        kept = editor.text.split('"""\n', 1)[1]
        whole = {line.strip() for line in LONG.split("\n")}
        lines = kept.rstrip("\n").split("\n")
        # Whole lines, and what stands before the first mask.
        assert done["applied"] is bool(kept.strip())
        assert all(line.strip() in whole for line in lines[1:])
        assert await editor.run("dlmd.stopAndKeep") == {"stopped": False}
        await editor.until(lambda: editor.statuses[-1].phase == "ready")
        assert process.forwards() <= before + 2


async def test_longer_and_shorter_begin_again(tmp_path: Path) -> None:
    sizes: list[int | None] = []

    def fill(request: Infill, at: int) -> str:
        [size] = [p.hole.max_tokens for p in request.parts if not isinstance(p, str)]
        sizes.append(size)
        return f"return {len(sizes)}"

    async with (
        recording(tmp_path / "r", fill=fill),
        editing(tmp_path / "r") as editor,
    ):
        at = editor.open("def one(a):\n    |\n\n\nx = 1\n")
        await editor.run("dlmd.completeFunction", position=place(at))
        assert editor.text == "def one(a):\n    return 1\n\n\nx = 1\n"
        editor.sync()
        assert await editor.run("dlmd.longer") == {"again": True, "ask": False}
        assert editor.text == "def one(a):\n    return 2\n\n\nx = 1\n"
        editor.sync()
        await editor.run("dlmd.shorter")
        editor.sync()
        await editor.run("dlmd.shorter")
        assert editor.text == "def one(a):\n    return 4\n\n\nx = 1\n"
        first, longer, back, shorter = (size or 0 for size in sizes)
        assert longer > first == back > shorter
        # Once touched, the text is the person's.
        editor.sync()
        editor.type(types.Position(0, 0), "#")
        assert await editor.run("dlmd.longer") == {"again": True, "ask": True}


async def test_longer_while_it_runs(slow: tuple[Path, Daemon]) -> None:
    folder, _ = slow
    async with editing(folder) as editor:
        at = editor.open("def one(a):\n    |\n")
        answer = editor.command("dlmd.completeFunction", position=place(at))[1]
        await editor.until(lambda: editor.states)
        first = editor.states[0].id
        assert await editor.run("dlmd.longer") == {"again": True, "ask": False}
        assert await answer == {"applied": True}
        assert editor.text == "def one(a):\n    return a + 1\n"
        ids = [state.id for state in editor.states if state.done]
        assert ids[0] == first and len(ids) == len(set(ids)) == 2


async def test_what_would_break_the_file_is_not_put_in(tmp_path: Path) -> None:
    async with (
        recording(tmp_path / "r", fill=lambda request, at: "(((") as heard,
        editing(tmp_path / "r") as editor,
    ):
        editor.open("x = ...\n")
        answer = await editor.run("dlmd.fillHoles")
        assert len(heard.requests) == 1
        assert answer["applied"] is False and "break the syntax" in answer["reason"]
        assert editor.text == "x = ...\n"
        # What the sentence advises.
        assert (await editor.run("dlmd.shorter"))["ask"] is False
        first, again = (request.parts[1] for request in heard.requests)
        assert not isinstance(first, str) and not isinstance(again, str)
        assert (again.hole.max_tokens or 0) < (first.hole.max_tokens or 0)


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("dlmd.fillHoles", {}, "there is no `...` and no TODO here"),
    ("dlmd.rewrite", {}, "nothing is selected"),
    ("dlmd.rewrite", {"range": rows(1, 1)}, "the selection has 0 characters"),
    ("dlmd.repair", {}, "without a position"),
    ("dlmd.repair", {"range": rows(1, 1)}, "no text to repair"),
    ("dlmd.repair", {"diagnostics": [1]}, "update the editor's dlmd plugin"),
    ("dlmd.fillHoles", {"version": 99}, "the document changed"),
    ("dlmd.fillHoles", {"ranges": 7}, "update the editor's dlmd plugin"),
]


async def test_refusals(quick: Path) -> None:
    async with editing(quick) as editor:
        editor.open("x = 1\n\n")
        for name, argument, said in REFUSED:
            answer = await editor.run(name, **argument)
            assert answer["applied"] is False
            assert said in answer["reason"] == editor.shown[-1], name
        assert editor.edits == []
