"""One run of a suite, and what five say of each test: real processes, a real pytest."""

import shutil
import sys
import time
from pathlib import Path

import pytest
from dlmd_finetune.tasks import interpreter, suite, tree
from dlmd_finetune.tasks.inventory import inventory
from dlmd_finetune.tasks.suite import Ending, Order, Place
from dlmd_finetune.tasks.survey import Survey, fault, survey

from tests.fakes.repositories import CALC, HANGING, TESTS, repository

KINDS = [
    "subprocess",
    pytest.param(
        "bubblewrap",
        marks=pytest.mark.skipif(not shutil.which("bwrap"), reason="no bubblewrap"),
    ),
]


def placed(tmp_path: Path, files: dict[str, str], kind: str = "subprocess") -> Place:
    repo = repository(tmp_path / "repo", files, history=False)
    tree.copy(repo, tmp_path / "tree")
    asked = interpreter.ask(sys.executable)
    assert not isinstance(asked, str), asked
    return Place(
        sandbox=kind,
        tree=tmp_path / "tree",
        python=sys.executable,
        pytest_args=("-p", "no:asyncio", "-o", "pythonpath=."),
        work=tmp_path / "work",
        readable=asked.places,
    )


def surveyed(place: Place, path: str = "calc.py") -> Survey:
    functions, _ = inventory(path, (place.tree / path).read_text())
    for _, found in survey(place, functions, 0):
        known = found
    return known


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_each_test_that_cannot_be_used_has_its_reason(
    tmp_path: Path, kind: str
) -> None:
    place = placed(tmp_path, {"calc.py": CALC, "test_calc.py": TESTS}, kind)
    found = surveyed(place)
    lost = {name.split("::")[1]: reason for name, reason in found.lost.items()}
    assert lost == {
        "test_fails": "fails on the unchanged code",
        "test_network": "needs the network",
        "test_service": "needs a service",
        "test_removes": "changes files of the repository",
        "test_writes": "writes into the repository",
        "test_clock": "changes the clock",
        "test_skipped": "is skipped",
        "test_by_hash": "passes only sometimes",
    }
    assert found.found == 15
    assert {c.function.name for c in found.covered} == {"add", "clamp", "weak"}
    reasons = {k.split("::")[1].split("@")[0]: r for k, r in found.uncovered.items()}
    assert reasons == {
        "unseen": "no test runs it",
        "reached": "no test runs it",
    }
    assert "test_calc.py::test_forks" in found.seconds


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_what_hangs_floods_or_ends_everything_costs_only_itself(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suite, "GRACE_S", 2.0)
    place = placed(tmp_path, {"calc.py": CALC, "test_bad.py": HANGING}, kind)
    begun = time.monotonic()
    run = suite.run(place, Order(limit_s=1.0))
    endings = {k.split("::")[1]: fault(e, kind) for k, e in run.endings.items()}
    assert endings == {
        "test_deaf": "hangs, or ends the whole run",
        "test_sleeps": "runs longer than 10 s",
        "test_flood": "prints without end",
        "test_exits": "hangs, or ends the whole run",
        "test_after": None,
    }
    assert time.monotonic() - begun < 100


@pytest.mark.slow
def test_lines_calls_and_order_are_told(tmp_path: Path) -> None:
    place = placed(
        tmp_path, {"calc.py": CALC, "test_calc.py": TESTS.split("def test_fails")[0]}
    )
    capture = (("add", str(place.tree / "calc.py"), 1),)
    run = suite.run(place, Order(cover=True, capture=capture))
    names = run.lines["tests"]
    [line] = [run.lines["files"]["calc.py"][str(n)] for n in (3,)]
    assert {names[i].split("[")[0] for i in line} == {"test_calc.py::test_add"}
    assert len(run.calls["calls"]["add"]) == 4
    assert run.calls["returned"]["add"] == ["int"]
    orders = []
    for seed in (1, 1, 2, 3):
        shuffled = suite.run(place, Order(shuffle=seed))
        orders.append([*shuffled.endings])
    assert orders[0] == orders[1] and len({tuple(o) for o in orders}) > 1
    chosen = suite.run(place, Order(select=("test_calc.py::test_clamp",)))
    assert [*chosen.endings] == ["test_calc.py::test_clamp"]


@pytest.mark.slow
def test_without_coverage_in_the_interpreter_ours_is_lent(tmp_path: Path) -> None:
    place = placed(tmp_path, {"calc.py": CALC, "test_calc.py": TESTS})
    place.work.mkdir()
    (place.work / "sitecustomize.py").write_text(
        "import sys\n"
        "class Hide:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'coverage' and not any('ours' in p for p in sys.path):\n"
        "            raise ImportError(name)\n"
        "sys.meta_path.insert(0, Hide())\n"
    )
    run = suite.run(place, Order(cover=True, select=("test_calc.py::test_clamp",)))
    assert "calc.py" in run.lines["files"]
    assert (place.work / "ours/coverage").is_dir()


@pytest.mark.slow
def test_a_unittest_suite_is_run_by_pytest(tmp_path: Path) -> None:
    text = (
        "import unittest\nfrom calc import add\n"
        "class T(unittest.TestCase):\n"
        "    def test_it(self):\n        self.assertEqual(add(1, 2), 3)\n"
    )
    found = surveyed(placed(tmp_path, {"calc.py": CALC, "tests.py": text}))
    assert [c.function.name for c in found.covered] == ["add"]
    assert found.seconds.keys() == {"tests.py::T::test_it"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({}, "pytest finds no tests here; .* write some"),
        (
            {"test_a.py": "import no_such_thing\n"},
            r"none of 1 test files can be imported: test_a.py: ModuleNotFoundError: "
            r"No module named 'no_such_thing'; make them run",
        ),
        (
            {"test_a.py": "def test_a():\n    assert 1 == 2\n"},
            r"no test can be used: of 1, 1 fails on the unchanged code \(test_a.py::test_a: "
            r"assert 1 == 2\); run pytest in .* by hand",
        ),
        (
            {"conftest.py": "raise RuntimeError('not here')\n", "test_a.py": ""},
            r"pytest did not get to its tests in .*RuntimeError: not here.*; run it there by hand",
        ),
        (
            {"json.py": "", "test_a.py": "def test_a(): pass\n"},
            "pytest did not start: .*; json.py in the repository's root hides what",
        ),
    ],
)
def test_what_gives_nothing_is_said_in_one_sentence(
    tmp_path: Path, files: dict[str, str], sentence: str
) -> None:
    place = placed(tmp_path, {"calc.py": CALC, **files})
    with pytest.raises(ValueError, match=sentence) as told:
        surveyed(place)
    assert len(str(told.value)) < 700


@pytest.mark.parametrize(
    ("ending", "reason"),
    [
        (None, "does not report"),
        (Ending(outcome="passed", why="", seconds=0), None),
        (
            Ending(outcome="passed", why="", seconds=0, deeds=(("service", "x"),)),
            None,
        ),
        (
            Ending(outcome="passed", why="", seconds=0, deeds=(("network", "x"),)),
            "needs the network",
        ),
        (
            Ending(outcome="passed", why="", seconds=0, deeds=(("removes", "a"),)),
            "changes files of the repository",
        ),
        (
            Ending(outcome="failed", why="", seconds=0, deeds=(("service", "x"),)),
            "needs a service",
        ),
        (
            Ending(outcome="hung", why="printed more than 64 MB", seconds=0),
            "prints without end",
        ),
    ],
)
def test_a_fault_is_named_by_what_was_seen(
    ending: Ending | None, reason: str | None
) -> None:
    assert fault(ending, "subprocess") == reason
