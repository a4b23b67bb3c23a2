"""House sizes: a file that grows past them is a room with too much in it.

No source file over 400 lines, no function over 60; files over 250 are reported
as a warning, because 250 is what we aim at.
"""

import ast
import re
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parent.parent
ROOMS = ["daemon", "lsp", "finetune", "editors", "scripts", "bench", "tests", "docs"]
MADE = {"node_modules", "__pycache__", "out", "dist"}
FILE_AIM, FILE_LIMIT, FUNCTION_LIMIT = 250, 400, 60

SOURCES = [
    path
    for room in ROOMS
    for path in sorted((REPO / room).rglob("*"))
    if path.suffix in {".py", ".lua", ".ts"} and not MADE & set(path.parts)
]


def python_functions(source: str) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, (node.end_lineno or node.lineno) - node.lineno + 1


def indented_functions(source: str, closing: str) -> Iterator[tuple[str, int]]:
    """Functions of Lua and TypeScript: from the opening line to the first line of
    the same indentation that starts with the closing word."""
    lines = source.splitlines()
    for first, line in enumerate(lines):
        if not re.search(r"\bfunction\b|=>\s*\{$", line):
            continue
        indent = line[: len(line) - len(line.lstrip())]
        for last in range(first + 1, len(lines)):
            if lines[last].startswith(indent + closing):
                yield line.strip(), last - first + 1
                break


def functions(path: Path) -> list[tuple[str, int]]:
    source = path.read_text()
    if path.suffix == ".py":
        return list(python_functions(source))
    return list(indented_functions(source, "end" if path.suffix == ".lua" else "}"))


def test_there_is_something_to_measure() -> None:
    assert {".py", ".lua"} <= {path.suffix for path in SOURCES}


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(REPO)))
def test_size(path: Path) -> None:
    lines = len(path.read_text().splitlines())
    long = [f"{name}: {n} lines" for name, n in functions(path) if n > FUNCTION_LIMIT]
    assert lines <= FILE_LIMIT
    assert long == []


def test_report_files_over_the_aim() -> None:
    counts = {path: len(path.read_text().splitlines()) for path in SOURCES}
    over = [f"{p.relative_to(REPO)} {n}" for p, n in counts.items() if n > FILE_AIM]
    if over:
        warnings.warn(f"over {FILE_AIM} lines: {', '.join(over)}", stacklevel=1)
    assert len(over) < len(SOURCES) / 4, "250 lines is the aim, not the exception"


def test_lua_functions_are_measured() -> None:
    body = "\n".join(["  local x = 1"] * 61)
    source = f"local M = {{}}\nfunction M.long()\n{body}\nend\nfunction M.s()\nend\n"
    assert list(indented_functions(source, "end")) == [
        ("function M.long()", 63),
        ("function M.s()", 2),
    ]
