"""What code could reach beyond its own work with: each such means in words. Pure.

Read from the syntax tree. A name counts wherever it stands, called or not, unless the scope
it stands in has bound it to something else; and so does a name that was given to it. It is a
list of spellings, and must not know candidates or what is made of it.
"""

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from dlmd_finetune.sandbox.scopes import Bound, of_class, root_of, scoped


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


MODULES = _words(
    "sys os posix nt io inspect gc ctypes cffi builtins importlib imp pkgutil runpy "
    "site code codeop pytest pluggy unittest mock nose doctest hypothesis subprocess "
    "multiprocessing concurrent threading thread asyncio socket signal atexit weakref "
    "traceback linecache tracemalloc pdb bdb faulthandler resource shutil pathlib tempfile "
    "glob mmap fcntl select selectors pickle marshal shelve dis types opcode symtable "
    "zipimport zipfile tarfile urllib http requests ftplib pty psutil coverage logging test"
)
# Only where they are imported: methods of honest things are called so, too. They run code from
# texts, or read any file.
IMPORTED = MODULES | _words(
    "timeit trace profile cProfile lsprof rlcompleter fileinput modulefinder pyio "
    "annotationlib interpreters xxsubinterpreters testcapi testinternalcapi "
    "frozen_importlib frozen_importlib_external"
)
OPENERS = _words("tokenize codecs")  # whose `open` is the one of files
# As attributes of anything, because modules have them under these names.
WITHIN = _words(
    "sys os posix builtins gc inspect ctypes importlib subprocess pickle marshal pytest "
    "unittest pluggy runpy"
)
BUILTINS = _words(
    "eval exec compile globals locals vars open input breakpoint setattr delattr "
    "exit quit help dir memoryview SystemExit KeyboardInterrupt GeneratorExit "
    "BaseException BaseExceptionGroup"
)
# Harmless in some places, which are told apart below.
WATCHED = _words("type getattr attrgetter methodcaller")
ATTRIBUTES = _words(
    "tb_frame tb_next f_back f_globals f_locals f_builtins f_code f_trace gi_frame gi_code "
    "cr_frame cr_code ag_frame ag_code co_consts co_code _getframe _current_frames modules "
    "read_text read_bytes write_text write_bytes settrace setprofile with_traceback "
    "_exit addaudithook getsource getattr_static make_dataclass new_class Formatter vformat "
    "get_field ABCMeta EnumMeta EnumType NamedTupleMeta _ProtocolMeta _TypedDictMeta "
    "make_class _create_fn _builtin_open FileType ForwardRef get_type_hints _eval_type "
    "_evaluate"
)
# Read by honest code; every other name with two underscores each side is not.
HARMLESS = _words(
    "__class__ __name__ __doc__ __init__ __len__ __iter__ __next__ __enter__ __exit__ "
    "__repr__ __str__ __call__ __getitem__ __contains__ __add__ __debug__ __version__ "
    "__aenter__ __aexit__ __aiter__ __anext__ __slots__ __annotations__ __post_init__ "
    "__new__ __int__ __float__ __abs__ __neg__ __reversed__ __path__ __qualname__"
)
TESTS = re.compile(r"tests?|test_\w*|\w+_test|conftest")
# In "{0.name.other}" the names, as str.format takes them.
FIELD = re.compile(r"[{.]\s*(\w+)")
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Names:
    """What names of a file stand for: modules, what was imported from them, and names that
    were given to something watched."""

    roots: dict[str, str]
    parts: dict[str, str]
    modules: frozenset[str]  # names of whole modules


def names_of(tree: ast.AST, known: Names | None = None) -> Names:
    roots = dict(known.roots) if known else {}
    parts = dict(known.parts) if known else {}
    modules = set(known.modules) if known else set()
    for node in ast.walk(tree):
        match node:
            case ast.Import():
                for alias in node.names:
                    name = alias.asname or alias.name.split(".")[0]
                    roots[name] = alias.name.split(".")[0]
                    modules.add(name)
            case ast.ImportFrom():
                root = (node.module or "").split(".")[0] if not node.level else ""
                for alias in node.names:
                    roots[alias.asname or alias.name] = root
                    parts[alias.asname or alias.name] = alias.name
    for node in getattr(tree, "body", ()) if isinstance(tree, ast.Module) else ():
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Name(id=given)):
                parts[name] = parts.get(given, given)
                if given in roots:
                    roots[name] = roots[given]
    return Names(roots, parts, frozenset(modules))


def powers(function: Function, names: Names) -> Iterator[str]:
    names = names_of(function, names)
    allowed = _allowed(function, names) | _dotted(function)
    for node, bound in scoped(function):
        yield from _named(node, bound, names, allowed)
        yield from _reached(node, names, allowed)
        yield from _stored(node, bound)


def forbidden(name: str) -> bool:
    """As an attribute, whoever's."""
    plain = name.lstrip("_")
    return name in ATTRIBUTES or plain in WITHIN or private(name)


def private(name: str) -> bool:
    return name.startswith("__") and name.endswith("__") and name not in HARMLESS


# ---- names ----


def _named(
    node: ast.AST, bound: Bound, names: Names, allowed: set[ast.AST]
) -> Iterator[str]:
    match node:
        case ast.Import() | ast.ImportFrom():
            yield from _imported(node)
        case ast.ClassDef() | ast.Global() | ast.Nonlocal():
            yield type(node).__name__.lower()
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
            if private(name):
                yield f"def {name}"
        case ast.Name(id=name) if private(name):
            yield name
        case ast.Name(id=name, ctx=ast.Load()) if name not in bound.own:
            root, meant = names.roots.get(name, ""), names.parts.get(name, name)
            if root.lstrip("_") in IMPORTED:
                yield f"module {root}"
            elif meant in BUILTINS or (name in names.parts and forbidden(meant)):
                yield meant
            elif meant in WATCHED and node not in allowed:
                yield f"{meant} beyond plain use"
            elif name in names.modules and node not in allowed:
                yield f"module {root} as a value"


def _imported(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    paths = [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        if node.module:
            paths.append(node.module)
        for name in (alias.name for alias in node.names):
            if forbidden(name) or name in BUILTINS or name == "*":
                yield f"import {name}"
    for path in paths:
        steps = path.split(".")
        absolute = isinstance(node, ast.Import) or not node.level
        if absolute and steps[0].lstrip("_") in IMPORTED:
            yield f"import {steps[0]}"
        if any(TESTS.fullmatch(step) for step in steps):
            yield "import of tests"


def _dotted(function: Function) -> set[ast.AST]:
    """`math` in `math.pi`, and no name that is watched."""
    return {
        node.value
        for node in ast.walk(function)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id not in WATCHED
    }


def _allowed(function: Function, names: Names) -> set[ast.AST]:
    """Where names that are watched do no harm: `isinstance(x, type)`, `type(x) is …`,
    `getattr(x, "name")`, `type(self)(…)`."""
    found: set[ast.AST] = set()
    bound = frozenset(_everything_bound(function))
    given = {each.arg for each in _arguments(function)} - bound
    for node in ast.walk(function):
        for child in _plain(node, bound):
            found |= _kinds(child)
        match node:
            case ast.Call(func=ast.Name(id="getattr") as name, keywords=[]):
                if _known_name(node.args):
                    found.add(name)
            case ast.Call(func=ast.Name(id="type"), args=[ast.Name(id=who)]):
                if who in given:
                    found |= _kinds(node)
            case ast.Attribute(attr="__class__", value=ast.Name(id=who)):
                if who in given:
                    found.add(node)
            case ast.Call(func=ast.Name(id=who) | ast.Attribute(attr=who)):
                named = all(_constant(each) for each in node.args)
                meant = names.parts.get(who, who)
                if meant in ("attrgetter", "methodcaller") and named:
                    found.add(node.func)
    return found


def _everything_bound(function: Function) -> Iterator[str]:
    """In any scope of it, beside its own arguments."""
    own = set(map(id, _arguments(function)))
    for node in ast.walk(function):
        match node:
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
                yield name
            case ast.arg(arg=name) if id(node) not in own:
                yield name
            case ast.alias():
                yield node.asname or node.name.split(".")[0]
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                if node is not function:
                    yield name
            case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)):
                yield name
            case ast.MatchStar(name=str(name)) | ast.MatchMapping(rest=str(name)):
                yield name


def _plain(node: ast.AST, bound: frozenset[str]) -> Iterable[ast.expr]:
    """Children of which only the identity or the name matters."""
    match node:
        case ast.Compare():
            for each in (node.left, *node.comparators):
                yield each
                if isinstance(each, ast.Tuple | ast.List | ast.Set):
                    yield from each.elts
        case ast.Attribute(attr="__name__" | "__qualname__" | "__doc__"):
            yield node.value
        case ast.FormattedValue():
            yield node.value
        case ast.Call(func=ast.Name(id="isinstance" | "issubclass" as name)):
            if name not in bound and len(node.args) == 2:
                kinds = node.args[1]
                yield kinds
                yield from kinds.elts if isinstance(kinds, ast.Tuple) else ()
        case ast.Call(func=ast.Name(id="repr" | "str" | "id" | "hash" as name)):
            if name not in bound:
                yield from node.args


def _kinds(node: ast.expr) -> set[ast.AST]:
    """`type`, `type(x)` and `x.__class__`: what is to be allowed of them."""
    match node:
        case ast.Name(id="type"):
            return {node}
        case ast.Call(func=ast.Name(id="type") as name, args=[one], keywords=[]):
            return set() if isinstance(one, ast.Starred) else {name}
        case ast.Attribute(attr="__class__"):
            return {node}
    return set()


def _arguments(function: Function) -> list[ast.arg]:
    of = function.args
    return [*of.posonlyargs, *of.args, *of.kwonlyargs]


def _known_name(args: list[ast.expr]) -> bool:
    match args:
        case [ast.Starred(), *_] | [_, ast.Starred(), *_] | [_, _, ast.Starred()]:
            return False
        case [_, name] | [_, name, _]:
            return _constant(name)
    return False


def _constant(node: ast.expr) -> bool:
    """A text that names nothing forbidden."""
    if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
        return False
    steps = node.value.split(".")
    return not any(forbidden(step) or step == "__class__" for step in steps)


# ---- attributes ----


def _reached(node: ast.AST, names: Names, allowed: set[ast.AST]) -> Iterator[str]:
    match node:
        case ast.Attribute(value=value, attr=name):
            plain = name.lstrip("_")
            root = names.roots.get(root_of(value) or "")
            inner = plain in MODULES and root is not None
            if inner or (name == "open" and root in OPENERS) or forbidden(name):
                yield f".{name}"
            elif name in ("attrgetter", "methodcaller") and node not in allowed:
                yield f".{name} beyond plain use"
            elif name == "__class__" and node not in allowed:
                yield ".__class__ beyond plain use"
            elif name in ("format", "format_map") and not _literal(value):
                yield "format of a computed text"
        case ast.MatchClass(kwd_attrs=attributes):
            for name in attributes:
                if forbidden(name) or name == "__class__":
                    yield f".{name}"
        case ast.Constant(value=str(text)) if "{" in text:
            for name in FIELD.findall(text):
                if forbidden(name):
                    yield f"text with .{name}"


def _literal(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and isinstance(value.value, str)


# ---- what is assigned ----


def _stored(node: ast.AST, bound: Bound) -> Iterator[str]:
    """Into a module, a class, a global; or into what was only called by a local name."""
    if not isinstance(node, ast.Attribute | ast.Subscript):
        return
    if isinstance(node.ctx, ast.Load):
        return
    root = root_of(node)
    borrowed = root is None or root not in bound.own or root in bound.borrowed
    if borrowed or of_class(node.value):
        yield f"assigns into {root or 'something'}"
    if isinstance(node, ast.Attribute) and node.attr == "__class__":
        yield "assigns a class"
