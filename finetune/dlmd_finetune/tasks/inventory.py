"""Functions of a source text and the holes that could be cut into them.

From syntax alone: which of them are tested, and how well, is found out later. Texts are
taken as their bytes have them, so that offsets hold in files with any line ends.
Must not know files, tests or git.
"""

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dlmd_finetune.tasks.task import Level

LINES = 40
CHARACTERS = 1600
STATEMENT_CHARACTERS = 200
BOM = "\ufeff"
LINE_END = re.compile(r"\r\n|\r|\n")

Def = ast.FunctionDef | ast.AsyncFunctionDef
Simple = ast.Return | ast.Assign | ast.AugAssign | ast.AnnAssign | ast.Expr | ast.Raise
Simple |= ast.Assert | ast.Delete | ast.Break | ast.Continue
SUITES = ("body", "orelse", "finalbody")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hole:
    level: Level
    kind: str  # of its first statement: "Return", "For", …
    start: int
    end: int
    first: int  # lines, from 1
    last: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    path: str
    name: str
    opens: int  # line of the first decorator, or of `def`
    last: int
    steps: tuple[tuple[int, int], ...]  # lines of its statements, as (first, last)
    generator: bool
    body: Hole
    parts: tuple[Hole, ...]  # blocks and statements inside

    @property
    def id(self) -> str:
        return f"{self.path}::{self.name}@{self.opens}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A function of which no task is made, and why."""

    name: str
    reason: str


class Offsets:
    """From the syntax tree's lines and bytes to characters of the text."""

    def __init__(self, text: str) -> None:
        self.skip = len(BOM) if text.startswith(BOM) else 0
        ends = [m.end() for m in LINE_END.finditer(text)]
        self.starts = [self.skip, *ends]
        self.lines = [
            text[a:b].encode()
            for a, b in zip(self.starts, [*ends, len(text)], strict=True)
        ]

    def of(self, line: int, column: int) -> int:
        head = self.lines[line - 1][:column]
        return self.starts[line - 1] + len(head.decode())

    def blank_before(self, line: int, column: int) -> bool:
        return not self.lines[line - 1][:column].strip()

    def blank_after(self, line: int, column: int) -> bool:
        rest = self.lines[line - 1][column:].strip()
        return not rest or rest.startswith(b"#")


def inventory(path: str, text: str) -> tuple[list[Function], list[Refusal]]:
    """ValueError where the text is no Python that this Python can parse."""
    try:
        tree = ast.parse(text.removeprefix(BOM))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"{path} does not parse: {error}") from error
    offsets = Offsets(text)
    found: list[Function] = []
    refused: list[Refusal] = []
    for name, node in _defs(tree.body, ""):
        if reason := _reason(node, offsets):
            refused.append(Refusal(name=f"{path}:{name}", reason=reason))
        else:
            found.append(_function(path, name, node, offsets))
    return found, refused


def _defs(body: Sequence[ast.stmt], outer: str) -> Iterator[tuple[str, Def]]:
    """Functions at module and class level, also under `if` and `try`; none inside others."""
    for node in body:
        if isinstance(node, Def):
            yield outer + node.name, node
        elif isinstance(node, ast.ClassDef):
            yield from _defs(node.body, f"{outer}{node.name}.")
        elif isinstance(node, ast.If | ast.Try | ast.With):
            for _, suite in _suites(node):
                yield from _defs(suite, outer)


def _suites(node: ast.AST) -> Iterator[tuple[str, list[ast.stmt]]]:
    for name in SUITES:
        if suite := getattr(node, name, None):
            yield name, suite
    for handler in getattr(node, "handlers", ()):
        yield "handler", handler.body
    for case in getattr(node, "cases", ()):
        yield "case", case.body


def below_docstring(node: Def) -> list[ast.stmt]:
    return node.body if ast.get_docstring(node, clean=False) is None else node.body[1:]


def _reason(node: Def, offsets: Offsets) -> str | None:
    body = below_docstring(node)
    if not body or all(_says_nothing(each) for each in body):
        return "has no body of its own"
    first, last = body[0].lineno, body[-1].end_lineno or 0
    if not offsets.blank_before(first, body[0].col_offset):
        return "stands on one line"
    if first == last:
        return "has a body of one line"
    if last - first + 1 > LINES:
        return f"is longer than {LINES} lines"
    start, end = _span(body, offsets)
    if end - start > CHARACTERS:
        return f"is longer than {CHARACTERS} characters"
    return None


def _says_nothing(node: ast.stmt) -> bool:
    if isinstance(node, ast.Raise) and node.exc is not None:
        return "NotImplementedError" in ast.unparse(node.exc)
    dots = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return dots or isinstance(node, ast.Pass)


def _span(body: Sequence[ast.stmt], offsets: Offsets) -> tuple[int, int]:
    opens = min([body[0], *getattr(body[0], "decorator_list", ())], key=_place)
    last = body[-1]
    assert last.end_lineno is not None and last.end_col_offset is not None
    # A decorator's "@" stands before it.
    back = 1 if opens is not body[0] else 0
    start = offsets.of(opens.lineno, opens.col_offset - back)
    return start, offsets.of(last.end_lineno, last.end_col_offset)


def _place(node: ast.AST) -> tuple[int, int]:
    return node.lineno, node.col_offset  # type: ignore[attr-defined]


def _hole(level: Level, body: Sequence[ast.stmt], offsets: Offsets) -> Hole:
    start, end = _span(body, offsets)
    return Hole(
        level=level,
        kind=type(body[0]).__name__,
        start=start,
        end=end,
        first=body[0].lineno,
        last=body[-1].end_lineno or body[-1].lineno,
    )


def _function(path: str, name: str, node: Def, offsets: Offsets) -> Function:
    body = below_docstring(node)
    whole = _hole("body", body, offsets)
    parts = {(whole.start, whole.end): whole}
    for hole in _parts(body, offsets):
        parts.setdefault((hole.start, hole.end), hole)
    within = [each for statement in body for each in ast.walk(statement)]
    steps = sorted({_lines(each) for each in within if isinstance(each, ast.stmt)})
    return Function(
        path=path,
        name=name,
        opens=min([node.lineno, *(each.lineno for each in node.decorator_list)]),
        last=node.end_lineno or node.lineno,
        steps=tuple(steps),
        generator=any(isinstance(each, ast.Yield | ast.YieldFrom) for each in within),
        body=whole,
        parts=tuple(hole for hole in parts.values() if hole is not whole),
    )


def _lines(node: ast.stmt) -> tuple[int, int]:
    """Of a simple statement all its lines, of a compound one its first."""
    simple = not any(True for _ in _suites(node))
    return node.lineno, (node.end_lineno or node.lineno) if simple else node.lineno


def _parts(body: Sequence[ast.stmt], offsets: Offsets) -> Iterator[Hole]:
    for node in body:
        if isinstance(node, Simple) and _stands_alone(node, offsets):
            hole = _hole("statement", [node], offsets)
            if hole.end - hole.start <= STATEMENT_CHARACTERS:
                yield hole
        if isinstance(node, Def | ast.ClassDef):
            continue
        for _, suite in _suites(node):
            if (len(suite) > 1 or any(_suites(suite[0]))) and _own_lines(
                suite, offsets
            ):
                yield _hole("block", suite, offsets)
            yield from _parts(suite, offsets)


def _stands_alone(node: ast.stmt, offsets: Offsets) -> bool:
    assert node.end_lineno is not None and node.end_col_offset is not None
    constant = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return (
        not constant
        and offsets.blank_before(node.lineno, node.col_offset)
        and offsets.blank_after(node.end_lineno, node.end_col_offset)
    )


def _own_lines(suite: Sequence[ast.stmt], offsets: Offsets) -> bool:
    """Not `if x: a; b`, and not the `if` of an `elif`."""
    first, last = suite[0], suite[-1]
    assert last.end_lineno is not None and last.end_col_offset is not None
    return (
        offsets.blank_before(first.lineno, first.col_offset)
        and offsets.blank_after(last.end_lineno, last.end_col_offset)
        and not offsets.lines[first.lineno - 1][first.col_offset :].startswith(b"elif")
    )
