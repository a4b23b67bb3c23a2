"""What a candidate may change, and with which means: read from the syntax tree, not run.

One function differs from the original file, in its body alone, and it does not use what
could reach the test runner, the frames above it or the answer, unless the original did.
This is the first line, not the only one: the room holds without it against most of what
it forbids. It must not know tests or rooms.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from dlmd_finetune.sandbox.powers import Function, names_of, powers
from dlmd_finetune.sandbox.room import PolicyFault

SIZE = 2**21


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Where the changed function stands; no name when nothing changed."""

    qualname: str = ""
    before: tuple[int, int] = (0, 0)  # first and last line in the original
    after: tuple[int, int] = (0, 0)
    used: frozenset[str] = frozenset()  # what the original function names


@lru_cache(maxsize=256)  # what is confirmed was judged a moment ago
def judge(original: str, text: str) -> Change | PolicyFault:
    if len(text) > SIZE:
        return PolicyFault(f"the file has {len(text)} characters, more than {SIZE}")
    try:
        return _judged(original, text)
    except SyntaxError as error:
        return PolicyFault(f"does not parse: {error.msg} in line {error.lineno}")
    except (ValueError, RecursionError, MemoryError) as error:
        return PolicyFault(f"does not parse: {type(error).__name__}")


def _judged(original: str, text: str) -> Change | PolicyFault:
    old, new = _parsed(original), ast.parse(text)
    pairs = list(_pairs(old, new, ""))
    if not pairs:
        return Change()
    qualname, before, after = pairs[0]
    if len(pairs) > 1 or before is None or after is None:
        return PolicyFault("changes more than the body of one function")
    gained = _gained(before, after, old)
    if gained:
        return PolicyFault(f"uses what the original did not: {', '.join(gained[:5])}")
    words = {node.id for node in ast.walk(before) if isinstance(node, ast.Name)}
    return Change(
        qualname=qualname,
        before=_lines(before),
        after=_lines(after),
        used=frozenset(words),
    )


@lru_cache(maxsize=16)
def _parsed(original: str) -> ast.Module:
    return ast.parse(original)


def _gained(before: Function, after: Function, old: ast.Module) -> list[str]:
    names = names_of(old)
    return sorted(set(powers(after, names)) - set(powers(before, names)))


Pair = tuple[str, Function | None, Function | None]


def _pairs(old: ast.AST, new: ast.AST, trail: str) -> Iterator[Pair]:
    """Outermost functions that differ; (trail, None, None) for any other difference."""
    if ast.dump(old) == ast.dump(new):
        return
    if isinstance(old, Function) and isinstance(new, Function):
        same = type(old) is type(new) and _head(old) == _head(new)
        yield (trail + old.name, old, new) if same else (trail, None, None)
        return
    compound = ast.Module | ast.ClassDef | ast.If | ast.Try | ast.With
    if type(old) is not type(new) or not isinstance(old, compound):
        yield trail, None, None
        return
    if _head(old) != _head(new):
        yield trail, None, None
        return
    inner = f"{trail}{old.name}." if isinstance(old, ast.ClassDef) else trail
    for name in ("body", "orelse", "finalbody"):
        ours, theirs = getattr(old, name, []), getattr(new, name, [])
        if len(ours) != len(theirs):
            yield trail, None, None
            return
        for one, other in zip(ours, theirs, strict=True):
            yield from _pairs(one, other, inner)


def _head(node: ast.AST) -> list[str]:
    """Everything but the statements inside."""
    return [
        ast.dump(part) if isinstance(part, ast.AST) else f"{name} {part!r}"
        for name, value in ast.iter_fields(node)
        if name not in ("body", "orelse", "finalbody")
        for part in (value if isinstance(value, list) else [value])
    ]


def _lines(node: Function) -> tuple[int, int]:
    first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
    return first, node.end_lineno or node.lineno
