"""The seal between a candidate's code and its verdict, inside the worker's child.

What tests say travels over a pipe, each line under a nonce that is made here, after the
fork, and lives in one closure: that of an audit hook, which the interpreter keeps in a
list of its own. No frame on the stack holds it, the collector's lists are frozen before
it is made, and the hook calls nothing that a candidate could have replaced: only names
bound here, before its code ran. Only the loop of worker.py may speak, from its own
frame. What a candidate replaced in pytest, unittest, the tests or any module loaded
before is named at the end. It must not know how results are read.
"""

from __future__ import annotations

import os
import sys
import types
from typing import Any

OURS = ("pytest", "_pytest", "pluggy", "unittest")
# Asked for by the candidate's own function: by any frame of it on the stack, or only by
# the one that calls, because the standard library does the same for good reasons.
ANYWHERE = frozenset(
    {
        "gc.get_objects",
        "gc.get_referrers",
        "gc.get_referents",
        "sys._current_frames",
        "sys._current_exceptions",
        "sys.addaudithook",
        "sys.settrace",
        "sys.setprofile",
        "ctypes.dlopen",
        "ctypes.dlsym",
        "ctypes.dlsym/handle",
        "ctypes.cdata",
        "ctypes.cdata/buffer",
        "ctypes.string_at",
        "ctypes.wstring_at",
        "ctypes.call_function",
    }
)
DIRECTLY = frozenset({"sys._getframe", "exec", "compile", "code.__new__"})
PLACES = frozenset({"open", "os.listdir", "os.scandir"})
PRIVATE = ("/proc", "/dev/fd")
CODE = frozenset({"__code__", "__defaults__", "__kwdefaults__"})
# What pytest finds in the class of a test; in a test itself somebody has put it.
OVERRIDDEN = ("runtest", "setup", "teardown", "ihook", "reportinfo")
WRAPPERS = (property, staticmethod, classmethod)
KINDS = (types.FunctionType, types.BuiltinFunctionType, type)


class Watched:
    """What must be the same at the end: entries of dictionaries, code, sizes, lists."""

    def __init__(self) -> None:
        self.things: list[Any] = []
        self.codes: list[Any] = []
        self.sizes: list[Any] = []
        self.lists: list[Any] = []


def watch(hooks: Any = None, tests: frozenset[str] = frozenset()) -> Watched:
    """Functions and classes of every module; whole classes of pytest and the tests."""
    watched = Watched()
    for name, module in list(sys.modules.items()):
        space = getattr(module, "__dict__", None)
        if type(space) is not dict:
            continue
        watched.things.append((name, sys.modules, name, module))
        deep = name.split(".")[0] in OURS or name in tests
        for key, value in list(space.items()):
            if isinstance(value, KINDS):
                watched.things.append((f"{name}.{key}", space, key, value))
                if deep:
                    _deep(watched, f"{name}.{key}", value)
    for name, caller in list(vars(hooks).items()) if hooks is not None else ():
        watched.things.append((f"hook {name}", vars(hooks), name, caller))
        if hasattr(caller, "_hookimpls"):
            impls = caller._hookimpls
            watched.lists.append((f"hook {name}", caller, impls, tuple(impls)))
    return watched


def _deep(watched: Watched, name: str, value: Any) -> None:
    if isinstance(value, types.FunctionType):
        watched.codes.append((name, value, value.__code__))
    elif isinstance(value, type):
        space = vars(value)
        watched.sizes.append((name, space, len(space)))
        for key, member in list(space.items()):
            if isinstance(member, types.FunctionType):
                watched.codes.append((f"{name}.{key}", member, member.__code__))
            if callable(member) or isinstance(member, WRAPPERS):
                watched.things.append((f"{name}.{key}", space, key, member))


def seal(
    report: int,
    path: str,
    lines: tuple[int, int],
    allowed: frozenset[str],
    loop: Any,
    watched: Watched,
    swapped: tuple[Any, ...] = (),
) -> None:
    """From here on results leave by `sys.audit("dlmd.result", …)` out of `loop` only."""
    send, foul = _mouth(report, os.urandom(16).hex().encode())
    caller, theirs, below = _stack(path, *lines)
    speak = _loop(loop.__code__, send, foul, below, _changed(watched, swapped))
    hook = _hook(allowed, foul, speak, caller, theirs, below)
    send(b"hello")
    sys.addaudithook(hook)


# Each of these makes functions that look up no global and no builtin when they run.


def _mouth(report: int, nonce: bytes) -> Any:
    write, leave, getpid = os.write, os._exit, os.getpid
    owner = getpid()

    def send(*words: bytes) -> None:
        if getpid() == owner:  # a fork of the candidate's has nothing to say
            write(report, b" ".join((nonce, *words)) + b"\n")

    def foul(event: str) -> None:
        send(b"foul", event.encode("ascii", "replace").replace(b" ", b"_"))
        leave(0)

    return send, foul


def _stack(path: str, start: int, end: int) -> Any:
    error, true, false = ZeroDivisionError, True, False

    def caller() -> Any:
        """The frame that raised the event; sys._getframe would raise one itself."""
        try:
            raise error
        except error as caught:
            trace: Any = caught.__traceback__
            return trace.tb_frame.f_back.f_back

    def theirs(frame: Any) -> bool:
        code = frame.f_code
        return code.co_filename == path and start <= code.co_firstlineno <= end

    def below(frame: Any) -> bool:
        while frame is not None:
            if theirs(frame):
                return true
            frame = frame.f_back
        return false

    return caller, theirs, below


def _changed(watched: Watched, swapped: tuple[Any, ...]) -> Any:
    things = watched.things
    codes = watched.codes
    sizes, lists = watched.sizes, watched.lists
    size, zip_ = len, zip

    def changed() -> Any:
        for name, space, key, value in things:
            if space.get(key) is not value:
                yield name
        for name, function, code in codes:
            if function.__code__ is not code and function not in swapped:
                yield name
        for name, space, number in sizes:
            if size(space) != number:
                yield name
        for name, caller_of, wanted, members in lists:
            now = caller_of._hookimpls
            if now is not wanted or size(now) != size(members):
                yield name
                continue
            for one, other in zip_(now, members):
                if one is not other:
                    yield name

    return changed


def _loop(ours: Any, send: Any, foul: Any, below: Any, changed: Any) -> Any:
    kind, integer, text, listing, tuple_ = type, int, str, list, tuple
    overridden, true, false = OVERRIDDEN, True, False
    state: dict[str, Any] = {"frame": None, "sent": 0, "ended": false}

    def passed(item: Any, reports: Any) -> bool:
        """Every phase of a test says so, by its own attributes, not by its class's."""
        if kind(reports) is not listing and kind(reports) is not tuple_:
            return false
        phases = 0
        for each in reports:
            space = each.__dict__
            if space.get("outcome") != "passed" or "wasxfail" in space:
                return false
            phases += 1
        if phases < 3:
            return false
        for key in overridden:
            if key in item.__dict__:
                foul("a test's " + key)
        return true

    def speak(event: str, args: Any, frame: Any) -> None:
        if event == "dlmd.begin":
            if frame.f_code is not ours or state["frame"] is not None or below(frame):
                foul(event)
            state["frame"] = frame
        elif frame is not state["frame"] or state["ended"]:
            foul(event)
        elif event == "dlmd.result":
            number, item, reports = args
            if kind(number) is not integer or number != state["sent"]:
                foul(event)
            state["sent"] += 1
            send(b"passed" if passed(item, reports) else b"failed", b"%d" % number)
        elif event == "dlmd.end":
            state["ended"] = true
            for name in changed():
                if kind(name) is text:
                    send(
                        b"changed", name.encode("ascii", "replace").replace(b" ", b"_")
                    )
            send(b"end")

    return speak


def _hook(
    allowed: frozenset[str],
    foul: Any,
    speak: Any,
    caller: Any,
    theirs: Any,
    below: Any,
) -> Any:
    kind, text, data = type, str, bytes
    anywhere = frozenset(e for e in ANYWHERE if e.split(".")[0] not in allowed)
    directly = frozenset(e for e in DIRECTLY if e.split(".")[0] not in allowed)
    places, private, code_names = PLACES, PRIVATE, CODE

    def hook(event: str, args: Any) -> None:
        if event in anywhere:
            if below(caller()):
                foul(event)
        elif event in directly:
            if theirs(caller()):
                foul(event)
        elif event in places:
            place = args[0]
            if kind(place) is data:
                place = place.decode("ascii", "replace")
            if kind(place) is text and place.startswith(private) and below(caller()):
                foul(place)
        elif event == "object.__setattr__":
            if args[1] in code_names and below(caller()):
                foul(event)
        elif event.startswith("dlmd."):
            speak(event, args, caller())

    return hook
