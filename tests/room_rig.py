"""A small repository to be attacked, rooms on it, and ways to take a defence away.

Taking away happens in the test alone: scripts are changed on their way into the room,
functions of ours replaced by weaker ones. A change that finds nothing to change fails.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent, indent
from typing import Any

import pytest
from dlmd_finetune.sandbox import bubblewrap, crew, opening, policy, prepare
from dlmd_finetune.sandbox.policy import Change
from dlmd_finetune.sandbox.room import Candidate, Limits, Outcome, PolicyFault, Score

WORDS = '''import math


def slug(text):
    """Lower case, words joined by a dash."""
    # canary 7731
    return "-".join(text.lower().split())


def area(radius):
    return math.pi * radius * radius


class Box:
    def __init__(self, items):
        self.items = list(items)

    def largest(self):
        return max(self.items)
'''
SLUG = '''    """Lower case, words joined by a dash."""
    # canary 7731
    return "-".join(text.lower().split())
'''
AREA = "    return math.pi * radius * radius\n"
LARGEST = "        return max(self.items)\n"
TESTS = """import math
import unittest

from toy.words import Box, area, slug


def test_two_words():
    expected = "a-b"
    assert slug("A b") == expected


def test_spaces():
    expected = "hello-big-world"
    assert slug("Hello  big World") == expected


def test_one_word():
    expected = "x"
    assert slug("X") == expected


def test_area():
    found = area(2.0)
    assert math.isclose(found, 12.566, abs_tol=0.01)


def test_held_back():
    assert slug("Held Back") == "held-back"


class BoxTest(unittest.TestCase):
    def test_largest(self):
        self.assertEqual(Box([3, 9, 4]).largest(), 9)
"""
PATH = "toy/words.py"
NAMES = ("test_two_words", "test_spaces", "test_one_word")
SLUG_TESTS = tuple(f"tests/test_words.py::{name}" for name in NAMES)
AREA_TESTS = ("tests/test_words.py::test_area",)
HELD_BACK = ("tests/test_words.py::test_held_back",)
BOX_TESTS = ("tests/test_words.py::BoxTest::test_largest",)
PLUGINS = ("asyncio", "anyio", "hypothesispytest", "lsp", "playwright", "timeout")
ALONE = tuple(word for name in PLUGINS for word in ("-p", f"no:{name}"))


def missing() -> str:
    """Why bubblewrap cannot be tried here, in a sentence; empty where it can."""
    try:
        bubblewrap.modes()
    except ValueError as error:
        return str(error).split("\n")[0]
    return ""


needs_bubblewrap = pytest.mark.skipif(bool(missing()), reason=missing() or "-")


def toy(folder: Path) -> Path:
    tree = folder / "toy-repository"
    files = {
        PATH: WORDS,
        "toy/__init__.py": "",
        "tests/test_words.py": TESTS,
        "tests/conftest.py": "",
        "pyproject.toml": "[tool.pytest.ini_options]\n",
        ".git/ORIGINAL": WORDS,
        "build/lib/toy/words.py": WORDS,
        "toy/__pycache__/words.cpython-311.pyc": "canary 7731",
    }
    for name, text in files.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text)
    return tree


def filled(body: str, hole: str = SLUG) -> str:
    depth = len(hole) - len(hole.lstrip())
    assert WORDS.count(hole) == 1
    return WORDS.replace(hole, indent(dedent(body).strip("\n"), " " * depth) + "\n")


def candidate(
    body: str,
    hole: str = SLUG,
    node_ids: tuple[str, ...] = SLUG_TESTS,
    timeout_s: float = 20.0,
) -> Candidate:
    return Candidate(
        path=PATH, text=filled(body, hole), node_ids=node_ids, timeout_s=timeout_s
    )


STUB = "return None"
HONEST = 'return "-".join(text.lower().split())'


@contextmanager
def room(tree: Path, kind: str = "bubblewrap", **about: Any) -> Iterator[crew.Crew]:
    about = {
        "workers": 1,
        "pytest_args": ALONE,
        "limits": Limits(processes=40),
        **about,
    }
    with opening.open_room(kind, tree, sys.executable, **about) as opened:
        assert isinstance(opened, crew.Crew)
        yield opened


def passed(outcome: Outcome) -> int:
    return len(outcome.passed) if isinstance(outcome, Score) else 0


# ---- taking defences away ----

Weaken = Callable[[pytest.MonkeyPatch], None]


def lenient(original: str, text: str) -> Change | PolicyFault:
    """Finds the function, and allows it everything."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(policy, "_gained", lambda *_: [])
        return policy.judge.__wrapped__(original, text)


def no_policy(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(crew, "judge", lenient)


def script(name: str, old: str, new: str) -> Weaken:
    """A script of the worker's with a passage replaced, in the room's own copy."""

    def weaken(patch: pytest.MonkeyPatch) -> None:
        lend = prepare.lend_scripts

        def changed(folder: Path) -> None:
            lend(folder)
            text = (folder / name).read_text()
            assert old in text, f"{name} has no {old!r} to take away"
            (folder / name).write_text(text.replace(old, new))

        patch.setattr(prepare, "lend_scripts", changed)

    return weaken


def argument(old: str | None, *new: str) -> Weaken:
    """bubblewrap's command line with one word taken out, or some more at its end."""

    def weaken(patch: pytest.MonkeyPatch) -> None:
        confine = bubblewrap.confine

        def changed(setting: Any, copy: Path) -> Any:
            from dataclasses import replace

            confined = confine(setting, copy)
            argv = list(confined.argv)
            if old is not None:
                assert old in argv, f"bubblewrap was not given {old}"
                argv = [word for word in argv if word != old]
            argv[-1:-1] = new
            return replace(confined, argv=tuple(argv))

        patch.setattr(bubblewrap, "confine", changed)

    return weaken


def living(*words: str) -> list[int]:
    """Processes with all of these in their command line."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if all(word.encode() in line for word in words):
                found.append(int(entry.name))
    return found


def git(tree: Path, *words: str) -> None:
    subprocess.run(["git", *words], cwd=tree, check=True, capture_output=True)
