"""What a cold worker does before any candidate is there: it imports pytest, and compiles.

A cold run has to import the changed file, and everything of the repository, anew. Python,
pytest and the code of files that nobody changed are the same each time, so they are made once,
before the fork; of the repository nothing is run here. Code is handed out only for the very
bytes that it was made from, and never for the file that a candidate changes. It runs in the
repository's Python beside runner.py, and must not know candidates.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any

MOST_BYTES = 8 * 2**20  # of source


def prepare(root: str, files: dict[str, bool]) -> Any:
    """`files`: by path in the repository, whether pytest rewrites its assertions. Gives a
    function that drops one, to be called in the fork before anything is imported."""
    import pytest
    from _pytest.assertion import rewrite
    from _pytest.config import default_plugins

    assert pytest
    for name in default_plugins:
        __import__(f"_pytest.{name}")
    plain: dict[str, Any] = {}
    tests: dict[str, Any] = {}
    left = MOST_BYTES
    for name, rewritten in files.items():
        path = os.path.join(root, name)
        # What cannot be compiled here is compiled, or fails, where it is imported.
        with suppress(Exception):
            data = Path(path).read_bytes()
            left -= len(data)
            if left < 0:
                break
            if rewritten:
                tests[path] = (data, rewrite._rewrite_test(Path(path), None))  # type: ignore[arg-type]
            else:
                plain[path] = (data, compile(data, path, "exec", dont_inherit=True))
    _lend(plain)
    _lend_tests(rewrite, tests)

    def drop(path: str) -> None:
        file = os.path.realpath(path)  # links may give it more names than one
        for known in (plain, tests):
            for name in [n for n in known if os.path.realpath(n) == file]:
                del known[name]

    return drop


def _lend(known: dict[str, Any]) -> None:
    usual = SourceFileLoader.source_to_code

    def source_to_code(self: Any, data: Any, path: Any, **more: Any) -> Any:
        made = known.get(path) if type(path) is str else None
        plain = more.get("_optimize", -1) == -1
        if made is not None and plain and made[0] == data:
            return made[1]
        return usual(self, data, path, **more)

    SourceFileLoader.source_to_code = source_to_code  # type: ignore[method-assign]


def _lend_tests(rewrite: Any, known: dict[str, Any]) -> None:
    if not known:  # also where pytest has no such function any more
        return
    usual = rewrite._rewrite_test

    def rewrite_test(path: Any, config: Any) -> Any:
        made = known.get(str(path))
        if made is None or config.getini("enable_assertion_pass_hook"):
            return usual(path, config)
        data, (_, code) = made
        if path.read_bytes() != data:
            return usual(path, config)
        return os.stat(path), code

    rewrite._rewrite_test = rewrite_test


def loaded(root: str) -> dict[str, bool]:
    """Files of the repository that are imported here, and whether pytest rewrote them."""
    found = {}
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if type(file) is str and file.endswith(".py") and file.startswith(root + "/"):
            loader = type(getattr(module, "__loader__", None)).__name__
            found[os.path.relpath(file, root)] = loader == "AssertionRewritingHook"
    return found
