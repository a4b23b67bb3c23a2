"""Train, dev or test: by file and by time, with near-clones on one side.

The newest quarter of the functions is held out, with the whole files that they stand in;
a third of that is dev. Files that share a near-clone go together. Without history the
files are drawn, small ones first, and somewhat more than a quarter where that is few files,
because a verdict takes its evidence from files and not from functions. Must not know tests.
"""

import ast
import hashlib
import io
import textwrap
import tokenize
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from dlmd_finetune.tasks.task import Split

HELD_OUT, MORE, MOST = 0.25, 0.35, 0.5
FILES, JUDGING = 9, 6  # held out where that can be, and left of them to judge by
BIG = HELD_OUT / 4  # of all functions: several such files are all there would be
DEV = 1 / 3
SHINGLE, ALIKE = 5, 0.6
TOKENS = frozenset({tokenize.NAME, tokenize.OP, tokenize.NUMBER, tokenize.STRING})


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A valid function, as far as the split must know it."""

    key: str
    path: str
    source: str  # of the function
    changed: float | None  # when it last changed


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    of: Mapping[str, Split]
    clones: int  # functions that are near-clones of others
    note: str | None  # where it could not be done by file


def split(members: Sequence[Member], seed: int) -> Sides:
    pairs = clones(members)
    cloned = len({key for pair in pairs for key in pair})
    groups = _groups(members, pairs, lambda member: member.path)
    held, note = _held_out(groups, len(members), seed), None
    if held is None:
        # One file, or all files tied together: then by function, clones still together.
        groups = _groups(members, pairs, lambda member: member.key)
        held = _held_out(groups, len(members), seed) or []
        note = "Too few files could be held out whole (few files have tasks, or near-clones tie them together), so that held-out functions share files with those learnt from."
    sides: dict[str, Split] = {member.key: "train" for member in members}
    dev, test = _halved(held)
    if not dev and len(held) == 1 and len(held[0]) > 1:
        dev, test = _halved(_groups(held[0], pairs, lambda member: member.key))
    for name, side in (("dev", dev), ("test", test)):
        for group in side:
            sides |= {member.key: name for member in group}  # type: ignore[misc]
    return Sides(of=sides, clones=cloned, note=note)


Group = list[Member]


def _groups(
    members: Sequence[Member],
    pairs: Sequence[tuple[str, str]],
    home: Callable[[Member], str],
) -> list[Group]:
    """What must stay together: the same home, or near-clones, however far linked."""
    owner = {member.key: home(member) for member in members}
    parent = {name: name for name in owner.values()}

    def root(name: str) -> str:
        while parent[name] != name:
            parent[name] = name = parent[parent[name]]
        return name

    for a, b in pairs:
        if a in owner and b in owner:
            parent[root(owner[a])] = root(owner[b])
    found: dict[str, Group] = defaultdict(list)
    for member in members:
        found[root(owner[member.key])].append(member)
    return list(found.values())


def _held_out(groups: list[Group], total: int, seed: int) -> list[Group] | None:
    """Those with the largest share of new functions, until a quarter is held out, or more
    where that is few files; None where it would take more than half."""
    if len(groups) < 2:
        return None
    known = sorted(m.changed for g in groups for m in g if m.changed is not None)
    border = known[int((1 - HELD_OUT) * len(known))] if known else None
    if known and known[0] == known[-1]:
        border = None  # all in one commit says nothing

    def newness(group: Group) -> tuple[float, float, bool, str]:
        new = [m for m in group if border is not None and (m.changed or 0) >= border]
        latest = 0.0 if border is None else max(m.changed or 0 for m in group)
        drawn = hashlib.sha256(f"{seed} {min(m.key for m in group)}".encode())
        big = len(group) > BIG * total
        return -len(new) / len(group), -latest, big, drawn.hexdigest()

    held: list[Group] = []
    count = 0
    for group in sorted(groups, key=newness):
        enough = count >= HELD_OUT * total
        if enough and len(held) >= FILES:
            break
        if count + len(group) <= (MORE if enough else MOST) * total:
            held.append(group)
            count += len(group)
    return held if count >= HELD_OUT / 2 * total else None


def _halved(held: Sequence[Group]) -> tuple[list[Group], list[Group]]:
    """A third for dev, as near as whole groups and a verdict allow, and both sides with
    something."""
    total = sum(map(len, held))
    dev: list[Group] = []
    test: list[Group] = []
    for group in sorted(held, key=len, reverse=True):
        room = DEV * total - sum(map(len, dev))
        spare = not dev or len(held) - len(dev) > JUDGING
        (dev if len(group) <= room and spare else test).append(group)
    if not dev and len(test) > 1:
        dev.append(test.pop())
    return dev, test


# ---- near-clones ----


def clones(members: Sequence[Member]) -> list[tuple[str, str]]:
    """Pairs alike in most runs of five tokens, or in all but names and constants."""
    shapes: dict[str, str] = {}
    shingles = {member.key: shingled(member.source) for member in members}
    pairs = []
    holders: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for member in members:
        shape = normal_form(member.source)
        if (twin := shapes.setdefault(shape, member.key)) != member.key:
            pairs.append((twin, member.key))
        shared: dict[str, int] = defaultdict(int)
        for shingle in shingles[member.key]:
            for other in holders[shingle]:
                shared[other] += 1
            holders[shingle].append(member.key)
        mine = len(shingles[member.key])
        for other, common in shared.items():
            if common > ALIKE * (mine + len(shingles[other]) - common):
                pairs.append((other, member.key))
    return pairs


def shingled(source: str) -> frozenset[tuple[str, ...]]:
    try:
        tokens = [
            token.string
            for token in tokenize.generate_tokens(io.StringIO(source).readline)
            if token.type in TOKENS
        ]
    except (tokenize.TokenError, IndentationError, SyntaxError):
        tokens = source.split()
    runs = (tuple(tokens[i : i + SHINGLE]) for i in range(len(tokens) - SHINGLE + 1))
    return frozenset(runs) or frozenset({tuple(tokens)})


class _Normal(ast.NodeTransformer):
    """Local names by their order, constants by their type; what is called keeps its name."""

    def __init__(self, local: set[str]) -> None:
        self.local = local
        self.seen: dict[str, str] = {}

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if node.id in self.local:
            node.id = self.seen.setdefault(node.id, f"v{len(self.seen)}")
        return node

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.arg = self.seen.setdefault(node.arg, f"v{len(self.seen)}")
        node.annotation = None
        return node

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        return ast.Constant(value=type(node.value).__name__)


def normal_form(source: str) -> str:
    try:
        node = ast.parse(textwrap.dedent(source)).body[0]
    except (SyntaxError, IndexError):
        return source
    local = {each.arg for each in ast.walk(node) if isinstance(each, ast.arg)}
    for each in ast.walk(node):
        if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store):
            local.add(each.id)
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        if ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
        node.name, node.decorator_list, node.returns = "", [], None
    return ast.dump(_Normal(local).visit(node))
