"""What a candidate may change, and with which means: read from the syntax tree, not run.

One function differs from the original file, in its body alone, and it does not use what
could reach the test runner, the frames above it or the answer, unless the original did.
This is the first line, not the only one: the room holds without it against most of what
it forbids. It must not know tests or rooms.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from dlmd_finetune.sandbox.room import PolicyFault


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


MODULES = _words(
    "sys os posix nt io inspect gc ctypes _ctypes cffi builtins importlib imp pkgutil runpy "
    "site code codeop pytest _pytest pluggy unittest mock nose doctest hypothesis subprocess "
    "multiprocessing concurrent threading _thread asyncio socket signal atexit weakref "
    "traceback linecache tracemalloc pdb bdb faulthandler resource shutil pathlib tempfile "
    "glob mmap fcntl select selectors pickle marshal shelve dis types opcode symtable "
    "zipimport zipfile tarfile urllib http requests ftplib pty psutil coverage"
)
BUILTINS = _words(
    "eval exec compile globals locals vars open input breakpoint setattr delattr "
    "exit quit help dir memoryview SystemExit KeyboardInterrupt GeneratorExit "
    "BaseException BaseExceptionGroup"
)
ATTRIBUTES = _words(
    "tb_frame tb_next f_back f_globals f_locals f_builtins f_code f_trace gi_frame gi_code "
    "cr_frame cr_code ag_frame ag_code co_consts co_code _getframe _current_frames modules "
    "read_text read_bytes write_text write_bytes settrace setprofile with_traceback "
    "_exit addaudithook getsource"
)
# Read by honest code; every other name with two underscores each side is not.
HARMLESS = _words(
    "__class__ __name__ __doc__ __init__ __len__ __iter__ __next__ __enter__ __exit__ "
    "__repr__ __str__ __call__ __getitem__ __contains__ __add__ __debug__ __version__ "
    "__aenter__ __aexit__ __aiter__ __anext__ __slots__ __annotations__ __post_init__ "
    "__new__ __int__ __float__ __abs__ __neg__ __reversed__ __path__"
)
SIZE = 2**21
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Where the changed function stands; no name when nothing changed."""

    qualname: str = ""
    before: tuple[int, int] = (0, 0)  # first and last line in the original
    after: tuple[int, int] = (0, 0)
    used: frozenset[str] = frozenset()  # what the original function names


def judge(original: str, text: str) -> Change | PolicyFault:
    if len(text) > SIZE:
        return PolicyFault(f"the file has {len(text)} characters, more than {SIZE}")
    try:
        old, new = ast.parse(original), ast.parse(text)
        pairs = list(_pairs(old, new, ""))
    except SyntaxError as error:
        return PolicyFault(f"does not parse: {error.msg} in line {error.lineno}")
    except (ValueError, RecursionError, MemoryError) as error:
        return PolicyFault(f"does not parse: {type(error).__name__}")
    if not pairs:
        return Change()
    qualname, before, after = pairs[0]
    if len(pairs) > 1 or before is None or after is None:
        return PolicyFault("changes more than the body of one function")
    modules = _imports(old)
    known = _powers(before, modules)
    gained = sorted(set(_powers(after, modules)) - set(known))
    if gained:
        return PolicyFault(f"uses what the original did not: {', '.join(gained[:5])}")
    words = {node.id for node in ast.walk(before) if isinstance(node, ast.Name)}
    return Change(
        qualname=qualname,
        before=_lines(before),
        after=_lines(after),
        used=frozenset(words),
    )


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


def _imports(tree: ast.AST) -> dict[str, str]:
    """Names that stand for modules, or for parts of them, and the module's first name."""
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                root = alias.name.split(".")[0]
                found[alias.asname or root] = root
        elif isinstance(node, ast.ImportFrom) and not node.level:
            root = (node.module or "").split(".")[0]
            found |= {alias.asname or alias.name: root for alias in node.names}
    return found


def _powers(function: Function, modules: dict[str, str]) -> Iterator[str]:
    """Everything in a function that could reach beyond its own work, in words."""
    modules = modules | _imports(function)
    owned = _local_names(function)
    for node in ast.walk(function):
        match node:
            case ast.Import() | ast.ImportFrom():
                for root in set(_imports(node).values()) & MODULES:
                    yield f"import {root}"
            case ast.Name(id=name):
                if modules.get(name) in MODULES:
                    yield f"module {modules[name]}"
                elif (name in BUILTINS and name not in owned) or _private(name):
                    yield name
                elif name == "getattr" and "getattr" not in owned:
                    yield from _computed(function)
            case ast.Attribute(value=value, attr=name):
                inner = name in MODULES and _root(value) in modules
                if inner or name in ATTRIBUTES or _private(name):
                    yield f".{name}"
            case ast.ClassDef() | ast.Global() | ast.Nonlocal():
                yield type(node).__name__.lower()
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                if node is not function and _private(name):
                    yield f"def {name}"
            case ast.Call(func=ast.Name(id="type"), args=[_, _, *_]):
                yield "type with bases"
        yield from _foreign_targets(node, owned)


def _private(name: str) -> bool:
    return name.startswith("__") and name.endswith("__") and name not in HARMLESS


def _computed(function: Function) -> Iterator[str]:
    for node in ast.walk(function):
        match node:
            case ast.Call(func=ast.Name(id="getattr"), args=[_, name, *_]):
                if not isinstance(name, ast.Constant):
                    yield "getattr of a computed name"
                elif isinstance(name.value, str) and (
                    name.value in ATTRIBUTES or _private(name.value)
                ):
                    yield f".{name.value}"
            case ast.Name(id="getattr"):
                pass


def _foreign_targets(node: ast.AST, owned: set[str]) -> Iterator[str]:
    """Assignments into what is not the function's own: a module, a class, a global."""
    targets: list[ast.expr] = []
    match node:
        case ast.Assign(targets=many) | ast.Delete(targets=many):
            targets = list(many)
        case (
            ast.AugAssign(target=one) | ast.AnnAssign(target=one) | ast.For(target=one)
        ):
            targets = [one]
    for target in targets:
        for part in ast.walk(target):
            if isinstance(part, ast.Attribute | ast.Subscript):
                root = _root(part)
                if root and root not in owned:
                    yield f"assigns into {root}"


def _root(node: ast.AST) -> str | None:
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Call):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else None


def _local_names(function: Function) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(function):
        match node:
            case ast.arg(arg=name):
                found.add(name)
            case ast.Name(id=name, ctx=ast.Store()):
                found.add(name)
    return found
