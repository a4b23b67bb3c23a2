"""Wrong fills: stubs that know nothing, and mutants that are a little wrong.

A test that lets a stub pass says nothing of the hole; how many mutants the tests notice
is how strong they are. Texts only; must not know how they are run.
"""

import ast
import random
from collections.abc import Iterator
from dataclasses import dataclass

from dlmd_finetune.tasks.inventory import BOM, Function, Hole, Offsets

MUTANTS = 10
CONSTANTS = {
    "int": "0",
    "float": "0.0",
    "str": '""',
    "bytes": 'b""',
    "bool": "False",
    "list": "[]",
    "tuple": "()",
    "dict": "{}",
    "set": "set()",
    "frozenset": "frozenset()",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """A piece of a file replaced."""

    name: str
    start: int
    end: int
    text: str


def apply(text: str, edit: Edit) -> str:
    return f"{text[: edit.start]}{edit.text}{text[edit.end :]}"


# ---- stubs ----


def stubs(
    text: str, function: Function, hole: Hole, returned: tuple[str, ...]
) -> list[Edit]:
    """Each once; what says the same as the hole itself is no stub."""
    constant = _constant(function, returned)
    fills = {"raise": "raise NotImplementedError", "pass": "pass"}
    if hole.level == "body":
        fills["return None"] = "return None"
        fills["constant"] = f"return {constant}"
        if function.name.rpartition(".")[2] == "__init__":
            del fills["constant"], fills["return None"]  # is what `pass` says, or fails
    elif hole.level == "block":
        fills["return None"] = "return None"
    elif hole.kind == "Return":
        fills["return None"] = "return None"
        fills["constant"] = f"return {constant}"
    elif hole.kind in ("Assign", "AnnAssign"):
        target = _target(text[hole.start : hole.end])
        if target:
            fills["constant"] = f"{target} = None"
    original = _normal(text[hole.start : hole.end])
    return [
        Edit(name=name, start=hole.start, end=hole.end, text=fill)
        for name, fill in fills.items()
        if _normal(fill) != original
    ]


def _constant(function: Function, returned: tuple[str, ...]) -> str:
    if function.generator:
        return "iter(())"
    known = [CONSTANTS[kind] for kind in returned if kind in CONSTANTS]
    return known[0] if known else "0"


def _target(statement: str) -> str | None:
    try:
        node = ast.parse(statement).body[0]
    except SyntaxError:  # its lines are indented as they stand in the file
        return None
    if isinstance(node, ast.Assign):
        names = [ast.unparse(each) for each in node.targets]
        return " = ".join(names) if not isinstance(node.targets[0], ast.Tuple) else None
    return ast.unparse(node.target) if isinstance(node, ast.AnnAssign) else None


def _normal(fill: str) -> str:
    return " ".join(fill.split()).removesuffix(" None")


# ---- mutants ----

COMPARED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
COMPUTED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}


def mutants(text: str, function: Function, seed: int) -> list[Edit]:
    """At most ten, drawn from all over the body; the same ones for the same seed."""
    tree = ast.parse(text.removeprefix(BOM))
    offsets = Offsets(text)
    found: dict[tuple[int, int, str], Edit] = {}
    for node in ast.walk(tree):
        line = getattr(node, "lineno", None)
        if line is None or not function.body.first <= line <= function.body.last:
            continue
        for fresh in _mutated(node):
            edit = _edit(node, fresh, offsets)
            if function.body.start <= edit.start and edit.end <= function.body.end:
                found.setdefault((edit.start, edit.end, edit.text), edit)
    edits = [found[key] for key in sorted(found)]
    if len(edits) > MUTANTS:
        edits = random.Random(f"{seed} {function.id}").sample(edits, MUTANTS)
    return sorted(edits, key=lambda e: (e.start, e.end))


def _edit(node: ast.AST, fresh: str, offsets: Offsets) -> Edit:
    start = offsets.of(node.lineno, node.col_offset)  # type: ignore[attr-defined]
    end = offsets.of(node.end_lineno, node.end_col_offset)  # type: ignore[attr-defined]
    return Edit(name=type(node).__name__, start=start, end=end, text=fresh)


def _mutated(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Compare(left=left, ops=[op, *rest], comparators=right):
            if type(op) in COMPARED:
                ops = [COMPARED[type(op)](), *rest]
                yield _paren(ast.Compare(left=left, ops=ops, comparators=right))
        case ast.BinOp(left=left, op=op, right=other) if type(op) in COMPUTED:
            fresh_op = COMPUTED[type(op)]()
            yield _paren(ast.BinOp(left=left, op=fresh_op, right=other))
        case ast.BoolOp(op=op, values=values):
            swapped = ast.Or() if isinstance(op, ast.And) else ast.And()
            yield _paren(ast.BoolOp(op=swapped, values=values))
        case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=operand):
            yield _paren(operand)
        case ast.Constant(value=bool(value)):
            yield str(not value)
        case ast.Constant(value=int(value)):
            yield str(value + 1)
        case ast.Return(value=value) if value is not None:
            if not (isinstance(value, ast.Constant) and value.value is None):
                yield "return None"
        case ast.AugAssign() | ast.Assign() | ast.Expr() | ast.Delete():
            docstring = isinstance(node, ast.Expr) and isinstance(
                node.value, ast.Constant
            )
            if not docstring:
                yield "pass"
        case ast.Break() | ast.Continue():
            yield "pass"


def _paren(node: ast.expr) -> str:
    return f"({ast.unparse(ast.fix_missing_locations(node))})"
