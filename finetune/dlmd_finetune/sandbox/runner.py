"""What a worker does with pytest: collects, gives one function its new code, runs tests.

Also reads what a test command wrote as JUnit XML. It runs in the repository's Python
beside worker.py, and must not know processes, pipes' readers or what results mean.
"""

from __future__ import annotations

import gc
import linecache
import os
import sys
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dlmd_finetune.sandbox import ahead, seal
else:
    import ahead
    import seal

FILE_BYTES = 4 * 2**20
Spec = Any  # as in worker.py
Request = Any


def arguments(spec: Spec, tests: list[str]) -> list[str]:
    """The repository's own settings and plugins, but alone and without measuring."""
    from importlib.util import find_spec

    chosen = ["--capture=no", "-o", "cache_dir=" + os.environ["HOME"] + "/cache"]
    chosen += ["--continue-on-collection-errors", "-p", "no:faulthandler"]
    if find_spec("xdist"):
        chosen.append("-n0")
    if find_spec("pytest_cov"):
        chosen.append("--no-cov")
    return [*spec["pytest_args"], *chosen, *tests]


def collect(spec: Spec, tests: list[str], then: Any) -> Any:
    """Runs pytest up to its loop over the tests, in whose place `then` is called."""
    import pytest

    errors: list[str] = []

    class Loop:
        def pytest_collectreport(self, report: Any) -> None:
            if report.failed:
                errors.append(f"{report.nodeid}: {str(report.longrepr)[-1000:]}")

        def pytest_internalerror(self, excrepr: Any) -> None:
            errors.append(str(excrepr)[-1000:])

        @pytest.hookimpl(tryfirst=True)
        def pytest_runtestloop(self, session: Any) -> bool:
            then(session, errors)
            return True

    code = pytest.main(arguments(spec, tests), plugins=[Loop()])
    return f"pytest ended with {code!r} before any test; {' '.join(errors)[-1500:]}"


def say_little() -> None:
    """Nobody reads why a candidate failed, and telling takes longer than most tests."""
    from _pytest.nodes import Node

    Node._repr_failure_py = lambda *_, **__: "failed"  # type: ignore[assignment, method-assign]


def run_items(items: Any, protocol: Any, audit: Any) -> None:
    """The one frame that may speak; it holds nothing that would help to forge."""
    audit("dlmd.begin")
    for number, (item, following) in enumerate(items):
        found = item is not None
        reports = protocol(item, log=False, nextitem=following) if found else ()
        audit("dlmd.result", number, item, reports)
    audit("dlmd.end")


def run_chosen(request: Request, items: dict[str, Any]) -> None:
    from _pytest.runner import runtestprotocol

    chosen = [items.get(name) for name in request["node_ids"]]
    there = [item for item in chosen if item is not None]
    after = {item: there[n] for n, item in enumerate(there[:-1], 1)}
    pairs = tuple((item, after.get(item)) for item in chosen)
    run_items(pairs, runtestprotocol, sys.audit)


def close(
    request: Request, report: int, watched: Any, swapped: tuple[Any, ...] = ()
) -> None:
    seal.seal(
        report,
        os.path.abspath(request["path"]),
        (request["start"], request["end"]),
        frozenset(request["allowed"]),
        run_items,
        watched,
        swapped,
    )


# ---- warm: everything but the candidate was imported before the fork ----


def warm(spec: Spec, ready: Any, serve: Any) -> Any:
    """Collects once, then serves; returns why, when pytest did not get that far."""

    def then(session: Any, errors: list[str]) -> None:
        say_little()
        items = {item.nodeid: item for item in session.items}
        functions = functions_of(spec["root"])
        watched = seal.watch(session.config.hook, test_modules(spec["root"], items))
        files = ahead.loaded(spec["root"])
        told = {"items": list(items), "errors": errors[:20], "files": files}
        ready({"ready": True, **told})
        gc.collect()
        gc.freeze()  # out of reach of gc.get_objects, and never copied by a collection

        def run(request: Request, report: int) -> None:
            linecache.clearcache()
            known = all(name in items for name in request["node_ids"])
            swapped = swap(request, functions) if known else None
            if swapped is None:
                os.write(report, b"cold\n")
                return
            close(request, report, watched, swapped)
            run_chosen(request, items)

        serve(run)

    return collect(spec, spec["tests"], then)


def test_modules(root: str, items: dict[str, Any]) -> frozenset[str]:
    names = {
        getattr(getattr(i, "module", None), "__name__", "") for i in items.values()
    }
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None) or ""
        if os.path.basename(file) == "conftest.py" and file.startswith(root):
            names.add(name)
    return frozenset(names)


def functions_of(root: str) -> dict[str, list[Any]]:
    """Living functions by the file that they come from."""
    found: dict[str, list[Any]] = {}
    for each in gc.get_objects():
        if type(each) is FunctionType:
            path = each.__code__.co_filename
            if path.startswith(root):
                found.setdefault(os.path.abspath(path), []).append(each)
    return found


def swap(request: Request, functions: dict[str, list[Any]]) -> tuple[Any, ...] | None:
    """Gives living functions their new code; None when only a new import would do."""
    path, qualname = os.path.abspath(request["path"]), request["qualname"]
    if not qualname:
        return ()  # the file as it was
    first, last = request["before"]
    with open(path, "rb") as file:
        module = compile(file.read(), path, "exec", dont_inherit=True)
    code = find(module, qualname.replace(".<locals>", "").split("."), request["start"])
    living = [f for f in functions.get(path, ()) if first <= line(f) <= last]
    targets = [f for f in living if line(f) == first and f.__qualname__ == qualname]
    # Functions made inside it before the fork would keep the old code.
    if code is None or not targets or len(targets) != len(living):
        return None
    for function in targets:
        if function.__code__.co_freevars != code.co_freevars:
            return None
    for function in targets:
        function.__code__ = code
    return tuple(targets)


def line(function: Any) -> int:
    return int(function.__code__.co_firstlineno)


def find(code: Any, names: list[str], start: int) -> Any:
    """The code of a function by the names that lead to it and the line it starts at."""
    for inner in code.co_consts:
        if type(inner) is CodeType and inner.co_name == names[0]:
            if len(names) > 1:
                found = find(inner, names[1:], start)
            else:
                found = inner if inner.co_firstlineno == start else None
            if found is not None:
                return found
    return None


# ---- cold: nothing of the repository was imported before the fork ----


def cold(spec: Spec, ready: Any, serve: Any) -> None:
    """Serves with what is the same for all candidates done already."""
    drop = ahead.prepare(spec["root"], spec.get("files", {}))
    say_little()
    watched = seal.watch()
    ready({"ready": True})
    gc.collect()
    gc.freeze()

    def run(request: Request, report: int) -> None:
        drop(os.path.abspath(request["path"]))
        close(request, report, watched)
        files = list(dict.fromkeys(name.split("::")[0] for name in request["node_ids"]))

        def then(session: Any, errors: list[str]) -> None:
            run_chosen(request, {item.nodeid: item for item in session.items})
            os._exit(0)  # all was said

        collect(spec, files, then)

    serve(run)


def junit(path: str) -> Any:
    """What a command of the repository's own wrote: names of tests, and who passed."""
    from xml.etree import ElementTree

    try:
        if os.path.getsize(path) > FILE_BYTES:
            return None
        root = ElementTree.parse(path).getroot()
    except (OSError, ElementTree.ParseError):
        return None
    found = []
    for case in root.iter("testcase"):
        names = [case.get("classname"), case.get("name")]
        bad = any(case.find(tag) is not None for tag in ("failure", "error", "skipped"))
        found.append(["::".join(name for name in names if name), not bad])
    return found
