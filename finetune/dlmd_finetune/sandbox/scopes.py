"""Which names a piece of code has bound itself, place by place, as Python's scopes have it.

Pure; it must not know what the names are good for.
"""

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

Function = ast.FunctionDef | ast.AsyncFunctionDef
Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp


@dataclass(frozen=True, slots=True)
class Bound:
    own: frozenset[str]
    borrowed: frozenset[str] = (
        frozenset()
    )  # of these, names for what is somebody else's

    def with_names(self, names: Iterable[str]) -> "Bound":
        fresh = frozenset(names)
        return replace(self, own=self.own | fresh, borrowed=self.borrowed - fresh)


def scoped(function: Function) -> Iterator[tuple[ast.AST, Bound]]:
    """Every node of its body, with what is bound there."""
    yield from _body(function, Bound(frozenset()))


def root_of(node: ast.AST) -> str | None:
    """`a` of `a.b[c](d).e`."""
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Call):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else None


def of_class(node: ast.AST) -> bool:
    """Whether a chain of names leads through a class: `a.__class__.b`, `type(a).b`."""
    while isinstance(node, ast.Attribute | ast.Subscript):
        if isinstance(node, ast.Attribute) and node.attr == "__class__":
            return True
        node = node.value
    match node:
        case ast.Call(func=ast.Name(id="type")):
            return True
    return False


def _body(function: Function, outer: Bound) -> Iterator[tuple[ast.AST, Bound]]:
    bound = outer.with_names([*_arguments(function.args), *_bindings(function.body)])
    lent = _borrowed(function.body, bound) | _defaulted(function.args, outer)
    bound = replace(bound, borrowed=bound.borrowed | lent)
    for statement in function.body:
        yield from _walk(statement, bound)


def _walk(node: ast.AST, bound: Bound) -> Iterator[tuple[ast.AST, Bound]]:
    yield node, bound
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            outside = [*node.decorator_list, *_defaults(node.args)]
            outside += [node.returns] if node.returns else []
            for each in outside:
                yield from _walk(each, bound)
            yield from _body(node, bound)
        case ast.Lambda():
            for each in _defaults(node.args):
                yield from _walk(each, bound)
            names = [*_arguments(node.args), *_bindings([node.body])]
            yield from _walk(node.body, bound.with_names(names))
        case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
            first, *others = node.generators
            yield from _walk(first.iter, bound)  # which belongs to the scope around it
            inner = bound.with_names(_targets(node))
            for each in (first.target, *first.ifs, *others, *_made(node)):
                yield from _walk(each, inner)
        case _:
            for child in ast.iter_child_nodes(node):
                yield from _walk(child, bound)


def _made(node: Comprehension) -> list[ast.expr]:
    return [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]


def _targets(node: Comprehension) -> Iterator[str]:
    for generator in node.generators:
        for part in ast.walk(generator.target):
            if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
                yield part.id


def _arguments(of: ast.arguments) -> Iterator[str]:
    for arg in (*of.posonlyargs, *of.args, *of.kwonlyargs, of.vararg, of.kwarg):
        if arg is not None:
            yield arg.arg


def _defaults(of: ast.arguments) -> Iterator[ast.AST]:
    yield from of.defaults
    yield from (each for each in of.kw_defaults if each is not None)
    for arg in (*of.posonlyargs, *of.args, *of.kwonlyargs, of.vararg, of.kwarg):
        if arg is not None and arg.annotation is not None:
            yield arg.annotation


def _bindings(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """Names of this scope alone; of comprehensions only what `:=` binds around them."""
    stack = list(nodes)
    while stack:
        node = stack.pop()
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name
                continue
            case ast.ClassDef(name=name):
                yield name
                continue
            case ast.Lambda():
                continue
            case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
                for part in ast.walk(node):
                    if isinstance(part, ast.NamedExpr):
                        yield part.target.id
                continue
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
                yield name
            case ast.Import() | ast.ImportFrom():
                for alias in node.names:
                    yield alias.asname or alias.name.split(".")[0]
            case (
                ast.ExceptHandler(name=str(name))
                | ast.MatchAs(name=str(name))
                | ast.MatchStar(name=str(name))
                | ast.MatchMapping(rest=str(name))
            ):
                yield name
        stack += ast.iter_child_nodes(node)


def _borrowed(body: Iterable[ast.AST], bound: Bound) -> frozenset[str]:
    """Local names for what is not local: `table = TABLE`, `k = Box`, `import toy`."""
    found: set[str] = set()
    pairs: list[tuple[ast.expr, ast.expr]] = []
    for statement in body:
        for node in ast.walk(statement):
            match node:
                case ast.Import() | ast.ImportFrom():
                    names = [a.asname or a.name.split(".")[0] for a in node.names]
                    found.update(names)
                case ast.Assign(targets=targets, value=value):
                    for target in targets:
                        pairs += _given(target, value)
                case ast.NamedExpr(target=target, value=value):
                    pairs += _given(target, value)
                case ast.AnnAssign(target=target, value=ast.expr() as value):
                    pairs += _given(target, value)
                case (
                    ast.For(target=target, iter=each)
                    | ast.AsyncFor(target=target, iter=each)
                ):
                    for value in _members(each):
                        pairs += _given(target, value)
    more = True
    while more:
        more = False
        for place, given in pairs:
            if not isinstance(place, ast.Name) or place.id in found:
                continue
            root = root_of(given) if _chain(given) else None
            foreign = root is not None and (root not in bound.own or root in found)
            if foreign or of_class(given):
                found.add(place.id)
                more = True
    return frozenset(found)


def _given(target: ast.expr, value: ast.expr) -> Iterator[tuple[ast.expr, ast.expr]]:
    """Which name may stand for what: of all branches, and part by part."""
    match target, value:
        case (_, ast.IfExp(body=one, orelse=other)):
            yield from _given(target, one)
            yield from _given(target, other)
        case (_, ast.BoolOp(values=values)):
            for each in values:
                yield from _given(target, each)
        case (_, ast.NamedExpr(value=inner)):
            yield from _given(target, inner)
        case (_, ast.Subscript(value=ast.Tuple() | ast.List() as several)):
            for each in several.elts:
                yield from _given(target, each)
        case (ast.Tuple(elts=parts) | ast.List(elts=parts), _):
            members = _members(value)
            paired = len(members) == len(parts) and members != [value]
            for n, part in enumerate(parts):
                for each in [members[n]] if paired else members:
                    yield from _given(part, each)
        case (ast.Starred(value=inner), _):
            yield from _given(inner, value)
        case _:
            yield target, value


def _members(node: ast.expr) -> list[ast.expr]:
    """Those of a literal; else the thing itself stands for them."""
    return node.elts if isinstance(node, ast.Tuple | ast.List | ast.Set) else [node]


def _defaulted(of: ast.arguments, outer: Bound) -> frozenset[str]:
    """Arguments that may stand for what is not local: `def inner(k=Box)`."""
    plain = [*of.posonlyargs, *of.args]
    pairs = [*zip(plain[len(plain) - len(of.defaults) :], of.defaults, strict=True)]
    pairs += [
        (arg, given)
        for arg, given in zip(of.kwonlyargs, of.kw_defaults, strict=True)
        if given is not None
    ]
    return frozenset(
        arg.arg
        for arg, given in pairs
        if of_class(given)
        or (
            _chain(given)
            and (root_of(given) not in outer.own or root_of(given) in outer.borrowed)
        )
    )


def _chain(node: ast.AST) -> bool:
    inner: ast.AST = node
    while isinstance(inner, ast.Attribute | ast.Subscript):
        inner = inner.value
    return isinstance(inner, ast.Name)
