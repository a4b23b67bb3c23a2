"""Tasks with the names of their own program changed throughout.

A published text may be known by heart; the same program under other names is not. Changed are
parameters, local variables and inner functions: names that the program binds inside functions
and nowhere else. What tests may call, what is imported, attributes, keywords of calls, strings
and comments stay. The same task always gets the same names. Must not run programs.
"""

import ast
import builtins
import io
import keyword
import random
import tokenize
from collections.abc import Iterator
from dataclasses import replace
from itertools import accumulate

from dlmd_finetune.evidence.tasks import Task

# Short, plain, and of no meaning for any program.
WORDS = [
    "amber",
    "anchor",
    "apple",
    "arrow",
    "badge",
    "basin",
    "beacon",
    "birch",
    "bison",
    "blossom",
    "boulder",
    "bridge",
    "bucket",
    "cabin",
    "candle",
    "canyon",
    "cedar",
    "cherry",
    "clover",
    "comet",
    "copper",
    "coral",
    "cotton",
    "cradle",
    "crystal",
    "daisy",
    "desert",
    "dolphin",
    "ember",
    "falcon",
    "feather",
    "fern",
    "flint",
    "forest",
    "fossil",
    "galaxy",
    "garden",
    "ginger",
    "glacier",
    "granite",
    "harbor",
    "hazel",
    "heron",
    "hollow",
    "island",
    "ivory",
    "jasmine",
    "jungle",
    "kettle",
    "lagoon",
    "lantern",
    "lemon",
    "lilac",
    "lotus",
    "magnet",
    "maple",
    "marble",
    "meadow",
    "mirror",
    "mosaic",
    "nectar",
    "nickel",
    "oasis",
    "ocean",
    "olive",
    "orchid",
    "otter",
    "paddle",
    "pebble",
    "pepper",
    "petal",
    "pigeon",
    "planet",
    "pollen",
    "prairie",
    "quartz",
    "quiver",
    "rabbit",
    "ribbon",
    "river",
    "rocket",
    "saddle",
    "saffron",
    "salmon",
    "shadow",
    "silver",
    "sparrow",
    "spruce",
    "sunset",
    "thicket",
    "thunder",
    "timber",
    "topaz",
    "tulip",
    "tunnel",
    "turtle",
    "valley",
    "velvet",
    "violet",
    "walnut",
    "willow",
    "winter",
    "zephyr",
]
FIXED = frozenset({*keyword.kwlist, *keyword.softkwlist, *dir(builtins)})
Edit = tuple[int, int, str]  # start and end in the text, and what to put there


def renamed(task: Task) -> Task | None:
    """None where nothing can be renamed, or a name would be cut by the hole's edge."""
    # The three parts as they stand, without the newline that a line's hole leaves to `after`.
    parts = [task.prompt, task.canonical_solution, task.suffix]
    source = "".join(parts)
    names = own_names(source)
    if not names:
        return None
    new = fresh_names(names, source, task.problem)
    ends = list(accumulate(map(len, parts)))
    starts = [0, *ends[:-1]]
    edits = list(edits_of(source, new))
    if any(start < end < stop for start, stop, _ in edits for end in ends):
        return None
    changed = [edited(source, a, b, edits) for a, b in zip(starts, ends, strict=True)]
    return replace(
        task, prompt=changed[0], canonical_solution=changed[1], suffix=changed[2]
    )


def own_names(source: str) -> list[str]:
    """Bound inside functions and nowhere else, in the order in which they come."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return []
    inner = [
        name
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for name in bound(function)
    ]
    kept = {*module_names(tree), *named_elsewhere(tree), *FIXED}
    return [n for n in dict.fromkeys(inner) if n not in kept and not n.startswith("__")]


def bound(function: ast.AST) -> Iterator[str]:
    """What a function binds, itself and in what it holds, its own name aside."""
    for node in ast.walk(function):
        match node:
            case ast.arg(arg=name):
                yield name
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
                yield name
            case ast.FunctionDef(name=name) if node is not function:
                yield name
            case ast.ExceptHandler(name=str(name)):
                yield name


def module_names(tree: ast.Module) -> Iterator[str]:
    """What can be reached from outside: bound at the top, in classes, or by an import."""
    for statement in tree.body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            yield statement.name
        elif isinstance(statement, ast.ClassDef):
            yield from (n.id for n in ast.walk(statement) if isinstance(n, ast.Name))
            yield from (f.name for f in ast.walk(statement) if hasattr(f, "name"))
        else:
            yield from (n.id for n in ast.walk(statement) if isinstance(n, ast.Name))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names:
                yield (alias.asname or alias.name).split(".")[0]


def named_elsewhere(tree: ast.Module) -> Iterator[str]:
    """Names whose places a reader of words would mistake: keywords of calls, names that are
    declared global, and those in formatted strings, which older Pythons do not take apart."""
    for node in ast.walk(tree):
        match node:
            case ast.keyword(arg=str(name)):
                yield name
            case ast.Global(names=names) | ast.Nonlocal(names=names):
                yield from names
            case ast.JoinedStr():
                yield from (n.id for n in ast.walk(node) if isinstance(n, ast.Name))


def fresh_names(names: list[str], source: str, problem: str) -> dict[str, str]:
    taken = {t.string for t in words_of(source)}
    free = [word for word in WORDS if word not in taken]
    random.Random(problem).shuffle(free)
    assert len(names) <= len(free), "more names than words"
    return dict(zip(names, free, strict=False))


def words_of(source: str) -> Iterator[tokenize.TokenInfo]:
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.NAME:
            yield token


def edits_of(source: str, new: dict[str, str]) -> Iterator[Edit]:
    lines = source.splitlines(keepends=True)
    at = [0, *accumulate(map(len, lines))]
    before = ""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        known = token.type == tokenize.NAME and token.string in new
        if known and before != ".":
            start = at[token.start[0] - 1] + token.start[1]
            yield start, start + len(token.string), new[token.string]
        before = token.string


def edited(source: str, first: int, last: int, edits: list[Edit]) -> str:
    """That part of the source, with the edits that lie in it."""
    pieces, at = [], first
    for start, end, text in edits:
        if first <= start and end <= last:
            pieces += [source[at:start], text]
            at = end
    return "".join([*pieces, source[at:last]])
