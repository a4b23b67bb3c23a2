"""The audit: calls of the original, replayed and changed, find out what only suits tests."""

import sys

import pytest
from dlmd_finetune.tasks import audit, interpreter, suite, tree
from dlmd_finetune.tasks.inventory import inventory
from dlmd_finetune.tasks.suite import Order, Place

from tests.fakes.repositories import repository

pytestmark = pytest.mark.slow
SOURCE = """\
import random


def add(a, b):
    total = a + b
    return total


def drawn(n):
    x = random.random()
    return x + n


def spread(items, *more, key=None, **rest):
    found = sorted([*items, *more], key=key)
    return found, rest


def grow(items):
    items.append(len(items))
    return None


def count(n):
    for each in range(n):
        yield each


def by_function(f):
    g = f
    return g(1)


class Box:
    def __init__(self, size):
        self.size = size
        self.half = size / 2

    def wider(self, by):
        self.size += by
        return self

    @classmethod
    def of(cls, size):
        made = cls(size)
        return made

    @property
    def double(self):
        twice = self.size * 2
        return twice
"""
TESTS = """\
from shapes import Box, add, by_function, count, drawn, grow, spread


def test_all():
    assert add(2, 3) == 5 and add("a", "b") == "ab"
    assert 1 <= drawn(1) < 2
    assert spread([3, 1], 2, colour="red") == ([1, 2, 3], {"colour": "red"})
    items = [5]
    grow(items)
    assert items == [5, 1]
    assert list(count(3)) == [0, 1, 2]
    assert by_function(lambda n: n + 1) == 2
    assert Box(4).wider(2).size == 6 and Box.of(3).half == 1.5 and Box(2).double == 4
"""
WRONG = {
    "add": ("total = a + b", "total = 5 if a == 2 else 'ab'"),
    "spread": ("return found, rest", "return [1, 2, 3], rest"),
    "grow": ("items.append(len(items))", "items.append(1)"),
    "count": ("for each in range(n):", "for each in [0, 1, 2]:"),
    "Box.__init__": ("self.half = size / 2", "self.half = 1.5"),
    "Box.wider": ("self.size += by", "self.size = 6"),
    "Box.of": ("made = cls(size)", "made = cls(3)"),
    "Box.double": ("twice = self.size * 2", "twice = 4"),
}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Place, dict[str, str]]:
    """The place, and of each function that can be audited the test that does."""
    folder = tmp_path_factory.mktemp("audit")
    files = {"shapes.py": SOURCE, "test_shapes.py": TESTS}
    tree.copy(repository(folder / "repo", files, history=False), folder / "tree")
    asked = interpreter.ask(sys.executable)
    assert not isinstance(asked, str), asked
    place = Place(
        sandbox="subprocess",
        tree=folder / "tree",
        python=sys.executable,
        pytest_args=("-p", "no:asyncio", "-o", "pythonpath=."),
        work=folder / "work",
        readable=asked.places,
    )
    functions, _ = inventory("shapes.py", SOURCE)
    capture = tuple((f.id, str(place.tree / f.path), f.opens) for f in functions)
    run = suite.run(place, Order(capture=capture))
    audits = audit.build(place, functions, run.calls["calls"])
    names = {f.id: f.name for f in functions}
    return place, {names[key]: found.test for key, found in audits.items()}


def test_what_can_be_replayed_is_audited(
    built: tuple[Place, dict[str, str]],
) -> None:
    _, tests = built
    assert tests.keys() == WRONG.keys()  # not what draws, nor what gets a lambda


def test_the_original_passes_its_audit(built: tuple[Place, dict[str, str]]) -> None:
    place, tests = built
    for seed in (0, 7):
        run = suite.run(place, Order(select=(*tests.values(),), hash_seed=seed))
        assert {e.outcome for e in run.endings.values()} == {"passed"}
        assert len(run.endings) == len(tests)


def test_code_that_only_suits_the_tests_fails_its_audit(
    built: tuple[Place, dict[str, str]],
) -> None:
    place, tests = built
    path = place.tree / "shapes.py"
    text = SOURCE
    for before, after in WRONG.values():
        assert text.count(before) == 1
        text = text.replace(before, after)
    path.write_text(text)
    try:
        run = suite.run(
            place, Order(select=("test_shapes.py::test_all", *tests.values()))
        )
    finally:
        path.write_text(SOURCE)
    outcomes = {test: ending.outcome for test, ending in run.endings.items()}
    failing = {name for name, test in tests.items() if outcomes[test] == "failed"}
    assert failing == tests.keys()


def test_another_exception_is_no_difference(
    built: tuple[Place, dict[str, str]],
) -> None:
    place, tests = built
    path = place.tree / "shapes.py"
    path.write_text(SOURCE.replace("    total = a + b\n", "    total = a.__add__(b)\n"))
    try:
        run = suite.run(place, Order(select=(tests["add"],)))
    finally:
        path.write_text(SOURCE)
    assert run.endings[tests["add"]].outcome == "passed"


def test_answers_cannot_be_read_from_the_audit(
    built: tuple[Place, dict[str, str]],
) -> None:
    place, _ = built
    kept = (place.tree / "test_dlmd_audit.json").read_text()
    assert '"answer"' in kept and "red" not in kept and '"ab"' not in kept
